"""Many texts of dvc.lock, read fast: the same as parsed whole, whatever they hold."""

from collections.abc import Callable
from typing import Any

import pytest

from flows.lineage import quick_lock
from flows.lineage.lock import LockFileError, parse_lock
from flows.lineage.quick_lock import read_text
from tests.conftest import ROOT

LOCK = (ROOT / "dvc.lock").read_text()


def answer(read: Callable[..., Any], text: str) -> Any:
    """What a reader returns, with the types of all values, or that it refuses."""
    try:
        return repr(read(text))
    except LockFileError as error:
        return str(error)


def test_what_dvc_wrote_is_read_without_the_slow_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = parse_lock(LOCK)

    def slow(*_: object) -> None:
        pytest.fail("the text was not recognised as DVC's")

    monkeypatch.setattr(quick_lock, "parse_lock", slow)
    assert read_text(LOCK) == expected
    assert repr(read_text(LOCK)) == repr(expected)  # 1 and 1.0 and true are equal, but not the same
    assert read_text(LOCK, ["train"]) == {"train": expected["train"]}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("md5: 61252179c3a64becf4afe52860eacce5", "md5: '61252179036400000000000000000000'"),
        ("md5: 61252179c3a64becf4afe52860eacce5", "md5: 61252179036400000000000000000000"),
        ("md5: 61252179c3a64becf4afe52860eacce5", "md5: 612521790364000000000000000000e5"),
        ("md5: 61252179c3a64becf4afe52860eacce5", "md5: null"),
        ("path: data/source/README.md\n      hash", "path: '1.5'\n      hash"),
        ("path: data/source/README.md\n      hash", "path: 1.5\n      hash"),
        ("path: data/source/README.md\n      hash", "path: data/ä b.md\n      hash"),
        ("path: data/source/README.md\n      hash", 'path: "data/\\ttab"\n      hash'),
        ("    - path: tasks/core\n", "    - path: tasks/download.py\n"),
        ("cmd: python -m flows.stage download", "cmd: 12"),
        ("cmd: python -m flows.stage download", "cmd:\n    - a\n    - b"),
        ("cmd: python -m flows.stage download", "cmd: python -m flows.stage download # why"),
        ("            name: digits\n", "            name: digits\n            list:\n            - 1\n            - a: 2\n"),
        ("            name: digits\n", "            name: |\n              two\n              lines\n"),
        ("          path: data/source/README.md\n", "          path: 1e-05\n"),
        ("          path: data/source/README.md\n", "          path: on\n"),
        ("          path: data/source/README.md\n", "          true: 1\n"),
        ("          path: data/source/README.md\n", "          path: &a {x: 1}\n          other: *a\n"),
        ("          path: data/source/README.md\n", "          path: x\n          path: y\n"),
        ("      params.yaml:\n        download:\n", "      other.yaml:\n        x: 1\n      params.yaml:\n        download:\n"),
        ("schema: '2.0'\n", "schema: '2.0'\n\n"),
        ("schema: '2.0'\n", "# a comment\nschema: '2.0'\n"),
        ("  download:\n    cmd", "  'download':\n    cmd"),
        ("  download:\n    cmd", "  null:\n    cmd"),
        ("\n", "\r\n"),
    ],
)
def test_any_other_text_is_read_as_yaml_has_it(old: str, new: str) -> None:
    assert old in LOCK
    text = LOCK.replace(old, new) if old == "\n" else LOCK.replace(old, new, 1)
    assert text != LOCK
    assert answer(read_text, text) == answer(parse_lock, text)


def test_every_torn_text_is_read_as_yaml_has_it() -> None:
    text = LOCK[: LOCK.index("  train:\n")]
    for end in range(0, len(text), 97):
        assert answer(read_text, text[:end]) == answer(parse_lock, text[:end]), end
