"""Texts of a record in Markdown: whatever a name holds, it stays text."""

import re
from collections.abc import Iterable, Sequence

# What Markdown or HTML would read as more than text; control characters would end a cell, or worse.
SPECIAL = re.compile(r"([\\`*_\[\]<>|#~$&])")
# Also the marks that turn the direction of writing around.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def plain(text: object) -> str:
    """A text in which no character has a meaning of its own."""
    return SPECIAL.sub(r"\\\1", CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text)))


def code(text: object) -> str:
    """A name, path or digest, as code where it can be."""
    shown = CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text))
    return f"`{shown}`" if shown and not set(shown) & {"`", "|"} else plain(shown)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table; its cells are Markdown already."""
    lines = (head, ["---"] * len(head), *rows)
    return [f"| {' | '.join(row)} |" for row in lines]
