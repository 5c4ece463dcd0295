"""`goodfit diagnose --label-candidates N`: the most suspicious labels of a split, as a table and as a page with their pictures."""

from pathlib import Path
from typing import TYPE_CHECKING

from tasks.contracts.splits import SplitName
from tasks.core.files import whole

if TYPE_CHECKING:
    import pandas as pd

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color-scheme: light dark }
ul { display: flex; flex-wrap: wrap; gap: 1rem; padding: 0; list-style: none }
figure { margin: 0; width: 9rem }
img { width: 9rem; height: 9rem; object-fit: contain; image-rendering: pixelated; background: #8882 }
"""


def candidates(root: Path, split: SplitName, count: int) -> "pd.DataFrame":
    """One row per candidate, the most suspicious first: split, row, path, given, suggested (class names), margin, position.

    The model and the splits are those that the last run left. `path` is empty where the source has no files; `position` is the
    place in the split.

    Raises:
        ArtifactError: a file of an earlier stage is missing, damaged or belongs to another run.
    """
    import pandas as pd

    from tasks.contracts.splits import read_dataset, read_rows
    from tasks.diagnose import measure
    from tasks.diagnostics.candidates import label_candidates

    classes = read_dataset(root).classes
    rows = read_rows(root).query("split == @split")  # a source may number the rows of each of its splits from 0
    paths = dict(zip(rows["row"], rows["path"], strict=True))
    return pd.DataFrame(
        [
            (
                split,
                found.row,
                paths.get(found.row, ""),
                classes[found.given],
                classes[found.suggested],
                found.margin,
                found.position,
            )
            for found in label_candidates(measure(root, seed=0), split, count)
        ],
        columns=["split", "row", "path", "given", "suggested", "margin", "position"],
    )


def write_sheet(root: Path, table: "pd.DataFrame", file: Path) -> None:
    """Write an HTML page with the picture of each candidate."""
    from html import escape

    from tasks.charts.pictures import picture
    from tasks.contracts.splits import read_split

    items = []
    for line in table.to_dict("records"):
        image = read_split(root, line["split"]).images[line["position"]].numpy()
        words = f"{line['given']} → {line['suggested']}", f"row {line['row']}, margin {line['margin']:.2f}", str(line["path"])
        caption = "<br>".join(escape(part) for part in words if part)
        items.append(
            f'<li><figure><img src="{picture(image)}" alt="{escape(words[0])}"><figcaption>{caption}</figcaption></figure></li>'
        )
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Label candidates</title><style>{STYLE}</style>'
        "<h1>Label candidates</h1><p>Given class → the class that the model would rather see. The lower the margin, the more "
        "suspicious the label. Being a candidate proves nothing: a rare but correct example looks alike.</p>"
        f"<ul>{''.join(items)}</ul></html>\n"
    )
    with whole(file) as temporary:
        temporary.write_text(page, encoding="utf-8")
