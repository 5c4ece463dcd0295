"""An argument that is empty, as a variable of a script that was not set."""

import pytest

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
