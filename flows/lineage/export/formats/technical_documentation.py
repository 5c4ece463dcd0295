"""Technical documentation in the order of the EU AI Act's Annex IV: what the record knows, and each gap by its point.

It is a start for whoever has to write such a document, and claims no conformity: most points are about the use of a system, of which a
record of its training knows nothing.
"""

from typing import TYPE_CHECKING

from flows.lineage.export.write import put

if TYPE_CHECKING:
    from flows.lineage.export.annex import Point
    from flows.lineage.export.recorded import Recorded

TEXT = "a page in the order of the EU AI Act's Annex IV, with its gaps"
GENERAL, DETAILED = "1. General description", "2. Elements of the system, and process of its development"


def export(recorded: "Recorded", output: str | None) -> None:
    """Write the page."""
    from flows.lineage.export.annex import points
    from flows.lineage.export.markdown import plain, table

    found = list(points(recorded))
    lines = [
        f"# Technical documentation: {plain(recorded.name)}\n",
        "In the order of Annex IV of Regulation (EU) 2024/1689 (the AI Act), in other words than its own. **This page claims no "
        "conformity.**\nWhether the Act asks for this documentation is not judged here. Every number is from the lineage of the run; "
        "what the lineage does\nnot know is named as a gap.\n",
    ]
    for point in found:
        lines += _section(point)
    lines += ["## Gaps\n", *table(("point", "missing"), [(point.number, point.gap) for point in found])]
    put("\n".join(lines), output)


def _section(point: "Point") -> list[str]:
    """A numbered point, or a lettered one below the title of its number."""
    title = {"1(a)": f"## {GENERAL}\n", "2(a)": f"## {DETAILED}\n"}.get(point.number)
    level = "###" if "(" in point.number else "##"
    known = ["\n".join(point.known) + "\n"] if point.known else []
    return [*([title] if title else []), f"{level} {point.number}. {point.title}\n", *known, f"**Gap:** {point.gap}.\n"]
