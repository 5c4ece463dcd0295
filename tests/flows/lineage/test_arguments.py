"""An argument that is empty, as a variable of a script that was not set, or one that is none."""

import pytest

from flows.cli import parser
from tests.flows.lineage.world import World

EMPTY = [
    ("verify", ""),
    ("verify", "--rev", ""),
    ("verify", "--rev="),
    ("verify", "--rev", " "),
    ("show", ""),
    ("show", "--rev", ""),
    ("reproduce", ""),
    ("reproduce", "HEAD", ""),
    ("reproduce", "--stage", ""),
    ("bundle", "", "-o", "made"),
    ("diff", ""),
    ("diff", "HEAD", ""),
    ("rows", "--rev", ""),
    ("rows", "--file", ""),
    ("impact", "", "--row", "3"),
    ("impact", "--digest", "", "--row", "3"),
    ("find", ""),
    ("find", "--digest", ""),
    ("export", "--format", "prov", "--output", ""),
    ("export", "--format", "prov", "--rev", ""),
    ("reproduce", "--output", ""),
    ("bundle", "--output", ""),
    ("bundle", "-o", "made", "--public-key", ""),
    ("sign", "--key", ""),
    ("sign", "--key", "key.pem", "--output", " "),
    ("check-signature", "--public-key", ""),
    ("verify", "--public-key", ""),
    ("explain", ""),
    ("list", "--sort-by", ""),
]


@pytest.mark.parametrize("arguments", EMPTY, ids=" ".join)
def test_an_empty_argument_is_a_usage_error_and_not_the_default(world: World, arguments: tuple[str, ...]) -> None:
    done = world.goodfit("lineage", *arguments, check=False)
    assert done.returncode == 2
    assert "expected a text that is not empty (is a variable of the shell unset?)" in done.stderr
    assert done.stdout == ""


NO_VALUE = [
    ("lineage", "verify", "--rev=--"),
    ("lineage", "verify", "--public-key=--"),
    ("lineage", "check-signature", "--public-key=--"),
    ("lineage", "find", "--digest=--"),
    ("lineage", "list", "--sort-by=--"),
    ("lineage", "impact", "--digest=--"),
    ("lineage", "reproduce", "--tolerance=--"),
    ("lineage", "bundle", "-o--"),
    ("run", "--set-param=--"),
    ("diagnose", "--pilot=--"),
]


@pytest.mark.parametrize("arguments", NO_VALUE, ids=" ".join)
def test_two_dashes_are_no_value_of_an_option(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(arguments)
    assert ended.value.code == 2
    assert "found '--', which only separates options from names; expected a value" in capsys.readouterr().err


def test_two_dashes_still_separate_options_from_names() -> None:
    options = parser().parse_args(["lineage", "show", "--rev", "HEAD", "--", "--rev=--"])
    assert (options.rev, options.path) == ("HEAD", "--rev=--")


def test_a_row_without_a_path_is_a_usage_error_and_not_a_row_of_the_source(world: World) -> None:
    done = world.goodfit("lineage", "impact", ":17", check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "found ':17', a row without a path; expected PATH:ROW (is a variable of the shell unset?)" in done.stderr
