"""Is it right as often as it says?"""

from typing import TYPE_CHECKING

from markupsafe import Markup

from tasks.charts.figure import ACCENT, MUTED, drawing, to_svg

if TYPE_CHECKING:
    import pandas as pd


def reliability_chart(bins: "pd.DataFrame", calibration_error: float) -> Markup:
    """Accuracy with its interval against mean confidence, a point a bin; below it the examples a bin.

    The calibration error is named in the description; it is that of the evaluation, not computed anew from rounded bins.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    with drawing():
        figure = Figure(figsize=(4.4, 4.3))
        upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (3.4, 1)})
        upper.plot((0, 1), (0, 1), "--", color=MUTED, linewidth=1, label="perfectly calibrated")
        below, above = bins["accuracy"] - bins["accuracy_ci_low"], bins["accuracy_ci_high"] - bins["accuracy"]
        upper.errorbar(
            bins["confidence"],
            bins["accuracy"],
            yerr=(below.clip(lower=0), above.clip(lower=0)),
            fmt="o",
            color=ACCENT,
            markersize=4.5,
            elinewidth=1.2,
            label="test examples, with interval",
        )
        upper.set(ylabel="accuracy", xlim=(0, 1.02), ylim=(-0.02, 1.02))
        upper.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
        upper.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, handlelength=1.8, borderaxespad=0.2)
        width = bins["bin_high"] - bins["bin_low"]
        lower.bar(bins["bin_low"] + width / 2, bins["n"], width=width * 0.82, color=ACCENT)
        lower.set(ylabel="examples", xlabel="predicted probability of the predicted class")
        lower.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
        lower.grid(visible=False, axis="x")
        description = f"Reliability diagram of {len(bins)} bins; expected calibration error {calibration_error:.3f}."
        return to_svg(figure, "reliability", description)
