"""Loss and accuracy over the epochs."""

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from tasks.charts.figure import ACCENT, INK, MUTED, drawing, to_svg

if TYPE_CHECKING:
    import pandas as pd

LOG_ABOVE = 50  # a loss that falls by more than this is drawn on a log scale: a linear one would show a line along the floor


def learning_curve(history: "pd.DataFrame", quantity: str, chosen_epoch: int, unit: str = "") -> Markup:
    """`quantity` ("loss", in `unit`, or "accuracy") of train and, where there is one, of val; the chosen epoch is marked."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator
    from numpy import isnan

    epochs = history["epoch"].to_numpy()
    with drawing():
        figure = Figure(figsize=(4.4, 2.9))
        axes = figure.add_subplot()
        for split, colour, dashes in (("train", MUTED, "--"), ("val", ACCENT, "-")):
            values = history[f"{split}_{quantity}"].to_numpy(dtype=float)
            if not isnan(values).all():  # otherwise the split is empty
                axes.plot(epochs, values, dashes, color=colour, label=split, marker="o" if len(epochs) < 4 else "")
        _mark(axes, history, quantity, chosen_epoch)
        axes.set_xlabel("epoch")
        room = max(0.5, 0.02 * len(epochs))
        axes.set_xlim(epochs[0] - room, epochs[-1] + room)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _scale(axes, quantity, unit)
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, handlelength=1.8, borderaxespad=0.2)
        return to_svg(figure, quantity, _words(history, quantity, chosen_epoch))


def _mark(axes: Any, history: "pd.DataFrame", quantity: str, chosen_epoch: int) -> None:
    axes.axvline(chosen_epoch, color=INK, linewidth=0.9, linestyle=":", label=f"chosen: epoch {chosen_epoch}")
    chosen = history[history["epoch"] == chosen_epoch]
    for split, colour in (("train", MUTED), ("val", ACCENT)):
        axes.plot(chosen["epoch"], chosen[f"{split}_{quantity}"].astype(float), "o", color=colour, markersize=4.5)


def _scale(axes: Any, quantity: str, unit: str) -> None:
    from matplotlib.ticker import FuncFormatter

    if quantity == "accuracy":
        low, high = axes.get_ylim()
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g} %"))
        axes.set_ylim(low, min(high, 1 + 0.02 * (1 - low)))
        return
    values = [value for line in axes.get_lines()[:2] for value in line.get_ydata() if value > 0]
    if values and max(values) > LOG_ABOVE * min(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_ylabel(f"{unit}, log scale")
    else:
        axes.set_ylim(bottom=0)
        axes.set_ylabel(unit)


def _words(history: "pd.DataFrame", quantity: str, chosen_epoch: int) -> str:
    """What the chart shows, for those who cannot see it."""
    row = history[history["epoch"] == chosen_epoch]
    parts = [f"{split} {float(value):.3f}" for split in ("train", "val") for value in row[f"{split}_{quantity}"].dropna()]
    return f"Line chart of {quantity} over {len(history)} epochs. At the chosen epoch {chosen_epoch}: {', '.join(parts)}."
