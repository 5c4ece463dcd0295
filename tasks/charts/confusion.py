"""The confusion matrix: which classes are predicted as which others."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from tasks.charts.figure import HEAT, INK, LINE, MUTED, drawing, shorten, to_svg

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ANNOTATED = 20  # with more classes the counts would be too small to read


def count_confusions(labels: "NDArray[np.int64]", predicted: "NDArray[np.int64]", classes: int) -> "NDArray[np.int64]":
    """Counts (K, K): one row per true class, one column per predicted class. `labels` and `predicted` are (N,) class numbers."""
    import numpy as np

    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def most_frequent(counts: "NDArray[np.int64]", most: int) -> list[tuple[int, int, int]]:
    """The most frequent errors as (true class, predicted class, count), most frequent first."""
    size = len(counts)
    cells = [(a, p, int(counts[a, p])) for a in range(size) for p in range(size) if a != p and counts[a, p]]
    return sorted(cells, key=lambda cell: -cell[2])[:most]


def confusion_chart(counts: "NDArray[np.int64]", classes: Sequence[str]) -> Markup:
    """A heat map of the errors, coloured by their share of the true class. The diagonal is grey, because it would outshine them."""
    from matplotlib.figure import Figure

    with drawing():
        figure = Figure(figsize=(4.4, 4.4))
        axes = figure.add_subplot()
        axes.imshow(_shades(counts), interpolation="none", aspect="equal")
        axes.grid(visible=False)
        axes.spines[:].set_visible(True)
        axes.set_xlabel("predicted class", labelpad=7)
        axes.set_ylabel("true class", labelpad=7)
        axes.xaxis.set_label_position("top")
        _name_axes(axes, classes)
        if len(classes) <= ANNOTATED:
            _annotate(axes, counts)
        wrong, total = int(counts.sum() - counts.trace()), int(counts.sum())
        return to_svg(
            figure,
            "confusion",
            f"Confusion matrix of {len(classes)} classes: {wrong} of {total} test images are misclassified.",
        )


def _shares(counts: "NDArray[np.int64]") -> "NDArray[np.float64]":
    """Errors (K, K) as a share of their true class, divided by the largest such share; the diagonal is 0."""
    import numpy as np

    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(shares, 0)
    return np.asarray(shares / max(shares.max(), 1e-12))


def _shades(counts: "NDArray[np.int64]") -> "NDArray[np.uint8]":
    """RGBA (K, K, 4): the more errors, the more opaque. Every error is visible, and a count can be read on the strongest shade."""
    import numpy as np

    shares = _shares(counts)
    shades = np.zeros((*counts.shape, 4))
    shades[..., :3] = HEAT
    shades[..., 3] = np.where(shares > 0, 0.12 + 0.66 * shares, 0)
    shades[np.diag_indices(len(counts))] = (0.5, 0.53, 0.57, 0.18)
    return np.asarray(np.rint(shades * 255), np.uint8)


def _name_axes(axes: Any, classes: Sequence[str]) -> None:
    """Every class where there is room for its name, every n-th otherwise."""
    step = 1 if len(classes) <= 40 else 5 if len(classes) <= 60 else 10
    ticks = range(0, len(classes), step)
    names = [shorten(classes[tick]) for tick in ticks]
    size = 8.5 if len(classes) <= 25 else 6.5
    slanted = max(map(len, names)) * len(names) > 44
    axes.set_xticks(
        ticks, names, rotation=60 if slanted else 0, ha="left" if slanted else "center", rotation_mode="anchor", fontsize=size
    )
    axes.set_yticks(ticks, names, fontsize=size)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, labelcolor=INK)
    if len(classes) <= ANNOTATED:
        edges = [tick - 0.5 for tick in range(len(classes) + 1)]
        axes.hlines(edges, -0.5, len(classes) - 0.5, color=LINE, linewidth=0.5)
        axes.vlines(edges, -0.5, len(classes) - 0.5, color=LINE, linewidth=0.5)


def _annotate(axes: Any, counts: "NDArray[np.int64]") -> None:
    size = 9 if len(counts) <= 12 else 6.5
    for actual, row in enumerate(counts):
        for predicted, count in enumerate(row):
            if count:
                colour = MUTED if actual == predicted else INK
                axes.text(predicted, actual, f"{count}", ha="center", va="center", color=colour, fontsize=size)
