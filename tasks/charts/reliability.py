"""The reliability diagram: does confidence match accuracy?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from tasks.charts.figure import ACCENT, INK, MUTED, drawing, to_svg

if TYPE_CHECKING:
    import pandas as pd

    from tasks.statistics.calibration import Bin

FEW = 5  # a bin with fewer images gets a hollow point and no interval, which would span most of the chart


@dataclass(frozen=True)
class Scaled:
    """How confidence and accuracy compare once the logits are divided by a temperature."""

    temperature: float
    bins: "Sequence[Bin]"

    @property
    def drawn(self) -> "list[Bin]":
        """The bins with enough images for a point."""
        return [row for row in self.bins if row.n >= FEW]

    @property
    def error(self) -> float:
        """The expected calibration error."""
        from tasks.statistics.calibration import calibration_error

        return calibration_error(self.bins)


def scaled(predictions: "pd.DataFrame", temperature: float, bins: int) -> Scaled:
    """The predictions on test after temperature scaling, which changes no predicted class: in so many bins of confidence."""
    import numpy as np

    from tasks.statistics.calibration import calibration

    probabilities = predictions.filter(regex=r"^probability_\d+$").to_numpy(dtype=np.float64)
    confidence = 1 / ((probabilities / probabilities.max(axis=1, keepdims=True)) ** (1 / temperature)).sum(axis=1)
    right = (predictions["label"] == predictions["predicted"]).to_numpy()
    return Scaled(temperature, calibration(confidence, right, bins))


def reliability_chart(bins: "pd.DataFrame", error: float, after: Scaled | None = None) -> Markup:
    """Accuracy with its interval against mean confidence, one point per bin; below it the number of images per bin.

    Args:
        bins: the table of the evaluation.
        error: the expected calibration error that the evaluation computed.
        after: the same after temperature scaling, drawn as triangles without intervals.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    with drawing():
        figure = Figure(figsize=(4.4, 4.3 if after is None else 4.5))
        upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (3.4, 1)})
        upper.plot((0, 1), (0, 1), "--", color=MUTED, linewidth=1, label="perfectly calibrated")
        few, some = bins[bins["n"] < FEW], bins[bins["n"] >= FEW]
        below, above = some["accuracy"] - some["accuracy_ci_low"], some["accuracy_ci_high"] - some["accuracy"]
        upper.errorbar(
            some["confidence"],
            some["accuracy"],
            yerr=(below.clip(lower=0), above.clip(lower=0)),
            fmt="o",
            color=ACCENT,
            markersize=4.5,
            elinewidth=1.2,
            label="test images, with interval",
        )
        upper.plot(few["confidence"], few["accuracy"], "o", color=ACCENT, markersize=4.5, fillstyle="none")
        if after is not None:
            places = [row.confidence for row in after.drawn], [row.correct / row.n for row in after.drawn]
            upper.plot(*places, "^", color=INK, markersize=4.5, label=f"after scaling, T = {after.temperature:.2f}")
        upper.set(ylabel="accuracy", xlim=(0, 1.02), ylim=(-0.02, 1.02))
        upper.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
        upper.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, handlelength=1.8, borderaxespad=0.2)
        width = bins["bin_high"] - bins["bin_low"]
        lower.bar(bins["bin_low"] + width / 2, bins["n"], width=width * 0.82, color=ACCENT)
        lower.set(ylabel="images", xlabel="confidence (probability of the predicted class)")
        lower.set_yscale("log")  # one bin usually holds most of the images
        lower.set_ylim(bottom=0.5)
        lower.yaxis.set_major_locator(LogLocator(numticks=4))
        lower.yaxis.set_minor_locator(NullLocator())
        lower.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}" if value >= 1 else ""))
        lower.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
        lower.grid(visible=False, axis="x")
        plural = "" if len(bins) == 1 else "s"
        description = f"Reliability diagram of {len(bins)} bin{plural}; expected calibration error {error:.3f}."
        if after is not None:
            description += f" After temperature scaling with T = {after.temperature:.2f} it is {after.error:.3f}."
        return to_svg(figure, "reliability", description)
