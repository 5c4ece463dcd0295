"""Two halves of the validation examples, for cross-fitting: what is chosen or fitted on one half is scored on the other."""

import numpy as np

from tasks.statistics.arrays import Bools, Ints


def stratified_halves(labels: Ints, random: np.random.Generator) -> Bools:
    """Which half each example (N,) belongs to: the halves, and each class within them, differ in size by one example at most."""
    order = random.permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    half = np.zeros(len(labels), dtype=np.bool_)
    half[by_class[1::2]] = True
    return half
