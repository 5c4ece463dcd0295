"""The texts of many dvc.lock, read fast: a history has a thousand of them, of which each repeats most of the one before.

DVC writes the file in one layout. What has that layout is cut into pieces by it, and a piece that was seen before is not parsed again;
a piece of parameters is still parsed as YAML. A text in any other layout is left to `parse_lock`.
"""

import re
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import Any

from flows.lineage.lock import Locked, parse_lock
from tasks.core.settings import parse_yaml

HEAD = "schema: '2.0'\nstages:\n"
KEY = re.compile(r"((?!(?:true|false|null):)[A-Za-z_][\w.@-]*):", re.IGNORECASE)
COMMAND = re.compile(r"cmd: ([A-Za-z_][\w./-]*(?: [\w./=-]+)*)\n")  # anything else may be quoted, folded or of another type
# A path that YAML could take for something else than text (`1.5`, `null`) has neither a slash nor an ending after a letter.
PATH = r"[A-Za-z_][\w.-]*(?:/[\w.@+-]+)+|[A-Za-z_][\w-]*\.[a-z]+"
DIGEST = r"[0-9a-f]{32}(?:\.dir)?"
ITEM = re.compile(
    rf"    - path: ({PATH})\n(?:      hash: md5\n)?      md5: ({DIGEST})\n      size: \d+\n(?:      nfiles: \d+\n)?"
)
NUMBER = re.compile(r"\d+(?:e\d+)?")  # a digest that YAML takes for a number is not text; DVC puts it in quotation marks
MEMORY = 1 << 16  # pieces; more than any history of distinct ones that still answers in seconds


class _OtherLayoutError(Exception):
    """The text is not laid out as DVC does it."""


def read_text(text: str, only: Collection[str] | None = None) -> dict[str, Locked]:
    """As `parse_lock`, whose result it equals; the entries are shared between calls and not to be changed.

    Raises:
        LockFileError: it is not YAML, or not what DVC writes.
    """
    try:
        if not text.startswith(HEAD):
            raise _OtherLayoutError
        stages = dict(_pieces(text[len(HEAD) :], 2))
        return {name: _entry(name, stage) for name, stage in stages.items() if only is None or name in only}
    except _OtherLayoutError:
        return parse_lock(text, only)


def _pieces(text: str, indent: int) -> Iterator[tuple[str, str]]:
    """The keys of a block mapping that begins in this column, each with its whole text, the key's own line included."""
    starts = [match.start() for match in re.finditer(rf"^ {{{indent}}}(?=[^ -])", text, re.MULTILINE)]
    if not starts or starts[0] != 0:
        raise _OtherLayoutError
    names = set()
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        key = KEY.match(text, start + indent)
        if key is None or key[1] in names:
            raise _OtherLayoutError
        names.add(key[1])
        yield key[1], text[start:end]


@lru_cache(MEMORY)
def _entry(name: str, stage: str) -> Locked:
    first, _, rest = stage.partition("\n")
    if first != f"  {name}:":
        raise _OtherLayoutError
    parts = dict(_pieces(rest, 4))
    command = COMMAND.fullmatch(parts.get("cmd", "").removeprefix("    "))
    if command is None or parts.keys() - {"cmd", "deps", "params", "outs"}:
        raise _OtherLayoutError
    return Locked(command[1], _items(parts.get("deps", "")), _items(parts.get("outs", "")), _params(parts.get("params", "")))


@lru_cache(MEMORY)
def _items(text: str) -> dict[str, str]:
    if not text:
        return {}
    start, found = text.index("\n") + 1, dict[str, str]()
    if text[:start].strip() not in ("deps:", "outs:"):
        raise _OtherLayoutError
    while start < len(text):
        item = ITEM.match(text, start)
        # Two choices may name the same component: DVC then lists its file twice.
        if item is None or found.get(item[1], item[2]) != item[2] or NUMBER.fullmatch(item[2]):
            raise _OtherLayoutError
        found[item[1]], start = item[2], item.end()
    return found


def _params(text: str) -> dict[str, Any]:
    """The values of params.yaml, parsed piece by piece down to the second key (`train.epochs`)."""
    if not text:
        return {}
    head = "    params:\n      params.yaml:\n"
    if not text.startswith(head) or re.search(r"^ {0,7}\S", text[len(head) :], re.MULTILINE):
        raise _OtherLayoutError
    params: dict[str, Any] = {}
    for key, part in _pieces(text[len(head) :], 8):
        first, _, inner = part.partition("\n")
        nested = first == f"        {key}:" and inner.startswith(" " * 10) and not inner.startswith(" " * 11)
        if nested and KEY.match(inner, 10):
            params[key] = {name: _value(name, value) for name, value in _pieces(inner, 10)}
        else:
            params[key] = _value(key, part)
    return params


@lru_cache(MEMORY)
def _value(key: str, text: str) -> Any:
    """The value of a key with its text. Parsed as parameters are that stand in a whole dvc.lock."""
    from ruamel.yaml.error import YAMLError

    try:
        value = parse_yaml(text)[key]
        repr(value)
    except (YAMLError, ValueError, KeyError, TypeError, RecursionError):  # an alias of another piece, or a key that is not text
        raise _OtherLayoutError from None
    return value
