"""The style that all charts share, and the conversion of a figure to SVG inside a page.

Colours are roles: each is drawn in a placeholder colour that becomes a CSS variable of the page, so that one chart is legible in
light mode, in dark mode and in print.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from threading import Lock
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup

INK, MUTED, LINE, ACCENT = "#111821", "#5b6471", "#d9dde3", "#1f5fbf"
ROLES = {INK: "var(--ink)", MUTED: "var(--muted)", LINE: "var(--line)", ACCENT: "var(--accent)"}
HEAT = (0.70, 0.29, 0.0)  # errors: drawn over the page's own background with an opacity, so it needs no dark twin

STYLE = {
    "axes.edgecolor": LINE,
    "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 8.5,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "font.family": ["DejaVu Sans"],  # ships with matplotlib: the layout is the same on every machine
    "font.size": 8.5,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.6,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,  # a class may be named "$x"
    "xtick.color": LINE,
    "xtick.labelcolor": MUTED,
    "xtick.major.size": 0,
    "ytick.color": LINE,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0,
}
_one_at_a_time = Lock()  # matplotlib's settings belong to the process, and stages may run in threads


@contextmanager
def drawing() -> Iterator[None]:
    """Draw with the shared style, independent of the user's own matplotlibrc."""
    import matplotlib

    with _one_at_a_time, matplotlib.rc_context(), warnings.catch_warnings():
        # The reader's browser draws the text, so a glyph that matplotlib's font lacks matters only for the layout.
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def to_svg(figure: Any, name: str, label: str) -> Markup:
    """The figure as an `<svg>` element for a page: no ids that could collide, no namespaces, no metadata.

    `name` must differ between the charts of a page (it salts the ids that remain); `label` is what a screen reader says.
    """
    import matplotlib

    buffer = BytesIO()
    matplotlib.rcParams["svg.hashsalt"] = name
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = ElementTree.fromstring(buffer.getvalue())  # noqa: S314 (matplotlib's own output)
    for element in svg.iter():
        _adapt(element)
    _prune(svg)
    _drop_unused_ids(svg)
    width, height = svg.attrib.pop("width"), svg.attrib.pop("height")
    svg.attrib.update({"role": "img", "aria-label": label, "class": "chart"})
    if "viewBox" not in svg.attrib:
        svg.set("viewBox", f"0 0 {width.removesuffix('pt')} {height.removesuffix('pt')}")
    return Markup(ElementTree.tostring(svg, encoding="unicode"))  # noqa: S704 (serialised from a tree: text is escaped)


def shorten(name: str) -> str:
    """A class name that fits an axis and is valid XML: unprintable characters are replaced, and a long name loses its middle."""
    clean = "".join(character if character.isprintable() else "�" for character in name)
    return clean if len(clean) <= 14 else f"{clean[:9]}…{clean[-4:]}"


def _adapt(element: ElementTree.Element) -> None:
    """Plain names instead of namespaces, roles instead of colours, the page's font instead of matplotlib's."""
    element.tag = element.tag.rpartition("}")[2]
    for key in list(element.attrib):
        element.attrib[key.rpartition("}")[2]] = element.attrib.pop(key)
    if style := element.get("style"):
        style = re.sub(r"#[0-9a-f]{6}", lambda match: ROLES.get(match[0], match[0]), style)
        element.set("style", re.sub(r"font: (?:[0-9]+ )?([0-9.]+px) [^;]*", r"font-size: \1", style))


def _prune(parent: ElementTree.Element) -> None:
    """Drop the metadata, and the style sheet, which would apply to the whole page."""
    for child in list(parent):
        if child.tag in ("metadata", "style"):
            parent.remove(child)
        else:
            _prune(child)


def _drop_unused_ids(svg: ElementTree.Element) -> None:
    values = [value for element in svg.iter() for key, value in element.attrib.items() if key != "id"]
    used = {name for value in values for name in re.findall(r"#([\w-]+)", value)}
    for element in svg.iter():
        if element.get("id") not in used:
            element.attrib.pop("id", None)
