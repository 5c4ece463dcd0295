"""Edit the text of a YAML mapping: the places of the values that differ are rewritten, and every other character stays.

A YAML library that loads and dumps hangs each comment on the value before it: a comment moves, or is lost, with a value that has
nothing to do with it. Here the library says where each value stands, and the text is cut and joined there.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Node:
    """A value as it is written: from `start` to `end`, without the comment and the line break behind it."""

    kind: str  # scalar, alias, mapping or sequence
    start: int
    end: int
    block: bool = False  # a mapping or sequence with a line for each entry
    entries: "list[Entry]" = field(default_factory=list)


@dataclass
class Entry:
    """An entry of a mapping or sequence: it starts with its key or dash, and its value is written behind `opened`."""

    start: int
    opened: int
    value: Node
    key: str = ""

    @property
    def end(self) -> int:
        return self.value.end


def edited(text: str, present: dict[str, Any], wanted: dict[str, Any]) -> str:
    """The YAML `text`, which holds `present`, with the values of `wanted`."""
    if is_same(present, wanted):
        return text
    edits = _Edits(text if text.endswith("\n") else f"{text}\n")
    document = _read(edits.text)
    if not document.block:
        edits.update(Entry(0, 0, document), present, wanted)
        return edits.applied()
    edits.update_mapping(document, present, wanted)
    return edits.applied() if wanted else f"{edits.applied()}{{}}\n"


def is_same(present: Any, wanted: Any) -> bool:
    """Whether two values are equal and of the same types, in whatever order their keys are."""
    if isinstance(present, dict) and isinstance(wanted, dict):
        return present.keys() == wanted.keys() and all(is_same(present[key], wanted[key]) for key in wanted)
    if isinstance(present, list) and isinstance(wanted, list):
        return len(present) == len(wanted) and all(map(is_same, present, wanted))
    return repr(present) == repr(wanted)  # 1, 1.0 and True are equal to Python


def rendered(value: Any) -> str:
    """A value on one line; floats are written so that every YAML reader takes them for floats.

    1e-09 is a float to YAML 1.2, and a string to readers of YAML 1.1: 1.0e-09 is a float to both.
    """
    from ruamel.yaml import YAML

    if isinstance(value, dict):
        return f"{{{', '.join(f'{rendered(key)}: {rendered(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(rendered, value))}]"
    if isinstance(value, float) and "e" in repr(value):
        digits, _, exponent = repr(value).partition("e")
        return f"{digits if '.' in digits else f'{digits}.0'}e{exponent}"
    yaml = YAML(typ="safe", pure=True)
    yaml.width, yaml.default_flow_style = 1 << 20, True
    written = io.StringIO()
    yaml.dump([value], written)  # in a list: what it has to quote there is quoted everywhere
    return written.getvalue().strip()[1:-1]


class _Edits:
    """The changes of a text, collected in the order in which the values stand there."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.changes: list[tuple[int, int, str]] = []

    def applied(self) -> str:
        """The text with all changes, from its end to its beginning, so that the places of the others stay right."""
        text = self.text
        order = sorted(enumerate(self.changes), key=lambda item: (item[1][0], item[1][1], item[0]), reverse=True)
        for _, (start, end, new) in order:
            text = text[:start] + new + text[end:]
        return text

    def update(self, entry: Entry, present: Any, wanted: Any) -> None:
        """Turn the value of an entry into what is wanted."""
        if is_same(present, wanted):
            return
        node, before = entry.value, len(self.changes)
        if node.kind == "mapping" and isinstance(wanted, dict) and any(item.key in wanted for item in node.entries):
            self.update_mapping(node, present, wanted)
        elif node.kind == "sequence" and isinstance(wanted, list) and wanted and node.entries:
            self._update_sequence(node, present, wanted)
        else:
            self._replace(entry, wanted)
        if not node.block:
            self._keep_column(node, self.changes[before:])

    def update_mapping(self, node: Node, present: dict[str, Any], wanted: dict[str, Any]) -> None:
        """Turn the entries of a mapping into what is wanted."""
        dropped = [entry for entry in node.entries if entry.key in present and entry.key not in wanted]
        for entry in node.entries:
            if entry.key in wanted:
                self.update(entry, present[entry.key], wanted[entry.key])
        own = {entry.key for entry in node.entries}
        new = [key for key in wanted if key not in own and not (key in present and is_same(present[key], wanted[key]))]
        self._drop(node, dropped)
        last = node.entries[-1] if node.block else [entry for entry in node.entries if entry not in dropped][-1]
        self._insert(node, last, [f"{rendered(key)}: {rendered(wanted[key])}" for key in new])

    def _update_sequence(self, node: Node, present: list[Any], wanted: list[Any]) -> None:
        """What is equal at the beginning and at the end stays with its comments; between, items are replaced one by one."""
        shorter = min(len(present), len(wanted))
        head = next((i for i in range(shorter) if not is_same(present[i], wanted[i])), shorter)
        tail = next((i for i in range(shorter - head) if not is_same(present[-1 - i], wanted[-1 - i])), shorter - head)
        for i in range(head, shorter - tail):
            self.update(node.entries[i], present[i], wanted[i])
        self._drop(node, node.entries[shorter - tail : len(present) - tail])
        mark = "- " if node.block else ""
        new = [f"{mark}{rendered(value)}" for value in wanted[shorter - tail : len(wanted) - tail]]
        if shorter - tail:
            self._insert(node, node.entries[shorter - tail - 1], new)
        elif new:
            first = node.entries[0].start
            after = f"\n{' ' * self._column(first)}" if node.block else ", "
            self.changes.append((first, first, "".join(f"{item}{after}" for item in new)))

    def _replace(self, entry: Entry, wanted: Any) -> None:
        node = entry.value
        if node.block and "\n" in self.text[entry.opened : node.start]:  # its lines go; what follows its key stays there
            self.changes.append((entry.opened, entry.opened, f" {rendered(wanted)}"))
            self.changes.append((self._line(node.start), self._next_line(node.end), ""))
        else:
            space = " " if node.start == node.end and not self.text[node.start - 1].isspace() else ""
            self.changes.append((node.start, node.end, f"{space}{rendered(wanted)}"))

    def _insert(self, node: Node, last: Entry, new: list[str]) -> None:
        """Write new entries behind the entry `last`."""
        if node.block:
            place, indent = self._next_line(last.end), " " * self._column(node.entries[0].start)
            self.changes += [(place, place, f"{indent}{item}\n") for item in new]
        else:
            self.changes += [(last.end, last.end, f", {item}") for item in new]

    def _drop(self, node: Node, dropped: list[Entry]) -> None:
        kept = [entry for entry in node.entries if entry not in dropped]
        for entry in dropped:
            index = node.entries.index(entry)
            if node.block:
                self._drop_lines(node, index, dropped)
            elif entry.start < kept[0].start:
                following = node.entries[index + 1].start
                self.changes.append((entry.start, following, _comments(self.text[entry.end : following])))
            else:
                previous = node.entries[index - 1].end
                self.changes.append((previous, entry.end, _comments(self.text[previous : entry.start])))

    def _drop_lines(self, node: Node, index: int, dropped: list[Entry]) -> None:
        entry = node.entries[index]
        line = self._line(entry.start)
        if not self.text[line : entry.start].strip():
            self.changes.append((line, self._next_line(entry.end), ""))
            return
        # It stands behind the dash of a list, which stays.
        end = self._next_line(entry.end) - 1
        following = node.entries[index + 1]
        if following not in dropped and not self.text[end : following.start].strip():
            end = following.start
        self.changes.append((entry.start, end, ""))

    def _keep_column(self, node: Node, changes: list[tuple[int, int, str]]) -> None:
        """Keep the comment behind a value in its column, as far as there is space."""
        spaces = re.compile(r" +(?=#)").match(self.text, node.end)
        if spaces:
            line = self._line(node.end)
            grown = sum(len(new) - (end - start) for start, end, new in changes if start >= line)
            width = len(spaces[0])
            self.changes.append((node.end, spaces.end(), " " * max(min(width, 2), width - grown)))

    def _line(self, place: int) -> int:
        return self.text.rfind("\n", 0, place) + 1

    def _next_line(self, place: int) -> int:
        return self.text.index("\n", place) + 1

    def _column(self, place: int) -> int:
        return place - self._line(place)


def _comments(between: str) -> str:
    """What has to stay of the text between two entries on one line or several: the comments, without the comma."""
    return re.sub(r"\A((?:\s|#.*\n)*),", r"\1", between) if "#" in between else ""


def _read(text: str) -> Node:
    """Where everything stands in a YAML text."""
    from ruamel.yaml import YAML
    from ruamel.yaml.events import DocumentStartEvent, StreamStartEvent

    events = iter(YAML(typ="safe", pure=True).parse(text))
    first = next(event for event in events if not isinstance(event, StreamStartEvent | DocumentStartEvent))
    return _node(text, first, events)


def _node(text: str, event: Any, events: Iterator[Any]) -> Node:
    from ruamel.yaml.events import AliasEvent, MappingStartEvent, SequenceStartEvent

    start = event.start_mark.index
    if isinstance(event, MappingStartEvent):
        return _collection(text, "mapping", event, events)
    if isinstance(event, SequenceStartEvent):
        return _collection(text, "sequence", event, events)
    written = text[start : event.end_mark.index].rstrip()  # a literal block ends behind its line break
    return Node("alias" if isinstance(event, AliasEvent) else "scalar", start, start + len(written))


def _collection(text: str, kind: str, opening: Any, events: Iterator[Any]) -> Node:
    from ruamel.yaml.events import CollectionEndEvent

    node = Node(kind, opening.start_mark.index, opening.end_mark.index, block=not opening.flow_style)
    place = node.start
    event = next(events)
    while not isinstance(event, CollectionEndEvent):
        if kind == "mapping":
            key = _node(text, event, events)
            colon = re.compile(r"\s*:").match(text, key.end)
            opened = colon.end() if colon else key.end
            value = _node(text, next(events), events)
            if value.start == value.end:  # none: the library gives the place of what follows
                value = Node("scalar", opened, opened)
            node.entries.append(Entry(key.start, opened, value, getattr(event, "value", "")))
        else:
            value = _node(text, event, events)
            begin = _dash(text, place, opening.start_mark.column) if node.block else value.start
            node.entries.append(Entry(begin, begin + 1, value))
        place = node.entries[-1].end
        event = next(events)
    node.end = place if node.block else event.end_mark.index
    return node


def _dash(text: str, place: int, column: int) -> int:
    """The dash of the next item of a sequence: the first in its column at or behind `place`, before which nothing else stands."""
    while True:
        line = text.rfind("\n", 0, place) + 1
        if place <= line + column and text[line + column : line + column + 1] == "-":
            return line + column
        place = text.index("\n", place) + 1
