"""Texts in Markdown: what a name holds stays text."""

import pytest
from markdown_it import MarkdownIt

from flows.lineage.export.markdown import code, plain, table
from flows.lineage.export.sections import number


@pytest.mark.parametrize("name", ["a|b", "<script>", "[x](y)", "*bold*", "`code`", "# title", "a&lt;b"])
def test_no_character_of_a_name_has_a_meaning(name: str) -> None:
    assert plain(name).replace("\\", "") == name
    assert all(plain(name)[place - 1] == "\\" for place, letter in enumerate(plain(name)) if letter in "|<>[]*`#&")


@pytest.mark.parametrize(
    "name", ["a|b", "<b>x</b>", "[x](y)", "![x](y)", "*a* _b_ ~c~", "`code`", "a&lt;b", "\\", "$x$", "<!-- x"]
)
def test_a_reader_of_markdown_sees_the_name_itself_in_a_cell(name: str) -> None:
    parsed = MarkdownIt("commonmark").enable("table").parse("\n".join(table(("x", "y"), [(plain(name), "1")])))
    cells = [token.children or [] for token in parsed if token.type == "inline"]
    assert ["".join(part.content for part in cell) for cell in cells] == ["x", "y", name, "1"]
    assert {part.type for cell in cells for part in cell} <= {"text", "text_special"}


@pytest.mark.parametrize("control", ["\n", "\r", "\x1b[2J", "\x00", "\u202e", "\u2028"])
def test_control_characters_and_turned_writing_are_replaced(control: str) -> None:
    for written in (plain(f"a{control}b"), code(f"a{control}b")):
        assert control[0] not in written
        assert "\N{REPLACEMENT CHARACTER}" in written


def test_code_falls_back_to_text_where_a_cell_or_the_code_would_end() -> None:
    assert code("a/b.py") == "`a/b.py`"
    assert code("a|b") == r"a\|b"
    assert code("a`b") == r"a\`b"
    assert code("") == ""
    assert table(("x", "y"), [(code("a|b"), "1")]) == ["| x | y |", "| --- | --- |", r"| a\|b | 1 |"]


def test_numbers_keep_digits_that_count() -> None:
    assert [number(value) for value in (539, 0.948051, 0.0, 0.00012346, None)] == [
        "539",
        "0.9481",
        "0.0000",
        "1.235e-04",
        "none",
    ]
