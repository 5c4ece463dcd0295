"""Are copies of training images, changed a little, in the test or the validation set, or several pictures of one scene?"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from tasks.contracts.findings import Evidence, Finding, Remedy, Status
from tasks.core.settings import Probability, Section
from tasks.diagnostics.leaks import NAMED, accuracies, accuracy_without, few
from tasks.diagnostics.question import Estimate, Question
from tasks.diagnostics.words import percent, percent_interval

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from tasks.contracts.splits import Arrays
    from tasks.diagnostics.measured import Limits, Measured
    from tasks.statistics.arrays import Bools, Floats, Ints

COPIES = 5  # in train, of one test image, at most
RANKS = 8  # of neighbours, that the dimension of the data is estimated from
FEWEST = 16  # training images
VERDICT = "leakage"
PRECEDENCE = 12
REQUIRED = False
QUESTION = Question(
    code="near_duplicates",
    title="Near duplicates across splits",
    definition="A test or validation image that is a training image with small changes: re-encoded, a little brighter, with a little "
    "noise, or shifted by a pixel; or test images that show the same scenes as training images (groups). The model is then "
    "tested on data that is hardly new to it (leakage).",
    estimand="share of the compared test and validation images that leaked, identical ones not counted; a count over these very "
    "images, so it has no interval",
    method="The distances to the nearest training images, in pixels and under shifts by one pixel. An image is a near duplicate where "
    "one of the first five is less than `ratio` times the next (two copies show at the second), or less than chance explains, "
    "if that is lower. It is close to a group where chance gives so low a ratio with a probability of `chance` (Facco et al. 2017); "
    "groups are flagged where the Wilson interval of the share of such test images lies above chance by more than `group_share`.",
    unit="fraction",
)


class Settings(Section):
    """The ratio was found on MNIST: of its 10,000 test images none is below 0.40, and JPEG of quality 90 gives at most 0.16."""

    ratio: float = Field(gt=0, lt=1, default=0.25)  # below it, an image is a near duplicate
    chance: float = Field(gt=0, lt=1, default=0.01)  # probability of a ratio so low that the image counts as close to a group
    # Share of such test images, beyond chance, that matters: if the model is right on half of the others, 2 points of the accuracy.
    group_share: Probability = 0.04
    rows: int = Field(
        ge=1, default=10_000
    )  # images of each of test and val that are compared, drawn at random where there are more


def check(measured: "Measured", limits: "Limits", settings: Settings) -> Finding:
    """Look for test and validation images much closer to a few training images than to all others.

    The distances d_1 ≤ d_2 ≤ … from an image to its nearest training images rise slowly among different pictures; a jump
    d_j / d_{j+1} far below 1 says that j training images belong to it. Where points lie evenly in m dimensions, chance brings
    d_1 / d_2 below r with probability r^m (Facco et al. 2017, Scientific Reports 7:12140, equation 4), and d_j / d_{j+1}
    with r^{jm}. So the limit for near duplicates is `ratio`, or (alpha / N)^(1/m) where that is smaller: such data raise a
    false alarm with probability alpha at most. The limit for groups is chance^(1/m). On clean data 0.1 to 0.9 % of the images
    were below it, 1.9 % on MNIST.

    flag: a near duplicate, or groups in a share of the test set that matters. Images that are identical pixel for pixel are left
    to the check `integrity`. inconclusive: chance is as close as copies are, or the interval of the share is too wide.

    Images larger than 32 pixels along a side are averaged over blocks first. A mirrored, a rotated or a cropped copy is not
    found, nor are groups whose pictures differ as much as pictures of different scenes do.

    Cost: see `tasks.statistics.neighbours.nearest`; about 3 s of one core for each 10,000 images of MNIST compared with 60,000, and
    1.5 s on two.
    """
    n = len(measured.train.labels)
    if n < FEWEST:
        return QUESTION.not_run(f"There are {n} training images; finding near duplicates needs {FEWEST} or more.", 0)
    found = search(measured, limits.alpha, settings)
    grouped = found.groups(limits.confidence, settings)
    leaked = found.near | grouped
    estimate = Estimate(float(leaked.mean()))
    evidence = _evidence(found, leaked, measured, limits.confidence)
    status: Status = "inconclusive"
    if leaked.any():
        status = "flag"
    elif found.limit == settings.ratio and found.few_groups(limits.confidence, settings):
        status = "pass"
    return QUESTION.answer(
        status,
        _flag(found, grouped, measured, limits) if leaked.any() else _unflagged(found, status, limits.confidence, settings),
        len(leaked),
        estimate,
        evidence=evidence,
        remedy=_remedy(grouped.any()) if leaked.any() else None,
        minor=status == "flag" and few(leaked[: found.tests], limits) and few(leaked[found.tests :], limits),
    )


@dataclass(frozen=True, eq=False)
class Search:
    """What was found for the compared images (Q,), those of test before those of val.

    `row` is the position in test or val; `copy` that of the nearest training image; `jump` the smallest ratio of one distance to the
    next.
    """

    row: "Ints"
    tests: int
    copy: "Ints"
    identical: "Bools"
    jump: "Floats"
    dimension: float
    limit: float  # of the ratio, for near duplicates
    group_limit: float

    @property
    def near(self) -> "Bools":
        return (self.jump < self.limit) & ~self.identical

    @property
    def close(self) -> tuple[int, int]:
        """How many of the compared test images are close to a group; and how many there are. Copies are left out of both."""
        kept = ~(self.identical | self.near)[: self.tests]
        return int((self.jump[: self.tests] < self.group_limit)[kept].sum()), int(kept.sum())

    def groups(self, confidence: float, settings: Settings) -> "Bools":
        """Which images (Q,) belong to a group; none unless the share of the test images exceeds chance by what matters."""
        from tasks.statistics.intervals import wilson

        close, n = self.close
        matters = n > 0 and wilson(close, n, confidence)[0] > settings.chance + settings.group_share
        members: Bools = (self.jump < self.group_limit) & ~self.identical & matters
        return members

    def few_groups(self, confidence: float, settings: Settings) -> bool:
        """The share of test images that are close to a group is shown to be smaller than what matters."""
        from tasks.statistics.intervals import wilson

        close, n = self.close
        return n > 0 and wilson(close, n, confidence)[1] < settings.chance + settings.group_share

    def of(self, chosen: "Bools", split: "Arrays", *, test: bool) -> "Bools":
        """Which images of the split were chosen among the compared ones (Q,)."""
        import numpy as np

        part = slice(None, self.tests) if test else slice(self.tests, None)
        marked = np.zeros(len(split.labels), dtype=np.bool_)
        marked[self.row[part][chosen[part]]] = True
        return marked


def search(measured: "Measured", alpha: float, settings: Settings) -> Search:
    """Compare test and val with train; see `check`."""
    import numpy as np

    from tasks.statistics.neighbours import nearest
    from tasks.statistics.pooling import pooled
    from tasks.statistics.random import NEIGHBOURS, generator

    random, train = generator(measured.seed, NEIGHBOURS), measured.train.images
    parts = [(split, _some(len(split.labels), settings.rows, random)) for split in (measured.test, measured.val)]
    asked = [pooled(split.images, rows) for split, rows in parts if len(rows)]
    found = nearest(np.concatenate(asked), pooled(train, np.arange(len(train))))
    originals = (split.images[row] for split, rows in parts for row in rows)
    identical = _identical(originals, train, found.position, found.distance == 0)
    dimension = intrinsic_dimension(found.distance[~identical])
    by_chance = (alpha / len(identical)) ** (1 / dimension) if dimension else 0.0
    return Search(
        row=np.concatenate([rows for _, rows in parts]),
        tests=len(parts[0][1]),
        copy=found.position[:, 0],
        identical=identical,
        jump=jumps(found.distance),
        dimension=dimension,
        limit=min(settings.ratio, by_chance),
        group_limit=settings.chance ** (1 / dimension) if dimension else 0.0,
    )


def _some(n: int, most: int, random: "np.random.Generator") -> "Ints":
    """All of n positions, or `most` of them at random, in order."""
    import numpy as np

    return np.arange(n) if n <= most else np.sort(random.choice(n, most, replace=False))


def _identical(images: "Iterator[NDArray[np.uint8]]", among: "NDArray[np.uint8]", position: "Ints", same: "Bools") -> "Bools":
    """Which of Q images (C, H, W) equal, pixel for pixel, one of their neighbours at position (Q, K); only where `same` (Q, K)."""
    import numpy as np

    def equal(image: "NDArray[np.uint8]", rows: "Ints") -> bool:
        return any(np.array_equal(image, among[row]) for row in rows)

    known = (equal(image, rows[zero]) for image, rows, zero in zip(images, position, same, strict=True))
    return np.fromiter(known, dtype=np.bool_, count=len(position))


def jumps(distance: "Floats") -> "Floats":
    """The smallest d_j / d_{j+1} of the first ten, for distances (Q, K) in order; two distances of zero are no jump."""
    import numpy as np

    nearer, farther = distance[:, :COPIES], distance[:, 1 : COPIES + 1]
    ratio: Floats = np.divide(nearer, farther, out=np.ones_like(nearer), where=farther > 0).min(axis=1)
    return ratio


def intrinsic_dimension(distance: "Floats") -> float:
    """The dimension m of the data, from sorted distances (Q, K) to the nearest others; 0 where most of them are zero.

    ln(d_{j+1} / d_j) is exponential with rate j·m (Facco et al. 2017), so its median is ln 2 / (j·m). The median is not moved by
    a few copies, and the largest of the estimates at the first ranks is taken: where most images have one copy, only the first
    is wrong.
    """
    import numpy as np

    estimates = [0.0]
    for rank in range(1, RANKS + 1):
        nearer, farther = distance[:, rank - 1], distance[:, rank]
        apart = nearer > 0
        middle = float(np.median(np.log(farther[apart] / nearer[apart]))) if apart.sum() * 2 > len(apart) else np.inf
        estimates.append(np.log(2) / (rank * middle) if middle > 0 else 0.0)
    return float(max(estimates))


def _evidence(found: Search, leaked: "Bools", measured: "Measured", confidence: float) -> Evidence:
    import numpy as np

    from tasks.statistics.intervals import wilson

    test, val = (found.of(leaked, split, test=split is measured.test) for split in (measured.test, measured.val))
    labels = np.concatenate([measured.test.labels[found.row[: found.tests]], measured.val.labels[found.row[found.tests :]]])
    copied = found.near | found.identical
    contradicting = copied & (labels != measured.train.labels[found.copy])
    close, n = found.close
    evidence: Evidence = {
        "row_numbers": measured.row_numbers,
        "test_images_compared": found.tests,
        "validation_images_compared": len(found.row) - found.tests,
        "near_duplicates_in_test": int(found.near[: found.tests].sum()),
        "near_duplicates_in_validation": int(found.near[found.tests :].sum()),
        "identical_images_left_to_integrity": int(found.identical.sum()),
        "copies_with_another_label": int(contradicting.sum()),
        "copies_with_another_label_test_rows": _numbers(found.of(contradicting, measured.test, test=True), measured.test),
        "leaked_test_rows": _numbers(test, measured.test),
        "training_rows_they_are_near_to": measured.train.rows[found.copy[: found.tests][leaked[: found.tests]]][
            :NAMED
        ].tolist(),
        "leaked_validation_rows": _numbers(val, measured.val),
        "lowest_ratio_of_distances": float(found.jump.min()),
        "limit_of_the_ratio": found.limit,
        "limit_of_the_ratio_for_groups": found.group_limit,
        "dimension_of_the_data": found.dimension,
    }
    if n:
        evidence["other_test_images_close_to_a_group"] = close / n
        evidence["other_test_images_close_to_a_group_ci"] = list(wilson(close, n, confidence))
    return evidence | (accuracies(measured, test, confidence) if leaked.any() else {})


def _numbers(chosen: "Bools", split: "Arrays") -> list[int]:
    """The row numbers of the chosen images; at most as many as are named."""
    rows: list[int] = split.rows[chosen][:NAMED].tolist()
    return rows


def _flag(found: Search, grouped: "Bools", measured: "Measured", limits: "Limits") -> str:
    """What is wrong, how much, how we know, what it does to the accuracy, and what to do."""
    from tasks.statistics.intervals import wilson

    leaked = found.near | grouped
    without = accuracy_without(measured, found.of(leaked, measured.test, test=True), limits.confidence)
    if grouped.any():
        close, n = int(grouped[: found.tests].sum()), int((~found.identical[: found.tests]).sum())
        low, high = wilson(close, n, limits.confidence)
        return (
            f"{percent(close / n)} of the test images ({percent_interval(low, high, limits.confidence)}) are far closer to some "
            "training images than to all others, as pictures of one scene are, so metrics on these images do not hold for new "
            f"scenes (distances in pixels; {found.near[: found.tests].sum()} are near duplicates).{without} "
            f"Fix: {_remedy(True).action}"
        )
    tests, vals = int(found.near[: found.tests].sum()), int(found.near[found.tests :].sum())
    return (
        f"{tests} of {found.tests} test images and {vals} of {len(leaked) - found.tests} validation images are near duplicates of "
        f"training images (distance in pixels below {found.limit:.2g} of that to the next image), so metrics on these images are "
        f"not valid.{without} Fix: {_remedy(False).action}"
    )


def _unflagged(found: Search, status: Status, confidence: float, settings: Settings) -> str:
    from tasks.statistics.intervals import wilson

    compared = f"the {found.tests} test and {len(found.row) - found.tests} validation images that were compared with train"
    if status == "pass":
        return f"None of {compared} is a near duplicate of a training image, and no share that matters shows the same scenes."
    close, n = found.close
    if found.limit < settings.ratio or not n:
        return (
            f"Different images are as close as copies in these data (dimension {found.dimension:.1f}): among {compared}, near "
            "duplicates cannot be told from chance. Compare images with more pixels (preprocess.image)."
        )
    low, high = wilson(close, n, confidence)
    return (
        f"None of {compared} is a near duplicate, but {percent(close / n)} of the test images "
        f"({percent_interval(low, high, confidence)}) are close to a few training images, where chance explains "
        f"{percent(settings.chance)}: {n} test images are too few to show "
        "whether scenes that are in train matter. Use a larger test set."
    )


def _remedy(grouped: "bool | np.bool_") -> Remedy:
    action = (
        "Divide the data by scene, not by image (group_column of the dataset csv), and train again."
        if grouped
        else "Keep all copies of an image in one split, and train again."
    )
    source = "The leaked rows that the evidence names are those to be kept together."
    return Remedy(action=action, expected_gain=None, ci=None, unit=None, basis="records", source=source)
