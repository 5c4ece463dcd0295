"""scikit-learn's solver for the linear model, on our splits: `python -m benchmarks.linear_solver FOLDER ITERATIONS`."""

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from tasks.contracts.splits import read_split


def main(root: Path, iterations: int) -> dict[str, Any]:
    """Fit train without a penalty, for at most so many iterations; the seconds, the test accuracy, the iterations taken."""
    splits = (read_split(root, "train"), read_split(root, "test"))
    train, test = ((split.images.flatten(1).numpy() / np.float32(255), split.labels.numpy()) for split in splits)
    solver = LogisticRegression(C=np.inf, solver="lbfgs", max_iter=iterations)
    begin = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the iterations are stated
        solver.fit(*train)
    return {
        "seconds": time.perf_counter() - begin,
        "accuracy": float(solver.score(*test)),
        "iterations": int(solver.n_iter_[0]),
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]))))
