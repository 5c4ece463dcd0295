"""What DVC had not finished writing when it was killed: it links an output under a name of its own first, and then renames it."""

import re
from pathlib import Path

DVC_TEMPORARY = re.compile(r"\.[\w-]{22}\.tmp")  # 22 letters and digits


def unfinished_by_dvc(folder: Path) -> list[Path]:
    """DVC's temporary files in a folder; whoever holds the repository's lock may remove them, as DVC writes them under it."""
    return [file for file in folder.iterdir() if DVC_TEMPORARY.fullmatch(file.name)] if folder.is_dir() else []
