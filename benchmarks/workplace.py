"""Where a figure is measured: temporary repositories, and commands that end with the benchmark however that ends."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
LIMIT_SECONDS = 600.0


@dataclass(frozen=True)
class Done:
    """A command that ended with 0: what it printed, and its wall time from start to end."""

    printed: str
    seconds: float


@dataclass(frozen=True)
class Workplace:
    """A temporary folder, and an environment in which DVC, Prefect and Git find nothing of this user's."""

    folder: Path
    environment: dict[str, str]

    def run(self, *command: str, at: Path, limit_seconds: float = LIMIT_SECONDS, **variables: str) -> Done:
        """Run a command in the folder `at` to its end, with `variables` added to the environment.

        Raises:
            RuntimeError: it did not end with 0; the message holds what it printed.
            subprocess.TimeoutExpired: it did not end within the limit, and was killed.
        """
        begin = time.perf_counter()
        with self.started(*command, at=at, environment=self.environment | variables) as process:
            # Not wait(timeout=…): that polls, up to 50 ms apart.
            printed, _ = process.communicate(timeout=limit_seconds)
            seconds = time.perf_counter() - begin
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{printed}")
        return Done(printed, seconds)

    @staticmethod
    @contextmanager
    def started(
        *command: str, at: Path, environment: dict[str, str], output: int | IO[str] = subprocess.PIPE
    ) -> "Iterator[subprocess.Popen[str]]":
        """A running command in a process group of its own, killed whole where it outlives the block."""
        process = subprocess.Popen(
            command,
            cwd=at,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()

    def fresh_clone(self, name: str) -> Path:
        """A new repository with one commit: the files that Git has or would add, the default parameters. No stage has run there."""
        clone = self.folder / name
        for file in _files_of_git():
            (clone / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, clone / file)
        shutil.copy2(ROOT / "recipes/digits.yaml", clone / "params.yaml")
        self.run("git", "init", "-q", at=clone)
        self.commit(clone)
        return clone

    def commit(self, repository: Path) -> None:
        self.run("git", "add", "-A", at=repository)
        # A run that ends with the committed dvc.lock, byte for byte, leaves nothing to commit.
        self.run("git", "commit", "-qm", "State", "--allow-empty", at=repository)


@contextmanager
def workplace() -> Iterator[Workplace]:
    """A workplace that is removed after the block, also on failure and Ctrl-C."""
    with TemporaryDirectory(prefix="goodfit-bench-", ignore_cleanup_errors=True) as folder:
        yield Workplace(Path(folder), isolated(Path(folder)))


def _files_of_git() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True)
    return [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def isolated(home: Path) -> dict[str, str]:
    """This one's, with the commands of this interpreter first, without a developer's settings, and every home in the folder."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("GOODFIT_", "PREFECT_", "DVC_"))}
    author = {f"GIT_{role}_{key}": "benchmark" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
    quiet = {
        "DVC_NO_ANALYTICS": "1",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    }
    homes = {
        "DVC_GLOBAL_CONFIG_DIR": str(home / "dvc-config"),
        "DVC_SITE_CACHE_DIR": str(home / "dvc-site"),
        "PREFECT_HOME": str(home / "prefect"),
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return kept | author | quiet | homes | {"PATH": path}
