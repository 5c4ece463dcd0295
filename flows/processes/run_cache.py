"""DVC's run-cache, brought back into a state that it can read.

DVC 3.67 makes the folder of an entry, writes the entry beside its name and renames it. A run that is killed in between leaves a folder
without an entry, and every later run of that stage then ends with a TypeError (dvc/stage/cache.py, `_load`).
"""

import shutil
from pathlib import Path

FOLDER = Path(".dvc/cache/runs")
UNFINISHED = ".tmp"


def mend_run_cache(root: Path) -> list[str]:
    """Remove the folders that hold no finished entry; say which. Only while no run is under way: one may be writing there."""
    done = []
    for folder in sorted((root / FOLDER).glob("*/*")):
        if folder.is_dir() and all(file.name.endswith(UNFINISHED) for file in folder.iterdir()):
            shutil.rmtree(folder, ignore_errors=True)
            done.append(f"removed {folder.relative_to(root).as_posix()}, an entry of DVC's run-cache that was not finished")
    return done


def remove_entry(file: Path) -> None:
    """Remove an entry, and its folder where it was the only one."""
    file.unlink(missing_ok=True)
    if file.parent.is_dir() and not any(file.parent.iterdir()):
        file.parent.rmdir()
