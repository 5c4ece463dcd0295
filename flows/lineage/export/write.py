"""What the formats of `goodfit lineage export` have in common: which there are, where they write, and what they need installed."""

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from flows.lineage.export import formats
from tasks.core.errors import GoodfitError
from tasks.core.files import whole


def available() -> dict[str, ModuleType]:
    """Every format's module by the format's name, sorted."""
    names = sorted(module.name for module in iter_modules(formats.__path__))
    return {name.replace("_", "-"): import_module(f"{formats.__name__}.{name}") for name in names}


def put(text: str, output: str | None) -> None:
    """Write a text with a newline at its end into a file, whole or not at all, or to standard output."""
    text = text.rstrip("\n") + "\n"
    if output is None:
        sys.stdout.write(text)
        return
    with whole(file_at(output)) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def file_at(output: str) -> Path:
    """The file that `--output` names.

    Raises:
        GoodfitError: it names a folder, a device, a pipe, a link that leads nowhere, or an address.
    """
    if "://" in output:
        raise GoodfitError(f"{output} is an address, to which this format cannot be sent; name a file")
    if Path(output).is_dir():
        raise GoodfitError(f"{output} is a folder; this format is one file: name the file to write")
    if os.path.lexists(output) and not Path(output).is_file():  # such as /dev/stdout, which a file would replace
        raise GoodfitError(f"{output} is no regular file; name a file to write, or leave -o out for standard output")
    return Path(output)


def as_json(document: Any) -> str:
    """JSON whose bytes follow from the document: its own order of keys, floats that read back exactly, no NaN."""
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False)


def require(package: str, module: str) -> Any:
    """Import a module of a package that only an export needs.

    Raises:
        GoodfitError: it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise GoodfitError(
            f"this format needs the package {package}, which is not installed: `pip install 'goodfit[export]'`"
        ) from None
