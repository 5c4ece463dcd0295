"""DVC's own locks, which keep its files from being read while they are written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path(".dvc/tmp")
REPOSITORY = "lock"  # held by every command of DVC that writes


@contextmanager
def dvc_lock(root: Path, name: str = REPOSITORY) -> Iterator[None]:
    """Hold a lock of DVC's in the block, as its configuration says.

    Raises:
        LockError: another process still holds it after three seconds.
    """
    from dvc.config import Config
    from dvc.lock import make_lock

    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    hardlink = Config(str(root / ".dvc"))["core"].get("hardlink_lock", False)
    with make_lock(str(folder / name), tmp_dir=str(folder), hardlink_lock=hardlink):
        yield
