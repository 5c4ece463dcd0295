"""How sure the model became of its training images, epoch by epoch, and which of them it learned late or never."""

from typing import TYPE_CHECKING

from markupsafe import Markup

from tasks.charts.figure import ACCENT, INK, drawing, to_svg

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_EPOCHS = 200  # of longer runs, as many that are evenly spaced


def margins_chart(margins: "NDArray[np.float16]", candidates: "NDArray[np.intp]") -> Markup:
    """The median and the middle 50 % and 90 % of margins (E, M) after each of E epochs, and a line for each of the `candidates` in M.

    The margin is the logit of the true class minus the largest other (Pleiss et al. 2020, equation 1). Empty where there is one epoch
    only, or a margin that is not finite.
    """
    import numpy as np
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    if len(margins) < 2 or not np.isfinite(margins).all():
        return Markup()
    shown = np.unique(np.linspace(0, len(margins) - 1, min(len(margins), MOST_EPOCHS)).round().astype(int))
    epochs, values = shown + 1, margins[shown].astype(np.float64)
    lowest, lower, middle, upper, highest = np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95), axis=1)
    with drawing():
        figure = Figure(figsize=(4.4, 2.9))
        axes = figure.add_subplot()
        axes.fill_between(epochs, lowest, highest, color=ACCENT, alpha=0.14, linewidth=0, label="90 %")
        axes.fill_between(epochs, lower, upper, color=ACCENT, alpha=0.24, linewidth=0, label="50 %")
        axes.plot(epochs, middle, color=ACCENT, label="median")
        for place, candidate in enumerate(candidates):
            label = "candidates" if place == 0 else "_"
            axes.plot(epochs, values[:, candidate], color=INK, linewidth=0.6, alpha=0.55, label=label)
        axes.axhline(0, color=INK, linewidth=0.9, linestyle=":")
        axes.set(xlabel="epoch", ylabel="margin of the logits", xlim=(epochs[0], epochs[-1]))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(
            loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=4, handlelength=1.4, columnspacing=1.2, borderaxespad=0.2
        )
        words = (
            f"Line chart of the margins of {margins.shape[1]} training images over {len(margins)} epochs. After the last epoch the "
            f"median is {middle[-1]:.2f}, and {100 * (values[-1] < 0).mean():.1f} % are below 0."
        )
        return to_svg(figure, "margins", words)
