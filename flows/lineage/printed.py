"""What the verbs print: names that cannot change what stands around them, and whole lines where nobody watches."""

import sys
from typing import Any

PIPE_WIDTH = 400  # columns where the output is no terminal: a line is not broken for a program that reads it


def escaped(text: str) -> str:
    """A name from a file, a commit or dvc.lock as it can be printed: what is not printable as Python would write it.

    A file name may hold a newline, or the characters that clear a terminal or turn the direction of writing, and so make a line of
    its own or hide one of ours. The backslash is doubled, so that two names never look the same.
    """
    plain = text.replace("\\", "\\\\")
    if plain.isprintable():
        return plain
    return "".join(character if character.isprintable() else character.encode("unicode_escape").decode() for character in plain)


def escaped_lines(text: str) -> str:
    """A message of several lines, each of them `escaped`."""
    return "\n".join(map(escaped, text.split("\n")))


def file_size(count: int) -> str:
    """A number of bytes in decimal units: 6.1 MB."""
    value, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"


def console() -> Any:
    """Where the verbs print (a rich.console.Console): as wide as the terminal, or as a pipe's reader wants whole lines."""
    from rich.console import Console

    made = Console(highlight=False, emoji=False)
    if not made.is_terminal:
        made.width = PIPE_WIDTH
    return made


def print_rich(*renderables: Any) -> None:
    """Print tables and trees of rich, without spaces at the ends of their lines."""
    sys.stdout.flush()  # rich would do it, and end this process with 1 where the reader of a pipe has left
    target = console()
    with target.capture() as captured:
        for renderable in renderables:
            target.print(renderable)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def table(*columns: str, right: tuple[str, ...] = ()) -> Any:
    """A table without lines (a rich.table.Table); the columns in `right` are aligned there."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def cell(value: Any) -> str:
    """A value of a table, which rich would otherwise read as markup; empty for None."""
    from rich.markup import escape

    if value is None:
        return ""
    return escape(escaped(value)) if isinstance(value, str) else escape(str(value))
