"""The SVG that a page gets: nothing that could collide, leak or be taken for markup."""

import re

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from tasks.charts.figure import INK, drawing, shorten, to_svg


def svg(text: str) -> str:
    with drawing():
        figure = Figure(figsize=(2, 2))
        axes = figure.add_subplot()
        axes.plot([0, 1], color=INK)
        axes.set_title(text)
        return to_svg(figure, "name", 'a "label"')


def test_holds_no_metadata_style_sheet_address_or_time() -> None:
    drawn = svg("title")
    for unwanted in ("http", "<metadata", "<style", "matplotlib", "<?xml", "<!DOCTYPE"):
        assert unwanted not in drawn


def test_keeps_only_ids_that_are_referred_to() -> None:
    drawn = svg("title")
    ids = re.findall(r'\bid="([^"]+)"', drawn)
    assert ids
    assert all(f"#{name}" in drawn for name in ids)


def test_draws_in_the_colours_of_the_page() -> None:
    assert "stroke: var(--ink)" in svg("title")
    assert INK not in svg("title")


@pytest.mark.parametrize("text", ["<script>", "$\\frac{", "猫", INK])
def test_shows_text_as_it_is(text: str) -> None:
    assert f">{text.replace('<', '&lt;').replace('>', '&gt;')}</text>" in svg(text)


def test_says_what_it_shows() -> None:
    assert 'role="img"' in svg("title")
    assert 'aria-label="a &quot;label&quot;"' in svg("title")


def test_is_the_same_whatever_the_user_has_set() -> None:
    expected = svg("title")
    with mpl.rc_context({"font.size": 30, "svg.fonttype": "path"}):
        assert svg("title") == expected
        assert mpl.rcParams["font.size"] == 30


def test_shortens_long_names_and_replaces_what_xml_cannot_hold() -> None:
    assert shorten("abcdefghijklmnopqrstuvwxyz") == "abcdefghi…wxyz"
    assert shorten("abcdefghijklmn") == "abcdefghijklmn"
    assert shorten("a\x00b") == "a�b"
