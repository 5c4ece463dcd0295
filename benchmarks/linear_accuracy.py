"""Test accuracy of the textbook recipe on MNIST, with scikit-learn's solver for the same model as a reference.

Both fit a linear classifier without a penalty to the same 60,000 images, scaled to [0, 1]: ours with ten epochs of SGD, as the textbook
has it, scikit-learn with L-BFGS. The textbook's training ends before it has converged; the difference says what that costs. There is no
goal, as the recipe is fixed.
"""

import json
from collections.abc import Iterator

from benchmarks.mnist import missing, prepared, run_stage
from benchmarks.running import said
from benchmarks.side_by_side import Accuracy, Figure, NotMeasured
from benchmarks.workplace import workplace
from tasks.contracts.results import EVALUATION

RECIPE = "mnist-linear"
ITERATIONS = 100


def measure() -> Iterator[Figure | str]:
    """Train and evaluate both; yields the accuracies and the seconds of each."""
    if why := missing():
        yield NotMeasured("test accuracy of a linear model", why)
        return
    with workplace() as place:
        folder = prepared(place, RECIPE)
        trained = run_stage(place, folder, "train")
        run_stage(place, folder, "evaluate")
        ours = json.loads((folder / EVALUATION).read_text())["accuracy"]
        peer = said(place, "linear_solver", str(folder), str(ITERATIONS))
    name = f"scikit-learn's LogisticRegression, {peer['iterations']} iterations of L-BFGS"
    yield Accuracy("linear model on MNIST: test accuracy", name, None, (ours,), (peer["accuracy"],))
    yield f"  seconds: {trained.loop:.2f} and {peer['seconds']:.2f}"
