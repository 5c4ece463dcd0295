"""Smaller models beside the original: quality on the same test images, and what may be said of the difference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.contracts.compressed import ONNX, ORIGINAL, Difference, Entry
from tasks.contracts.splits import Split
from tasks.exporting.bundle import Bundle
from tasks.exporting.cost import deflated
from tasks.exporting.latency import Latency
from tasks.exporting.running import Runner, in_batches
from tasks.statistics.arrays import Bools, Floats
from tasks.statistics.calibration import log_losses
from tasks.statistics.comparisons import paired_interval
from tasks.statistics.intervals import bootstrap_mean
from tasks.statistics.random import COMPRESSION, generator


@dataclass(frozen=True)
class Margins:
    """How much worse a model may be and still count as equally good, and how the intervals are computed."""

    confidence: float
    accuracy: float
    nats: float
    resamples: int
    seed: int


def compare(bundles: Sequence[Bundle], runners: Mapping[str, Runner], test: Split, margins: Margins) -> list[Entry]:
    """An entry for each model, in their order; the first is the original that the others are compared with.

    Args:
        bundles: the models with their files.
        runners: by name, the ONNX file of each.
        test: the images on which all are scored.
        margins: see `Margins`.
    """
    labels = test.labels.numpy()
    scores: list[tuple[Bools, Floats]] = []
    for made in bundles:
        logits = in_batches(runners[made.name], test.images.numpy())
        scores.append((logits.argmax(axis=1) != labels, log_losses(logits, labels)))
    original_wrong, original_losses = scores[0]
    entries = []
    for made, (wrong, losses) in zip(bundles, scores, strict=True):
        entry = _entry(made, wrong, losses)
        if made is not bundles[0]:
            errors = error_difference(wrong, original_wrong, margins)
            nats = loss_difference(losses, original_losses, margins)
            words = f"{error_words(errors, margins)} {loss_words(nats, margins)}"
            entry = entry.model_copy(update={"error_difference": errors, "log_loss_difference": nats, "words": words})
        entries.append(entry)
    return entries


def _entry(made: Bundle, wrong: Bools, losses: Floats) -> Entry:
    return Entry(
        name=made.name,
        options=dict(made.options),
        bytes={file: len(content) for file, content in made.files.items()},
        deflated_bytes=deflated(made.files[ONNX]),
        parameters=made.parameters,
        nonzero=made.nonzero,
        multiply_adds=made.multiply_adds,
        largest_difference=dict(made.largest_difference),
        accuracy=float(1 - wrong.mean()),
        log_loss=float(losses.mean()),
    )


def error_difference(smaller: Bools, original: Bools, margins: Margins) -> Difference:
    """Error rate of the smaller model minus that of the original, with its paired score interval."""
    low, high = paired_interval(smaller, original, margins.confidence)
    estimate = float(smaller.mean() - original.mean())
    return Difference(estimate=estimate, low=low, high=high, within_margin=high < margins.accuracy)


def loss_difference(smaller: Floats, original: Floats, margins: Margins) -> Difference:
    """Mean over the images of the difference in log-loss, with its bootstrap interval."""
    differences = smaller - original
    random = generator(margins.seed, COMPRESSION)
    low, high = bootstrap_mean(differences, margins.confidence, margins.resamples, random)
    return Difference(estimate=float(differences.mean()), low=low, high=high, within_margin=high < margins.nats)


def error_words(found: Difference, margins: Margins) -> str:
    """What is shown of the accuracy, and what is not."""
    level, margin = f"{100 * margins.confidence:g} %", f"{100 * margins.accuracy:g}"
    estimate, low, high = (f"{100 * value:+.1f}".replace("-", "−") for value in (found.estimate, found.low, found.high))
    numbers = f"its error rate differs by {estimate} points ({level} interval {low} to {high})"
    within = f"as accurate as the original within {margin} percentage points"
    if found.within_margin:
        return f"A{within[1:]}: {numbers}."
    return f"{'Less accurate than the original' if found.low > 0 else f'Not shown to be {within}'}: {numbers}."


def loss_words(found: Difference, margins: Margins) -> str:
    """The same of the log-loss."""
    estimate, low, high = (f"{value:+.3f}".replace("-", "−") for value in (found.estimate, found.low, found.high))
    numbers = f"{estimate} nats ({low} to {high})"
    within = f"as low within {margins.nats:g} nats"
    shown = within if found.within_margin else "higher" if found.low > 0 else f"not shown to be {within}"
    return f"Its log-loss is {shown}: {numbers}."


def as_text(entries: Sequence[Entry], latencies: Sequence[Latency]) -> str:
    """A line for each model, the measured times, and what is shown of each smaller one."""
    lines = []
    for entry in entries:
        times = ", ".join(
            f"{found.median:.3g} ms for {found.batch} ({found.low:.3g} to {found.high:.3g})"
            for found in latencies
            if found.name == entry.name
        )
        lines.append(
            f"compress: {entry.name}: {entry.bytes[ONNX]:,} bytes, {entry.parameters:,} parameters ({entry.nonzero:,} not zero), "
            f"accuracy {entry.accuracy:.4f}, log-loss {entry.log_loss:.4f}; {times}"
        )
    return "\n".join([*lines, *(f"compress: {entry.name}: {entry.words}" for entry in entries if entry.name != ORIGINAL)])
