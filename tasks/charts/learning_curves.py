"""Loss and accuracy over the epochs."""

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from tasks.charts.figure import ACCENT, INK, MUTED, drawing, to_svg

if TYPE_CHECKING:
    import pandas as pd

STEEP = 50  # on a linear scale, a loss that falls by more than this factor is a flat line at the bottom


def learning_curve(history: "pd.DataFrame", quantity: str, chosen_epoch: int, unit: str = "") -> Markup:
    """`quantity` ("loss", in `unit`, or "accuracy") of train and, where there is one, of val; the saved epoch is marked."""
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
        _scale(axes, history, quantity, unit)
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, handlelength=1.8, borderaxespad=0.2)
        return to_svg(figure, quantity, _words(history, quantity, chosen_epoch))


def _mark(axes: Any, history: "pd.DataFrame", quantity: str, chosen_epoch: int) -> None:
    axes.axvline(chosen_epoch, color=INK, linewidth=0.9, linestyle=":", label=f"saved: epoch {chosen_epoch}")
    chosen = history[history["epoch"] == chosen_epoch]
    for split, colour in (("train", MUTED), ("val", ACCENT)):
        axes.plot(chosen["epoch"], chosen[f"{split}_{quantity}"].astype(float), "o", color=colour, markersize=4.5)
    best = _best(history)
    if quantity == "loss" and best is not None and (epoch := int(history["epoch"][best])) != chosen_epoch:
        lowest = float(history["val_loss"][best])
        axes.plot(epoch, lowest, "o", color=ACCENT, markersize=5, fillstyle="none")
        axes.annotate(f"lowest: epoch {epoch}", (epoch, lowest), (4, -11), textcoords="offset points", color=ACCENT)


def _best(history: "pd.DataFrame") -> int | None:
    """Position of the lowest validation loss; None without a validation set."""
    import numpy as np

    losses = history["val_loss"].to_numpy(dtype=float)
    return None if np.isnan(losses).all() else int(np.nanargmin(losses))


def _scale(axes: Any, history: "pd.DataFrame", quantity: str, unit: str) -> None:
    from matplotlib.ticker import FuncFormatter

    if quantity == "accuracy":
        low, high = axes.get_ylim()
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g} %"))
        axes.set_ylim(low, min(high, 1 + 0.02 * (1 - low)))
        return
    values = [value for split in ("train", "val") for value in history[f"{split}_loss"].dropna() if value > 0]
    steep, best = bool(values) and max(values) > STEEP * min(values), _best(history)
    axes.set_ylabel(unit)
    if steep and best is None:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_ylabel(f"{unit}, log scale")
        return
    axes.set_ylim(bottom=0)
    if steep and best is not None:
        # Where the validation loss rises again after its best epoch, that rise must be visible: the first epochs may be cut off.
        top = 2 * max(float(history[f"{split}_loss"][best:].max()) for split in ("train", "val"))
        if float(history["val_loss"][best:].max()) > float(history["val_loss"][best]) and top < max(values):
            axes.set_ylim(top=top)
            axes.set_ylabel(f"{unit}, first epochs cut off")


def _words(history: "pd.DataFrame", quantity: str, chosen_epoch: int) -> str:
    """What the chart shows, for those who cannot see it."""
    row = history[history["epoch"] == chosen_epoch]
    parts = [f"{split} {float(value):.3f}" for split in ("train", "val") for value in row[f"{split}_{quantity}"].dropna()]
    plural = "" if len(history) == 1 else "s"
    at = f"At the saved epoch {chosen_epoch}: {', '.join(parts)}."
    return f"Line chart of {quantity} over {len(history)} epoch{plural}. {at}"
