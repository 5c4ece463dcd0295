"""What requirements.lock locks, read without installing anything."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tasks.contracts.statement import REQUIREMENTS
from tasks.core.errors import GoodfitError

PINNED = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==(?P<version>[^\s;]+)(?:\s*;\s*(?P<marker>[^\\]+?))?\s*\\?"
)
HASH = re.compile(r"--hash=(?P<algorithm>[a-z0-9]+):(?P<content>[0-9a-f]+)\s*\\?")


@dataclass
class Requirement:
    """A package of the lock."""

    name: str
    version: str
    marker: str | None  # where it is installed at all; None: everywhere
    hashes: list[tuple[str, str]] = field(
        default_factory=list
    )  # algorithm and hexadecimal digits, of each file that is allowed


def read_requirements(text: str) -> list[Requirement]:
    """The packages, as pip and uv write them: `name==version ; marker`, and `--hash` on the lines below.

    Raises:
        GoodfitError: a line is neither.
    """
    found: list[Requirement] = []
    for number, line in _lines(text):
        if (hashed := HASH.fullmatch(line)) and found:
            found[-1].hashes.append((hashed["algorithm"], hashed["content"]))
        elif pinned := PINNED.fullmatch(line):
            found.append(Requirement(pinned["name"], pinned["version"], pinned["marker"]))
        else:
            raise GoodfitError(f"{REQUIREMENTS}: line {number}: found '{line}'; expected `name==version` or `--hash=sha256:…`")
    return found


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Without comments, blank lines, and options of the whole file."""
    for number, line in enumerate(text.splitlines(), 1):
        stripped = re.sub(r"(^|\s)#.*", "", line).strip()
        if stripped and (stripped.startswith("--hash") or not stripped.startswith("-")):
            yield number, stripped
