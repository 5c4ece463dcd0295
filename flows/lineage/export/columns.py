"""What a table or a file of tensors holds, by name, read from its head alone."""

import csv
import json
from pathlib import Path

# A header says its own length in 8 bytes; the format allows 100 MB.
LENGTH, MOST = 8, 100_000_000


def columns(path: Path) -> list[tuple[str, str | None]]:
    """Name and type of each column or tensor; none for a file of another kind. A CSV file has no types.

    Sources: https://github.com/huggingface/safetensors (format), Apache Arrow's names of types.

    Raises:
        ValueError: the head is not that of such a file.
    """
    readers = {".csv": _csv, ".parquet": _parquet, ".safetensors": _safetensors}
    return readers[path.suffix](path) if path.suffix in readers else []


def _csv(path: Path) -> list[tuple[str, str | None]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [(name, None) for name in next(csv.reader(file), [])]


def _parquet(path: Path) -> list[tuple[str, str | None]]:
    from pyarrow.parquet import read_schema

    return [(field.name, str(field.type)) for field in read_schema(path)]


def _safetensors(path: Path) -> list[tuple[str, str | None]]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH), "little")
        if length > MOST:
            raise ValueError(f"{path}: the header says that it has {length} bytes; the format allows {MOST}")
        header = json.loads(file.read(length))
    return [(name, f"{tensor['dtype']}{tensor['shape']}") for name, tensor in sorted(header.items()) if name != "__metadata__"]
