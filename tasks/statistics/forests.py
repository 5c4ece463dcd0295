"""Random forests (Breiman 2001), fitted on every core."""

from typing import TYPE_CHECKING, Any

from tasks.core.cores import cores

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.ensemble import RandomForestClassifier

    from tasks.statistics.arrays import Floats, Ints


def fitted_forest(
    inputs: "Floats | NDArray[Any]", labels: "Ints", trees: int, seed: int, class_weight: str | None = None
) -> "RandomForestClassifier":
    """A forest for inputs (N, D) and labels (N,); the same, to the bit, however many cores there are.

    Each tree has a seed of its own, so that threads may fit them in any order. The answers of the trees are then added up by one
    thread, since several would add floats in the order in which they end.
    """
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(trees, class_weight=class_weight, random_state=seed, n_jobs=cores())
    return forest.fit(inputs, labels).set_params(n_jobs=1)
