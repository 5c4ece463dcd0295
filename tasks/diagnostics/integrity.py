"""Do the same images stand in train and in what the model is judged by?"""

from collections.abc import Iterable, Iterator
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.findings import Finding, Remedy
from tasks.diagnostics.measured import Limits, Measured, Rows
from tasks.diagnostics.statistics import Bools, wilson

NAMED = 100  # rows that the evidence names; it always counts them all


def check(measured: Measured, limits: Limits) -> Finding:
    """Count test and validation images that are, pixel for pixel, also train images; any of them is a leak.

    Where images hold few pixels, equal ones can be genuine: the evidence names the rows, to be looked at.
    """
    train, val, test = (digests(split.images) for split in (measured.train, measured.val, measured.test))
    in_train = set(train)
    leaked_test, leaked_val = stands_in(test, in_train), stands_in(val, in_train)
    leaked = int(leaked_test.sum() + leaked_val.sum())
    evidence: dict[str, str | int | float | list[int] | list[str] | list[float]] = {
        "summary": _summary(leaked_test, leaked_val),
        "row_numbers": measured.row_numbers,
        "test_rows_in_train": int(leaked_test.sum()),
        "val_rows_in_train": int(leaked_val.sum()),
        "test_rows_in_val": int(stands_in(test, set(val)).sum()),
        "train_duplicates": len(train) - len(in_train),
        "train_images_with_several_labels": contradictions(train, measured.train),
        "leaked_test_rows": measured.test.rows[leaked_test][:NAMED].tolist(),
        "leaked_val_rows": measured.val.rows[leaked_val][:NAMED].tolist(),
    }
    remedy = None
    if leaked:
        evidence |= _accuracies(measured, leaked_test, limits.confidence)
        remedy = Remedy(
            action="remove the leaked rows from train, or keep all copies of an image in one split, and train again",
            expected_gain=None,
            ci=None,
            source="the pixel bytes of each image, hashed (BLAKE2b)",
        )
    return Finding(
        code="integrity",
        title="Images that stand in two splits",
        definition="A test or validation image that is also a train image, byte for byte: the model is asked what it was told.",
        estimand="share of the test and validation images that also stand in train (of these splits: a count, not a sample)",
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


def _summary(leaked_test: Bools, leaked_val: Bools) -> str:
    if not leaked_test.any() and not leaked_val.any():
        return "No test or validation image stands in train as well, byte for byte."
    return (
        f"Leakage: {leaked_test.sum()} of {len(leaked_test)} test images and {leaked_val.sum()} of {len(leaked_val)} validation "
        "images also stand in train, so what is measured on them is no evidence; remove them and train again."
    )


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
