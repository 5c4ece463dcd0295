"""The range test that has chosen the learning rate: the smoothed loss over the rates."""

from markupsafe import Markup

from tasks.charts.figure import ACCENT, INK, drawing, to_svg
from tasks.contracts.trained import RangeTest

ROOM = (
    0.15  # above the highest loss before the lowest, as a share of the fall: a loss that explodes afterwards is cut off there
)


def range_test_chart(tested: RangeTest, unit: str) -> Markup:
    """The smoothed loss, in `unit`, of each step against its rate, on a logarithmic axis; the chosen rate is marked."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
    from numpy import interp, log

    lowest = min(range(len(tested.losses)), key=tested.losses.__getitem__)
    top, bottom = max(tested.losses[: lowest + 1]), tested.losses[lowest]
    room = ROOM * (top - bottom)
    with drawing():
        figure = Figure(figsize=(4.4, 2.9))
        axes = figure.add_subplot()
        axes.plot(tested.rates, tested.losses, color=ACCENT, label="smoothed loss")
        axes.axvline(tested.chosen, color=INK, linewidth=0.9, linestyle=":", label=f"chosen: {tested.chosen:g}")
        loss = interp(log(tested.chosen), log(tested.rates), tested.losses)
        axes.plot(tested.chosen, loss, "o", color=ACCENT, markersize=4.5)
        axes.set(xlabel="learning rate, log scale", ylabel=unit, xscale="log", ylim=(bottom - room, top + room))
        axes.xaxis.set_major_locator(LogLocator(numticks=10))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, handlelength=1.8, borderaxespad=0.2)
        words = (
            f"Line chart of the smoothed loss in a range test of {len(tested.rates)} learning rates from {tested.rates[0]:g} to "
            f"{tested.rates[-1]:g}. Chosen: {tested.chosen:g}."
        )
        return to_svg(figure, "range-test", words)
