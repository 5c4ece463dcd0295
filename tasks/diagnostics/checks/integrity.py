"""Are the same images in more than one split, so that the model is tested on data that it was trained on?"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from tasks.contracts.findings import Evidence, Finding, Remedy
from tasks.core.settings import Section
from tasks.diagnostics.leaks import NAMED, accuracies, accuracy_without, few
from tasks.diagnostics.question import Estimate, Question

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasks.contracts.splits import Arrays
    from tasks.diagnostics.measured import Limits, Measured
    from tasks.statistics.arrays import Bools

VERDICT = "leakage"
PRECEDENCE = 10
REQUIRED = True
QUESTION = Question(
    code="integrity",
    title="Exact duplicates across splits",
    definition="A test or validation image that is also a training image, pixel for pixel, or a test image that is also in the "
    "validation set that chose the saved epoch. The model is then tested on data that it was trained on or chosen by (leakage).",
    estimand="share of the test and validation images that leaked; a count over these very images, so it has no interval",
    method="Exact comparison by a hash (BLAKE2b) of the pixel bytes. Copies that were changed a little are left to the check "
    "near_duplicates.",
    unit="fraction",
)


class Settings(Section):
    """No options."""


def check(measured: "Measured", limits: "Limits", settings: Settings) -> Finding:
    """Count test and validation images that are also training images, pixel for pixel; a single one is flagged.

    A test image that is also in the validation set counts as leaked where validation chose the saved epoch (early stopping).
    Where the last epoch is the saved one, validation chose nothing, and such images are only counted.

    Where images have few pixels, identical ones can be genuinely different examples: the evidence names the rows to look at.

    Test examples among the training examples are leakage (Kaufman et al. 2012, Leakage in data mining); Barz & Denzler 2020 found
    such images in CIFAR-10 and CIFAR-100. The hash is BLAKE2b (Aumasson et al. 2013) of 128 bits: that any two of N
    different images share one has a probability of about N² / 2^129. Accuracies have the interval of Wilson 1927.

    Cost: hashing every image; 0.1 s for the 70,000 of MNIST.
    """
    train, val, test = (digests(split.images) for split in (measured.train, measured.val, measured.test))
    in_train = set(train)
    found = Overlap(
        test_in_train=contained(test, in_train),
        val_in_train=contained(val, in_train),
        test_in_val=contained(test, set(val)),
        val_chose=measured.chosen_by != "last epoch",
    )
    evidence: Evidence = {
        "row_numbers": measured.row_numbers,
        "test_images_in_train": int(found.test_in_train.sum()),
        "validation_images_in_train": int(found.val_in_train.sum()),
        "test_images_in_validation": int(found.test_in_val.sum()),
        "duplicates_within_train": len(train) - len(in_train),
        "train_images_with_several_labels": contradictions(train, measured.train),
        "leaked_test_rows": measured.test.rows[found.leaked_test][:NAMED].tolist(),
        "leaked_validation_rows": measured.val.rows[found.val_in_train][:NAMED].tolist(),
    }
    n, estimate = len(test) + len(val), Estimate(found.leaked / (len(test) + len(val)))
    if not found.leaked:
        return QUESTION.answer("pass", _pass(found), n, estimate, evidence=evidence)
    evidence |= accuracies(measured, found.leaked_test, limits.confidence)
    minor = few(found.leaked_test, limits) and few(found.val_in_train, limits)
    return QUESTION.answer(
        "flag", _flag(found, measured, limits), n, estimate, evidence=evidence, remedy=_remedy(), minor=minor
    )


@dataclass(frozen=True, eq=False)
class Overlap:
    """Which test images (N,) and validation images (V,) are also elsewhere, and whether validation chose the saved epoch."""

    test_in_train: "Bools"
    val_in_train: "Bools"
    test_in_val: "Bools"
    val_chose: bool

    @property
    def leaked_test(self) -> "Bools":
        """The test images (N,) on which the metrics are not valid."""
        return self.test_in_train | self.test_in_val if self.val_chose else self.test_in_train

    @property
    def leaked(self) -> int:
        return int(self.leaked_test.sum() + self.val_in_train.sum())


def digests(images: "NDArray[np.uint8]") -> list[bytes]:
    """A 128-bit hash of the pixel bytes of each image (N, ...)."""
    return [blake2b(image, digest_size=16).digest() for image in _bytes(images)]


def _bytes(images: "NDArray[np.uint8]") -> Iterator[memoryview]:
    import numpy as np

    flat = np.ascontiguousarray(images).reshape(len(images), int(np.prod(images.shape[1:])))
    return (row.data for row in flat)


def contained(hashes: list[bytes], known: Iterable[bytes]) -> "Bools":
    """Which of the hashes (N,) are among the known ones."""
    import numpy as np

    return np.fromiter((digest in known for digest in hashes), dtype=np.bool_, count=len(hashes))


def contradictions(hashes: list[bytes], split: "Arrays") -> int:
    """How many distinct images have more than one label."""
    labels: dict[bytes, int] = {}
    several = set()
    for digest, label in zip(hashes, split.labels.tolist(), strict=True):
        if labels.setdefault(digest, label) != label:
            several.add(digest)
    return len(several)


def _flag(found: Overlap, measured: "Measured", limits: "Limits") -> str:
    """What is wrong, how much, how we know, what it does to the accuracy, and what to do."""
    tests, vals, copies = len(found.test_in_train), len(found.val_in_train), []
    if found.test_in_train.any() or found.val_in_train.any():
        copies.append(
            f"{found.test_in_train.sum()} of {tests} test images and {found.val_in_train.sum()} of {vals} validation images are "
            "also training images"
        )
    if found.val_chose and found.test_in_val.any():
        copies.append(
            f"{found.test_in_val.sum()} of {tests} test images are also in the validation set that chose the saved epoch"
        )
    without = accuracy_without(measured, found.leaked_test, limits.confidence)
    return (
        f"{', and '.join(copies)} (identical pixels), so metrics on these images are not valid.{without} "
        "Fix: keep all copies of an image in one split and train again."
    )


def _pass(found: Overlap) -> str:
    unused = "" if found.val_chose or not found.test_in_val.any() else ", which did not choose the saved epoch"
    return (
        f"None of the {len(found.test_in_train)} test and {len(found.val_in_train)} validation images is also a training image "
        f"(compared pixel for pixel); {found.test_in_val.sum()} test images are also in the validation set{unused}."
    )


def _remedy() -> Remedy:
    return Remedy(
        action="Keep all copies of an image in one split, and train again.",
        expected_gain=None,
        ci=None,
        unit=None,
        basis="records",
        source="Identical hashes of the pixel bytes.",
    )
