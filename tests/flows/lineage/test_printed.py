"""Names that are printed cannot change what stands around them."""

import pytest

from flows.lineage.printed import cell, escaped


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("models/model.safetensors", "models/model.safetensors"),
        ("bilder/größe 日本.png", "bilder/größe 日本.png"),
        ("a\nproven: 3 files", r"a\nproven: 3 files"),
        ("\x1b[2Jcleared", r"\x1b[2Jcleared"),
        ("turned\u202egnp.exe", r"turned\u202egnp.exe"),
        ("nothing\u200bseen", r"nothing\u200bseen"),
        ("not UTF-8 \udcff", r"not UTF-8 \udcff"),
        ("\r\t\x00\x7f\x9b", r"\r\t\x00\x7f\x9b"),
    ],
)
def test_what_is_not_printable_is_written_out(name: str, printed: str) -> None:
    assert escaped(name) == printed
    assert printed.isprintable()


def test_two_names_never_look_the_same() -> None:
    assert escaped("a\\nb") != escaped("a\nb")


def test_a_cell_is_no_markup() -> None:
    from rich.text import Text

    assert Text.from_markup(cell("[red]a[/] \x1b[0m")).plain == r"[red]a[/] \x1b[0m"
    assert cell(None) == ""
    assert cell(3) == "3"
