"""The arrays of an .npz file, mapped into memory from disk, so that they may be larger than the memory."""

import math
import zipfile
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

BLOCK_BYTES = 1 << 22


def mapped(path: Path, key: str, scratch: Path | None) -> "np.ndarray[Any, Any]":
    """The array `key` of the archive at `path`, for reading; its bytes are read when they are used.

    What `numpy.savez` stores is mapped where it lies. What `numpy.savez_compressed` stores is first written, block by block, to a
    file without a name in the folder `scratch`, which goes with the array. All of it is read once, and compared with the archive's
    checksum.

    Raises:
        ValueError, zipfile.BadZipFile, zlib.error, OSError, EOFError: the array is damaged, or holds Python objects.
    """
    import numpy as np

    with zipfile.ZipFile(path) as archive, ExitStack() as open_files:
        names = archive.namelist()
        info = archive.getinfo(f"{key}.npy" if f"{key}.npy" in names else key)
        member = open_files.enter_context(archive.open(info))
        shape, in_columns, kind = _header(member)
        start = member.tell()
        if info.compress_type == zipfile.ZIP_STORED:
            file: Any = open_files.enter_context(path.open("rb"))
            offset, found = _data_of(file, info.header_offset) + start, _copy(member, None)
        else:
            file = open_files.enter_context(TemporaryFile(dir=scratch))
            offset, found = 0, _copy(member, file)
        if found != (size := kind.itemsize * math.prod(shape)):
            raise ValueError(f"it has {found} bytes, and its shape {shape} needs {size}")
        if size == 0:
            return np.empty(shape, kind)
        return np.memmap(file, kind, mode="r", offset=offset, shape=shape, order="F" if in_columns else "C")


def _copy(member: IO[bytes], file: IO[bytes] | None) -> int:
    """Read the rest, so that its checksum is compared, and write it to `file` where there is one; return how many bytes it has."""
    size = 0
    while block := member.read(BLOCK_BYTES):
        size += len(block)
        if file is not None:
            file.write(block)
    if file is not None:
        file.flush()
    return size


def _header(member: IO[bytes]) -> "tuple[tuple[int, ...], bool, np.dtype[Any]]":
    """Shape, whether the first axis varies fastest, and type of the numbers that follow."""
    from numpy.lib import format as npy

    version = npy.read_magic(member)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"it is of the .npy format's version {version[0]}.{version[1]}; expected 1.0 or 2.0")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, in_columns, kind = read(member)
    if kind.hasobject:
        raise ValueError("Object arrays cannot be mapped")
    return shape, in_columns, kind


def _data_of(file: IO[bytes], header: int) -> int:
    """Where a member's bytes begin: after its local header of 30 bytes, its name, and an extra field."""
    file.seek(header + 26)
    lengths = file.read(4)
    return header + 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
