"""Simple models that every trained model is measured against, fitted on its training images and asked about validation."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from warnings import catch_warnings, simplefilter

import numpy as np

from tasks.statistics.arrays import Floats, Ints
from tasks.statistics.forests import fitted_forest
from tasks.statistics.pooling import pooled
from tasks.statistics.random import REFERENCES, generator

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.base import ClassifierMixin

    from tasks.contracts.splits import Arrays

BLOCK = 1000  # images that are asked about at once
ITERATIONS = 200  # of the logistic regression; one that has not converged by then is a reference all the same


@dataclass(frozen=True, eq=False)
class Reference:
    """The labels (N,) that a reference gives, and its accuracy on the images that it was fitted on.

    The latter is None where it says nothing: a nearest neighbour and a deep tree know every image that they were fitted on.
    """

    name: str
    answers: Ints
    fit: float | None = None


def references(train: "Arrays", images: "NDArray[np.uint8]", rows: int, trees: int, seed: int) -> Iterator[Reference]:
    """The references' answers for images (N, C, H, W).

    The majority class; multinomial logistic regression with scikit-learn's l2 penalty; the nearest neighbour by Euclidean distance of
    pixels (Cover & Hart 1967); a random forest (Breiman 2001). Each is fitted on at most `rows` training images, drawn at random, so
    that the cost does not grow with the data; the majority class is that of all of train.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    yield Reference("majority class", np.full(len(images), np.bincount(train.labels).argmax()))
    chosen = np.sort(generator(seed, REFERENCES).permutation(len(train.labels))[:rows])
    inputs, labels = _pixels(train.images, chosen), train.labels[chosen]
    if len(np.unique(labels)) < 2:
        return
    linear = LogisticRegression(max_iter=ITERATIONS)
    with catch_warnings():
        simplefilter("ignore", ConvergenceWarning)
        linear.fit(inputs, labels)
    yield Reference("logistic regression", _answers(linear, images), float(linear.score(inputs, labels)))
    nearest = KNeighborsClassifier(n_neighbors=1, algorithm="brute").fit(inputs, labels)
    yield Reference("1-nearest neighbour", _answers(nearest, images))
    forest = fitted_forest(inputs, labels, trees, seed % 2**32)
    yield Reference("random forest", _answers(forest, images))


def _answers(model: "ClassifierMixin", images: "NDArray[np.uint8]") -> Ints:
    """What a fitted reference answers for images (N, C, H, W): in blocks, so that large sets need no more memory than small ones."""
    blocks = np.array_split(np.arange(len(images)), -(-len(images) // BLOCK) or 1)
    return np.concatenate([model.predict(_pixels(images, block)) for block in blocks])


def _pixels(images: "NDArray[np.uint8]", rows: Ints) -> Floats:
    """The images at rows (n,) as rows of pixels (n, D) in [0, 1]; larger ones are pooled to at most 32 x 32."""
    return pooled(images, rows).reshape(len(rows), -1) / 255
