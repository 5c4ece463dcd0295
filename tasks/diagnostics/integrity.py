"""Do the same images stand in what the model was made with and in what it is judged by?"""

from collections.abc import Iterable, Iterator
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.findings import Evidence, Finding, Remedy
from tasks.diagnostics.measured import Limits, Measured, Rows
from tasks.diagnostics.statistics import Bools, wilson

NAMED = 100  # rows that the evidence names; it always counts them all


def check(measured: Measured, limits: Limits) -> Finding:
    """Count test and validation images that are, pixel for pixel, also train images; any of them is a leak.

    A test image that also stands in validation is a leak where validation chose the delivered epoch (early stopping); where the
    last epoch is delivered validation chose nothing, and such images are counted only.

    Where images hold few pixels, equal ones can be genuine: the evidence names the rows, to be looked at.
    """
    train, val, test = (digests(split.images) for split in (measured.train, measured.val, measured.test))
    in_train = set(train)
    test_in_train, leaked_val = stands_in(test, in_train), stands_in(val, in_train)
    test_in_val, val_chose = stands_in(test, set(val)), measured.chosen_by != "last epoch"
    leaked_test = test_in_train | test_in_val if val_chose else test_in_train
    leaked = int(leaked_test.sum() + leaked_val.sum())
    evidence: Evidence = {
        "summary": _summary(test_in_train, leaked_val, test_in_val, val_chose=val_chose),
        "row_numbers": measured.row_numbers,
        "test_rows_in_train": int(test_in_train.sum()),
        "val_rows_in_train": int(leaked_val.sum()),
        "test_rows_in_val": int(test_in_val.sum()),
        "train_duplicates": len(train) - len(in_train),
        "train_images_with_several_labels": contradictions(train, measured.train),
        "leaked_test_rows": measured.test.rows[leaked_test][:NAMED].tolist(),
        "leaked_val_rows": measured.val.rows[leaked_val][:NAMED].tolist(),
    }
    remedy = None
    if leaked:
        evidence |= _accuracies(measured, leaked_test, limits.confidence)
        remedy = Remedy(
            action="keep all copies of an image in one split, and train again",
            expected_gain=None,
            ci=None,
            source="the pixel bytes of each image, hashed (BLAKE2b)",
        )
    return Finding(
        code="integrity",
        title="Images that stand in two splits",
        definition="A test or validation image that is also a train image, or a test image that helped to choose the epoch, "
        "byte for byte: the model is asked what it was told.",
        estimand="share of the test and validation images that also stand in train, or, of the test images, in a validation set that "
        "chose the epoch (of these splits: a count, not a sample)",
        estimate=leaked / (len(test) + len(val)),
        ci_low=None,
        ci_high=None,
        method="exact duplicates by hash of the pixel bytes; near duplicates are not looked for",
        n=len(test) + len(val),
        p_value=None,
        p_holm=None,
        mde=None,
        status="flag" if leaked else "pass",
        evidence=evidence,
        remedy=remedy,
    )


def digests(images: NDArray[np.uint8]) -> list[bytes]:
    """A hash of 128 bits of the pixel bytes of each image (N, ...)."""
    return [blake2b(image, digest_size=16).digest() for image in _bytes(images)]


def _bytes(images: NDArray[np.uint8]) -> Iterator[memoryview]:
    flat = np.ascontiguousarray(images).reshape(len(images), int(np.prod(images.shape[1:])))
    return (row.data for row in flat)


def stands_in(hashes: list[bytes], known: Iterable[bytes]) -> Bools:
    """Which of the hashes (N,) are known."""
    return np.fromiter((digest in known for digest in hashes), dtype=np.bool_, count=len(hashes))


def contradictions(hashes: list[bytes], split: Rows) -> int:
    """How many different images carry more than one label."""
    labels: dict[bytes, int] = {}
    several = set()
    for digest, label in zip(hashes, split.labels.tolist(), strict=True):
        if labels.setdefault(digest, label) != label:
            several.add(digest)
    return len(several)


def _summary(test_in_train: Bools, val_in_train: Bools, test_in_val: Bools, *, val_chose: bool) -> str:
    in_train, in_val = test_in_train.any() or val_in_train.any(), f"{test_in_val.sum()} of {len(test_in_val)} test images"
    told = (
        f"{test_in_train.sum()} of {len(test_in_train)} test images and {val_in_train.sum()} of {len(val_in_train)} validation images "
        "also stand in train"
    )
    if not in_train and not (val_chose and test_in_val.any()):
        chose = " (it chose nothing: the last epoch is delivered)" if test_in_val.any() else ""
        return f"No test or validation image stands in train as well, byte for byte; {in_val} stand in validation{chose}."
    chosen = f"{in_val} {'also ' if not in_train else ''}stand in validation{', which chose the epoch' if val_chose else ''}"
    copies = f"{told}, and {chosen}" if in_train else chosen
    return f"{copies}, so what is measured on them is no evidence; keep all copies of an image in one split and train again."


def _accuracies(measured: Measured, leaked: Bools, confidence: float) -> dict[str, float | list[float]]:
    """Test accuracy with and without the leaked rows, each with its Wilson interval; an empty side is left out."""
    correct = measured.test_logits.argmax(-1) == measured.test.labels
    sides = {"accuracy": correct, "accuracy_without_leaked": correct[~leaked], "accuracy_of_leaked": correct[leaked]}
    seen: dict[str, float | list[float]] = {}
    for name, side in sides.items():
        if len(side):
            seen[name] = float(side.mean())
            seen[f"{name}_ci"] = list(wilson(int(side.sum()), len(side), confidence))
    return seen
