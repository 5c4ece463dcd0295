"""What leaked images do to the test accuracy, for the checks that look for them."""

from typing import TYPE_CHECKING

from tasks.diagnostics.words import percent, percent_interval

if TYPE_CHECKING:
    from tasks.diagnostics.measured import Limits, Measured
    from tasks.statistics.arrays import Bools

NAMED = 100  # the evidence lists this many rows at most; it always counts all of them


def few(leaked: "Bools", limits: "Limits") -> bool:
    """Whether so few images of a split (N,) leaked that they cannot change its accuracy by an amount that matters."""
    return int(leaked.sum()) < limits.harm_accuracy * max(1, len(leaked))


def accuracies(measured: "Measured", leaked: "Bools", confidence: float) -> dict[str, float | list[float]]:
    """Test accuracy with and without the leaked images (N,), each with its Wilson interval; an empty group is left out."""
    from tasks.statistics.intervals import wilson

    correct = measured.test_logits.argmax(-1) == measured.test.labels
    sides = {"accuracy": correct, "accuracy_without_leaked": correct[~leaked], "accuracy_of_leaked": correct[leaked]}
    seen: dict[str, float | list[float]] = {}
    for name, side in sides.items():
        if len(side):
            seen[name] = float(side.mean())
            seen[f"{name}_ci"] = list(wilson(int(side.sum()), len(side), confidence))
    return seen


def accuracy_without(measured: "Measured", leaked: "Bools", confidence: float) -> str:
    """A sentence with the accuracy on the test images (N,) that did not leak; nothing where none leaked, or all."""
    from tasks.statistics.intervals import wilson

    kept = ~leaked
    if kept.all() or not kept.any():
        return ""
    correct = int((measured.test_logits.argmax(-1) == measured.test.labels)[kept].sum())
    low, high = wilson(correct, int(kept.sum()), confidence)
    return f" Test accuracy without them: {percent(correct / kept.sum())} ({percent_interval(low, high, confidence)})."
