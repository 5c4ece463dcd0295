"""The ROC curve of a membership attack: how well losses tell training images from others."""

from markupsafe import Markup

from tasks.charts.figure import ACCENT, INK, MUTED, drawing, to_svg
from tasks.contracts.findings import Finding

RATES = ("roc_false_positive_rates", "roc_true_positive_rates")  # of the finding's evidence


def attack_chart(finding: Finding) -> Markup:
    """True against false positive rate, with guessing as the diagonal; empty where the finding has no such curve."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    false, true = (finding.evidence.get(name) for name in RATES)
    if not (isinstance(false, list) and isinstance(true, list)):
        return Markup()
    with drawing():
        figure = Figure(figsize=(3.6, 3.4))
        axes = figure.add_subplot()
        axes.plot((0, 1), (0, 1), "--", color=MUTED, linewidth=1, label="guessing")
        axes.plot(false, true, color=ACCENT, label="attack by the loss")
        axes.set(xlabel="other images called members", ylabel="training images called members", xlim=(0, 1), ylim=(0, 1.01))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
        axes.set_aspect("equal")
        axes.legend(loc="lower right", labelcolor=INK)
        words = f"ROC curve of the attack by the loss; area {finding.estimate:.3f}, where guessing has 0.5."
        return to_svg(figure, f"roc-{finding.code}", words)
