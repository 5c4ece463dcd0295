"""Each file is read once, by the right digests, whatever its size and its names."""

import hashlib
import os
import signal
import struct
import subprocess
import sys
from multiprocessing import active_children
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import pytest

from flows.lineage.digest import CHUNK
from flows.lineage.verification import hashing as module
from flows.lineage.verification.files import Files
from tasks.core.errors import GoodfitError
from tests.conftest import ROOT

SIZES = (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5)


def write(root: Path, sizes: tuple[int, ...]) -> dict[str, bytes]:
    contents = {f"{number}.bin": os.urandom(size) for number, size in enumerate(sizes)}
    for name, content in contents.items():
        (root / name).write_bytes(content)
    return contents


def check(found: Files, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        digest = found.digests[name]
        assert digest.sha256 == hashlib.sha256(content).hexdigest()
        assert digest.md5 == hashlib.md5(content, usedforsecurity=False).hexdigest()
        assert found.sizes[name] == len(content)


@pytest.mark.parametrize("large", [1, CHUNK + 1, 1 << 40])
def test_digests_are_those_of_hashlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int) -> None:
    monkeypatch.setattr(module, "LARGE", large)  # both ways of reading a long file
    contents, found = write(tmp_path, SIZES), Files(tmp_path)
    found.hash(contents)
    check(found, contents)
    assert (found.read_files, found.read_bytes) == (len(SIZES), sum(SIZES))


def test_many_files_are_read_by_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MANY", 10)
    monkeypatch.setattr(module, "cores", lambda: 2)
    monkeypatch.setattr("threading.active_count", lambda: 1)  # a test runner may have threads of its own
    monkeypatch.setattr(module, "digest_batch", None)  # which threads call
    contents, found = write(tmp_path, tuple(range(600))), Files(tmp_path)
    found.hash(contents)
    check(found, contents)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads read the files")
def test_a_process_that_is_killed_is_an_error_and_leaves_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the system's killer does where the memory is short: what that process had still to read must not pass for absent."""
    monkeypatch.setattr(module, "MANY", 10)
    monkeypatch.setattr(module, "BATCH_FILES", 20)
    monkeypatch.setattr(module, "cores", lambda: 2)
    monkeypatch.setattr("threading.active_count", lambda: 1)
    names = list(write(tmp_path, (5,) * 200))
    digest = module.digest_of_one_name

    def killed(path: str) -> module.Found | None:
        if path.endswith("/100.bin"):
            os.kill(os.getpid(), signal.SIGKILL)
        return digest(path)

    monkeypatch.setattr(module, "digest_of_one_name", killed)
    with pytest.raises(GoodfitError, match="a process that reads files was ended from outside; verify again"):
        Files(tmp_path).hash(names)
    assert active_children() == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads read the files")
def test_a_process_that_is_killed_while_it_hands_back_is_the_same_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a process has found may not fit into the pipe at once, so that the kill leaves the head of a message."""
    monkeypatch.setattr(module, "MANY", 10)
    monkeypatch.setattr(module, "cores", lambda: 2)
    monkeypatch.setattr("threading.active_count", lambda: 1)

    def killed(root: str, batches: list[list[str]], sender: Connection, *_: object) -> None:
        os.write(sender.fileno(), struct.pack("!i", 30_000) + b"x")
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(module, "_hash_share", killed)
    with pytest.raises(GoodfitError, match="a process that reads files was ended from outside; verify again"):
        Files(tmp_path).hash(write(tmp_path, (5,) * 20))
    assert active_children() == []


WAITING = """
import time
from multiprocessing import active_children
from flows.lineage.verification import hashing
hashing.cores = lambda: 2
hashing.digest_of_one_name = lambda path: ("x" * 200_000, "", 1, "")  # more than a pipe holds
found = hashing.digests_by_forks("", [str(number) for number in range(hashing.MANY)])
next(found)
print(*(child.pid for child in active_children()), flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads read the files")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_processes_end_when_the_one_that_waits_for_them_is_killed(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", WAITING], cwd=ROOT, stdout=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout is not None
        readers = [psutil.Process(int(pid)) for pid in waiting.stdout.readline().split()]
        waiting.send_signal(number)
    assert len(readers) == 2
    _, left = psutil.wait_procs(readers, timeout=20)
    for reader in left:
        reader.kill()
    assert left == []


def test_names_of_one_file_are_read_once(tmp_path: Path) -> None:
    contents, found = write(tmp_path, (100,)), Files(tmp_path)
    os.link(tmp_path / "0.bin", tmp_path / "hard")
    (tmp_path / "soft").symlink_to("0.bin")
    found.hash(["0.bin", "hard"])
    found.hash(["soft", "0.bin"])
    check(found, contents | {"hard": contents["0.bin"], "soft": contents["0.bin"]})
    assert (found.read_files, found.read_bytes) == (1, 100)


def test_names_of_one_file_are_read_once_among_many_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MANY", 10)
    monkeypatch.setattr(module, "cores", lambda: 2)
    monkeypatch.setattr("threading.active_count", lambda: 1)
    contents, found = write(tmp_path, (100,) * 20), Files(tmp_path)
    os.link(tmp_path / "0.bin", tmp_path / "hard")
    (tmp_path / "soft").symlink_to("1.bin")
    (tmp_path / "nowhere").symlink_to("nothing")
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(module, "LARGE", 101)
    (tmp_path / "large").write_bytes(large := os.urandom(101))
    told: list[tuple[int, int]] = []
    found.hash(
        ["soft", *contents, "hard", "nowhere", "folder", "absent", "no\0name", "large"],
        lambda done, total: told.append((done, total)),
    )
    check(found, contents | {"hard": contents["0.bin"], "soft": contents["1.bin"], "large": large})
    assert (found.read_files, found.read_bytes) == (21, 2101)
    assert found.problems == {"folder": "a folder"}
    assert told[-1] == (2101, 2101)


def test_what_is_no_file_is_named_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nowhere").symlink_to("nothing")
    (tmp_path / "folder").mkdir()
    found = Files(tmp_path)
    found.hash(["fifo", "device", "loop", "nowhere", "folder", "absent"])
    assert found.digests == {}
    assert found.problems.pop("loop").startswith("what cannot be read (")
    assert found.problems == {"fifo": "a FIFO", "device": "a character device", "folder": "a folder"}


def test_a_fifo_that_takes_the_place_of_a_file_meanwhile_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    ((sha256, _, size, problem),) = module.digest_batch(str(tmp_path), ["fifo"])
    assert size == 0
    assert problem or sha256 == hashlib.sha256(b"").hexdigest()  # an empty FIFO reads as an empty file: it matches no record


def test_tells_how_far_it_is_over_several_calls(tmp_path: Path) -> None:
    contents, found = write(tmp_path, (10, 20, 30)), Files(tmp_path)
    told: list[tuple[int, int]] = []
    names = list(contents)
    found.hash(names[:2], lambda done, total: told.append((done, total)))
    found.hash(names[2:], lambda done, total: told.append((done, total)))
    assert told == [(30, 30), (60, 60)]
