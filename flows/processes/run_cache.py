"""DVC's run-cache, brought back into a state that it can read.

DVC 3.67 makes the folder of an entry, writes the entry beside its name and renames it. A run that is killed in between leaves a folder
without an entry, or with half of one, and every later run of that stage then ends with a TypeError or a KeyError
(dvc/stage/cache.py, `_load` and `_create_stage`).
"""

from pathlib import Path

from tasks.core.errors import ParamsError
from tasks.core.settings import load_yaml

FOLDER = Path(".dvc/cache/runs")


def mend_run_cache(root: Path) -> list[str]:
    """Remove entries that are not whole, and folders without an entry; say which. Call it while the repository's lock is held."""
    done = []
    for folder in sorted(path for path in (root / FOLDER).glob("*/*") if path.is_dir()):
        entries = list(folder.iterdir())
        torn = [entry for entry in entries if not _is_whole(entry)]
        for entry in torn:
            entry.unlink()
        if len(torn) == len(entries):
            folder.rmdir()
        if torn or not entries:
            done.append(f"removed from {folder.relative_to(root).as_posix()} what a killed run had not finished writing")
    return done


def remove_entry(file: Path) -> None:
    """Remove an entry, and its folder where it was the only one."""
    file.unlink(missing_ok=True)
    if file.parent.is_dir() and not any(file.parent.iterdir()):
        file.parent.rmdir()


def _is_whole(entry: Path) -> bool:
    try:
        found = load_yaml(entry)
    except ParamsError:
        return False
    return entry.suffix != ".tmp" and "cmd" in found and "outs" in found
