"""What .dvcignore keeps out of a folder, decided as DVC decides it (dvc/ignore.py), without DVC's import."""

import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tasks.core.errors import GoodfitError

IGNORE_FILE = ".dvcignore"
# What DVC leaves out whatever the file says.
BUILT_IN = (".hg/", ".git/", ".git", ".dvc/")
# Without the file: bytecode appears while a stage runs, so it can be no input of it.
BYTECODE = "__pycache__\n*.pyc\n"


class IgnoreError(GoodfitError):
    """.dvcignore holds what is not a pattern."""


class Rule(NamedTuple):
    regex: re.Pattern[str]
    ignores: bool  # False for `!pattern`
    folders_only: bool
    below: str  # the folder whose .dvcignore it stands in, as `folder/`, or ""


def ignored(root: Path, top: Path) -> Callable[[str, bool], bool]:
    """Whether DVC leaves out an entry below `top`, asked by its path (absolute, links kept) and whether it is a folder.

    The .dvcignore of `root` and of every folder between it and `top` count; inside of a tracked folder DVC refuses the file. Outside
    of `root` nothing is left out. The caller does not descend into a folder that is left out.

    Raises:
        IgnoreError: a line is not a pattern.
    """
    root, top = Path(os.path.abspath(root)), Path(os.path.abspath(top))  # noqa: PTH100 - resolve() follows DVC's links
    if not top.is_relative_to(root):
        return lambda path, is_folder: False
    rules = list(_rules("\n".join(BUILT_IN), ""))
    rules += _read(root, "", default=BYTECODE)
    parts = top.relative_to(root).parts
    for depth in range(1, len(parts)):
        rules += _read(root.joinpath(*parts[:depth]), "/".join(parts[:depth]) + "/", default="")
    rules.reverse()  # the last that matches decides
    of_folders = [(rule.regex.match, rule.ignores, rule.below) for rule in rules]
    of_files = [(rule.regex.match, rule.ignores, rule.below) for rule in rules if not rule.folders_only]
    skipped = len(str(root).rstrip(os.sep)) + 1

    def matches(path: str, is_folder: bool) -> bool:  # asked for each of 100,000 files
        name = path[skipped:] if os.sep == "/" else path[skipped:].replace(os.sep, "/")
        for match, ignores, below in of_folders if is_folder else of_files:
            if below and not name.startswith(below):
                continue
            inner = name[len(below) :] if below else name
            if match(inner) or (is_folder and match(f"{inner}/")):
                return ignores
        return False

    return matches


def _read(folder: Path, below: str, default: str) -> tuple[Rule, ...]:
    file = folder / IGNORE_FILE
    try:
        return _rules(file.read_text(encoding="utf-8") if file.is_file() else default, below)
    except ValueError as error:  # pathspec's own is one too
        raise IgnoreError(f"{file} cannot be read ({error}); expected patterns as in .gitignore: fix the pattern") from None


@cache
def _rules(text: str, below: str) -> tuple[Rule, ...]:
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern  # 9 ms, only where a folder is hashed

    lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
    patterns = [(line, GitIgnoreSpecPattern(line)) for line in lines]
    return tuple(
        Rule(pattern.regex, pattern.include, line.endswith("/"), below)
        for line, pattern in patterns
        if pattern.regex is not None and pattern.include is not None
    )
