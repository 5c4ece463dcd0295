"""What this process opens, as the Linux kernel tells it."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from flows.processes.fanotify import Fanotify

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="fanotify is Linux's")


def test_sees_what_this_process_opens_and_writes_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for name in ("a", "b", "inner/c", "untouched"):
        (tmp_path / name).write_text(name)
    listener = Fanotify([tmp_path, tmp_path / "inner"])
    listener.start()
    (tmp_path / "a").read_text()
    (tmp_path / "inner/c").read_text()
    (tmp_path / "new").write_text("x")
    (tmp_path / "new").rename(tmp_path / "inner/renamed")
    subprocess.run(["cat", str(tmp_path / "b")], check=True, capture_output=True)
    listener.stop()
    (tmp_path / "untouched").read_text()
    listener.stop()
    assert listener.opened == {str(tmp_path / name) for name in ("a", "inner/c", "new")}
    assert listener.written == {str(tmp_path / name) for name in ("new", "inner/renamed")}
    assert listener.only_read == {str(tmp_path / name) for name in ("a", "inner/c")}
    assert not listener.lost


def test_more_than_the_kernel_keeps_is_read_in_time(tmp_path: Path) -> None:
    names = [str(tmp_path / str(number)) for number in range(20_000)]
    listener = Fanotify([tmp_path])
    listener.start()
    for name in names:
        Path(name).touch()
    listener.stop()
    assert listener.lost or listener.opened == set(names)


def test_where_it_cannot_be_had_nothing_is_seen_and_nothing_fails(tmp_path: Path) -> None:
    listener = Fanotify([tmp_path, tmp_path / "missing"])
    listener.start()
    (tmp_path / "a").touch()
    listener.stop()
    assert listener.opened == set()


def test_an_ordinary_user_needs_no_privilege(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from flows.processes.fanotify import Fanotify\n"
        "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "listener = Fanotify([Path(sys.argv[1])]); listener.start(); open(sys.argv[1] + '/a').read(); listener.stop()\n"
        "print(*(Path(path).name for path in listener.opened))"
    )
    tmp_path.chmod(0o755)
    (tmp_path / "a").write_text("a")
    for folder in tmp_path.parents:
        if folder == Path(tempfile.gettempdir()):
            break
        folder.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "a\n"
