"""Commands of a benchmark: timed to their end, told when they fail, gone when the benchmark is."""

import os
import sys
import time
from pathlib import Path

import pytest

from benchmarks.workplace import workplace

PARENT = "import subprocess, sys; child = subprocess.Popen(['sleep', '60']); print(child.pid, flush=True); child.wait()"


def runs(process: int) -> bool:
    """Whether the process runs; one that was killed may wait for its new parent to notice."""
    status = Path(f"/proc/{process}/stat")
    try:
        return status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for the process in /proc")
def test_an_interrupt_ends_the_command_and_its_children_and_removes_the_folder() -> None:
    seen: dict[str, int] = {}
    folders: list[Path] = []

    def interrupted() -> None:
        with workplace() as place:
            folders.append(place.folder)
            with place.started(sys.executable, "-c", PARENT, at=place.folder, environment=place.environment) as process:
                assert process.stdout is not None
                seen.update(parent=process.pid, child=int(process.stdout.readline()))
                assert all(map(runs, seen.values()))
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    deadline = time.monotonic() + 10
    while any(map(runs, seen.values())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(runs, seen.values()))
    assert not folders[0].exists()


def test_a_command_that_fails_shows_what_it_printed() -> None:
    with workplace() as place, pytest.raises(RuntimeError, match=r"ended with 3:\nout of paper"):
        place.run(sys.executable, "-c", "print('out of paper'); raise SystemExit(3)", at=place.folder)


def test_nothing_of_the_users_settings_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere")
    with workplace() as place:
        assert "PREFECT_API_URL" not in place.environment
        assert Path(place.environment["PREFECT_HOME"]).parent == place.folder
        assert place.environment["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
