"""Files of a record, copied into a new folder or zip: each is hashed on the way, and only a complete copy gets its name."""

import shutil
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path
from typing import IO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from flows.lineage.digest import CHUNK
from flows.lineage.export.recorded import missing
from flows.lineage.outputs import require_free
from tasks.core.errors import ArtifactError
from tasks.core.files import whole

Sources = Mapping[str, tuple[Path, str | None]]
# The earliest time that a zip can state: the same files give the same bytes.
NO_TIME = (1980, 1, 1, 0, 0, 0)


def write_crate(output: Path, files: Sources, texts: Mapping[str, bytes], folders: Collection[str] = ()) -> None:
    """Write the files, by their path in the crate with where they are and their SHA-256 (None: not recorded), and then the texts.

    `folders` are made even if no file is in them.

    Raises:
        GoodfitError: there is something at `output` already.
        ArtifactError: a file is missing, or is not the one that was recorded.
    """
    require_free(output)
    if output.suffix == ".zip":
        with whole(output) as temporary, ZipFile(temporary, "w", ZIP_DEFLATED) as made:
            for folder in sorted(folders):
                made.writestr(ZipInfo(f"{folder}/", NO_TIME), b"")
            _fill(lambda path: made.open(_entry(path), "w", force_zip64=True), files, texts)
        return
    _write_folder(output, files, texts, folders)


def _write_folder(output: Path, files: Sources, texts: Mapping[str, bytes], folders: Collection[str]) -> None:
    partial = output.with_name(f".{output.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a killed run
    try:
        for folder in folders:
            (partial / folder).mkdir(parents=True, exist_ok=True)
        _fill(lambda path: _open(partial / path), files, texts)
        partial.rename(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _open(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("wb")


def _entry(path: str) -> ZipInfo:
    entry = ZipInfo(path, NO_TIME)
    entry.compress_type, entry.external_attr = ZIP_DEFLATED, 0o644 << 16
    return entry


def _fill(opened: Callable[[str], AbstractContextManager[IO[bytes]]], files: Sources, texts: Mapping[str, bytes]) -> None:
    for path, (source, expected) in files.items():
        if not source.exists():
            raise missing(path)
        digest = sha256()
        with source.open("rb") as read, opened(path) as written:
            while chunk := read.read(CHUNK):
                digest.update(chunk)
                written.write(chunk)
        if expected not in (None, digest.hexdigest()):
            raise ArtifactError(
                f"{path} has sha256 {digest.hexdigest()}; its statement has {expected}: `goodfit lineage verify` says what else differs"
            )
    for path, text in texts.items():
        with opened(path) as written:
            written.write(text)
