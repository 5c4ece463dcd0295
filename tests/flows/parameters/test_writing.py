"""Values written into YAML text: everything that has nothing to do with them stays where it is."""

import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from ruamel.yaml import YAML

from flows.parameters.writing import merged, with_values
from tasks.core.errors import ParamsError


def load(text: str) -> dict[str, Any]:
    document: dict[str, Any] = YAML(typ="safe").load(text)
    return document


CASES = [
    pytest.param(
        "a:\n- x\n- y  # last\n\n# heading\nb: 1\n",
        {"a": ["x", "y"], "b": 1, "c": [1, 2]},
        "a:\n- x\n- y  # last\n\n# heading\nb: 1\nc: [1, 2]\n",
        id="a key after a block list that is not the last",
    ),
    pytest.param(
        "s:\n  a:\n    - x\n    - y  # last\n\n# heading\nb: 1\n",
        {"s": {"a": ["x", "y"], "new": 2.5}, "b": 1},
        "s:\n  a:\n    - x\n    - y  # last\n  new: 2.5\n\n# heading\nb: 1\n",
        id="a key after a block list that ends its section",
    ),
    pytest.param(
        "s:\n  a:\n  - x\n  - {y: 1,\n     z: 2}\n  # closing\n\nb: 1\n",
        {"s": {"a": ["x", {"y": 1, "z": 2}, "w"], "new": None}, "b": 1},
        "s:\n  a:\n  - x\n  - {y: 1,\n     z: 2}\n  - w\n  new: null\n  # closing\n\nb: 1\n",
        id="an item and a key at the same place",
    ),
    pytest.param(
        "s:\n  a: 1\n  b: 2  # of b\n\n# heading\nt: 1\n",
        {"s": {"a": 1}, "t": 1},
        "s:\n  a: 1\n\n# heading\nt: 1\n",
        id="the last key of a section is dropped",
    ),
    pytest.param(
        "s:\n  a: 1\n  deep:\n    - 1\n    # inside\n    - 2\n  # after\nt: 1\n",
        {"s": {"a": 1}, "t": 1},
        "s:\n  a: 1\n  # after\nt: 1\n",
        id="the last section of a section is dropped",
    ),
    pytest.param(
        "s:  # of s\n  # above a\n  a: 1\n\n# heading\nt: 1\n",
        {"s": {}, "t": 1},
        "s: {}  # of s\n  # above a\n\n# heading\nt: 1\n",
        id="the only key of a section is dropped",
    ),
    pytest.param(
        "s:\n  a: 1\n\n# heading\nt: 1\n",
        {"s": 3, "t": [1, {"x": True}]},
        "s: 3\n\n# heading\nt: [1, {x: true}]\n",
        id="a section becomes a value and a value a list",
    ),
    pytest.param(
        "a: [1, 2, 3]   # three\nb: {x: 1, y: 'q', z: 1e-3}\n",
        {"a": [1, 3], "b": {"y": "q", "z": 1e-3, "w": "no: plain"}},
        "a: [1, 3]      # three\nb: {y: 'q', z: 1e-3, w: 'no: plain'}\n",
        id="collections on one line",
    ),
    pytest.param(
        "a: [1,  # one\n    2,  # two\n    3]  # three\n",
        {"a": [1, 4, 3, 5]},
        "a: [1,  # one\n    4,  # two\n    3, 5]  # three\n",
        id="a list over several lines",
    ),
    pytest.param(
        "a: {k: 1,  # one\n    l: 2,  # two\n    m: 3}  # three\n",
        {"a": {"k": 1, "n": 4}},
        "a: {k: 1, n: 4  # one\n      # two\n    }  # three\n",
        id="keys of a mapping over several lines are dropped",
    ),
    pytest.param(
        "l:\n- a: 1  # of a\n  # above b\n  b: 2\n- - x\n  - y\n",
        {"l": [{"b": 2}, ["y"]]},
        "l:\n- \n  # above b\n  b: 2\n- - y\n",
        id="the first key behind a dash is dropped",
    ),
    pytest.param("a:\nb: 1", {"a": 1, "b": 1, "c": 2}, "a: 1\nb: 1\nc: 2\n", id="an empty value, and no line break at the end"),
    pytest.param(
        "a: |\n  two\n  lines\n\n# heading\nb: 1\n",
        {"a": "one", "b": 1},
        "a: one\n\n# heading\nb: 1\n",
        id="a literal block",
    ),
    pytest.param(
        "a: &x {k: 1}\nb:\n  <<: *x\n  l: 2\n",
        {"a": {"k": 1}, "b": {"k": 3, "l": 2}},
        "a: &x {k: 1}\nb:\n  <<: *x\n  l: 2\n  k: 3\n",
        id="a value beside a merge key",
    ),
    pytest.param("# title\na: 1\n\n# end\n", {"b": 2}, "# title\nb: 2\n\n# end\n", id="every key is another one"),
    pytest.param("# title\na: 1\n\n# end\n", {}, "# title\n\n# end\n{}\n", id="no key is left"),
    pytest.param("{a: 1}\n", {}, "{}\n", id="no key is left on one line"),
    pytest.param("a: &x 1\nb: *x  # b\n", {"a": 1, "b": 2}, "a: &x 1\nb: 2   # b\n", id="an alias"),
]


@pytest.mark.parametrize(("text", "wanted", "expected"), CASES)
def test_only_what_differs_is_written(text: str, wanted: dict[str, Any], expected: str) -> None:
    written = with_values(text, wanted)
    assert written == expected
    assert load(written) == wanted
    assert with_values(written, wanted) == written


@pytest.mark.parametrize("value", ["a\nb", "yes", "1", "", " x ", "#", "[", "ä: ö", "x" * 300, "null", "'", '"\\'])
def test_a_text_is_quoted_where_yaml_needs_it(value: str) -> None:
    for text in ("a: 1  # one\nb: 1\n", "a: {b: [1, 2]}\n"):
        wanted = {"a": value, value: [value]}
        written = with_values(text, wanted)
        assert load(written) == wanted
        assert written.count("\n") <= 3


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a: &x {k: 1}\nb: *x\n", {"a": {"k": 2}, "b": {"k": 1}}),
        ("a: &x {k: 1}\nb: *x\n", {"b": {"k": 1}}),
        ("a: &x {k: 1}\nb: {<<: *x, l: 2}\n", {"a": {"k": 1}, "b": {"l": 2}}),
        ("a: &x\n- 1\nb: *x\n", {"a": [2], "b": [1]}),
    ],
)
def test_a_shared_value_that_has_to_differ_is_an_error_and_never_another_value(text: str, wanted: dict[str, Any]) -> None:
    with pytest.raises(ParamsError, match=r"an anchor \(&, \*, <<\)"):
        with_values(text, wanted)


class Author:
    """Writes random parameters with a comment above and beside every key, and edits them at random."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.names = iter(range(10**6))

    def name(self) -> str:
        return f"k{next(self.names)}"

    def plain(self) -> Any:
        return self.random.choice(
            [0, 2.5, 1e-9, True, None, "text", "two words", "a: b", [], {}, [1, 2], {self.name(): [64, 64]}]
        )

    def section(self, depth: int = 0) -> dict[str, Any]:
        return {self.name(): self.value(depth) for _ in range(self.random.randint(1, 4))}

    def value(self, depth: int) -> Any:
        kind = self.random.random()
        if depth < 3 and kind < 0.35:
            return self.section(depth + 1)
        if depth < 3 and kind < 0.55:
            return [self.value(depth + 1) for _ in range(self.random.randint(1, 3))]
        return self.plain()

    def text(self, value: Any, indent: int = 0) -> str:
        lines = ""
        for key, item in value.items():
            lines += "\n" * self.random.randint(0, 1) + f"{' ' * indent}# above {key}\n{' ' * indent}{key}:"
            lines += self.behind(item, indent, f" # beside {key}")
        return lines

    def behind(self, item: Any, indent: int, comment: str) -> str:
        """What follows a colon or a dash: a section, a list over several lines, or a value on the same line."""
        if isinstance(item, dict) and item and self.random.random() < 0.8:
            return f"{comment}\n{self.text(item, indent + 2)}"
        if isinstance(item, list) and item and self.random.random() < 0.8:
            inner = indent + self.random.choice([0, 2])
            return f"{comment}\n" + "".join(f"{' ' * inner}-{self.behind(each, inner + 2, '')}" for each in item)
        return f" {self.one_line(item)}{comment}\n"

    def one_line(self, item: Any) -> str:
        (line,) = with_values("x: 1\n", {"x": item}).splitlines()
        return line.removeprefix("x: ")

    def edit(self, value: dict[str, Any]) -> dict[str, Any]:
        wanted = deepcopy(value)
        for _ in range(self.random.randint(1, 3)):
            place = self.random.choice([wanted, *containers(wanted)])
            action = self.random.random()
            if isinstance(place, list):
                if action < 0.4 and place:
                    del place[self.random.randrange(len(place))]
                else:
                    place.insert(self.random.randint(0, len(place)), self.value(2))
            elif action < 0.4 and len(place) > 1:
                del place[self.random.choice(list(place))]
            elif action < 0.7 and place:
                place[self.random.choice(list(place))] = self.value(2)
            else:
                place[self.name()] = self.value(2)
        return wanted


def containers(value: Any) -> Iterator[Any]:
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, dict | list):
            yield item
            yield from containers(item)


def sections(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Every section that is reached through sections alone, by its path."""
    yield path, value
    for key, item in value.items():
        if isinstance(item, dict):
            yield from sections(item, (*path, key))


@pytest.mark.parametrize("seed", range(60))
def test_random_edits_keep_every_comment_at_its_key(seed: int) -> None:
    author = Author(seed)
    present = author.section()
    text = author.text(present)
    assert load(text) == present
    for _ in range(8):
        wanted = author.edit(present)
        written = with_values(text, wanted)
        assert load(written) == wanted
        assert comments_that_stay(present, wanted, text) <= placed(written)
        text, present = written, wanted


def comments_that_stay(present: dict[str, Any], wanted: dict[str, Any], text: str) -> set[tuple[str, str]]:
    """The comments of the keys that are there before and after, in sections of which some key is left."""
    after = dict(sections(wanted))
    kept = {
        key
        for path, section in sections(present)
        if all(is_kept(dict(sections(present)), after, path[:length]) for length in range(len(path) + 1))
        for key in section.keys() & after[path].keys()
    }
    return {(comment, key) for comment, key in placed(text) if key in kept and comment.split()[-1] == key}


def is_kept(before: dict[Any, Any], after: dict[Any, Any], path: tuple[str, ...]) -> bool:
    return path in after and bool(before[path].keys() & after[path].keys())


def placed(text: str) -> set[tuple[str, str]]:
    """Every comment with its key: the one on its line, or the next below it that is not another comment."""
    found, waiting = set(), []
    for line in text.splitlines():
        content, _, comment = line.partition("# ")
        key = content.strip().lstrip("- ").partition(":")[0]
        if comment and not key:
            waiting.append(comment)
        elif key:
            found |= {(name, key) for name in [*waiting, *([comment] if comment else [])]}
            waiting = []
    return found


def test_random_edits_of_one_value_change_only_its_line() -> None:
    for seed in range(40):
        author = Author(seed)
        present = author.section()
        text = author.text(present)
        wanted = deepcopy(present)
        place = author.random.choice([wanted, *(item for item in containers(wanted) if isinstance(item, dict) and item)])
        key = author.random.choice(list(place))
        if isinstance(place[key], dict | list):
            continue
        place[key] = "changed"
        before, after = text.splitlines(), with_values(text, wanted).splitlines()
        assert len(before) == len(after)
        assert len([1 for old, new in zip(before, after, strict=True) if old != new]) == 1


def test_merging_keeps_the_order_of_the_base() -> None:
    assert list(merged({"b": 1, "a": {"x": 1}}, {"c": 2, "a": {"y": 2}})) == ["b", "a", "c"]
