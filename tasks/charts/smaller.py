"""The exported models as the report shows them: a row for each, the original first."""

from typing import Any

from tasks.charts import formats
from tasks.contracts.compressed import Compression, Difference, Entry

ONNX = "model.onnx"


def smaller_models(compression: Compression) -> list[dict[str, Any]]:
    """What each row says; empty where no smaller model was asked for."""
    return [_row(entry, compression.models[0]) for entry in compression.models]


def _row(entry: Entry, original: Entry) -> dict[str, Any]:
    status, word = _status(entry.error_difference, entry.log_loss_difference)
    return {
        "name": entry.name,
        "options": ", ".join(f"{key}: {formats.value(value)}" for key, value in entry.options.items()),
        "status": status,
        "word": word,
        "size": _bytes(entry.bytes[ONNX]),
        "share": "" if entry is original else formats.percent(entry.bytes[ONNX] / original.bytes[ONNX], 0),
        "deflated": _bytes(entry.deflated_bytes),
        "parameters": formats.count(entry.parameters),
        "nonzero": formats.count(entry.nonzero),
        "multiply_adds": formats.count(entry.multiply_adds),
        "accuracy": formats.percent(entry.accuracy),
        "log_loss": formats.fixed(entry.log_loss, 3),
        "words": entry.words,
        "files": [(file, formats.count(size)) for file, size in entry.bytes.items()],
        "differences": [(file, f"{size:.1g}") for file, size in entry.largest_difference.items()],
    }


def _status(errors: Difference | None, nats: Difference | None) -> tuple[str, str]:
    """The kind of the mark, and its word: as good only where both measures are shown to lie within their margins."""
    if errors is None or nats is None:
        return "info", "Original"
    if errors.within_margin and nats.within_margin:
        return "pass", "As good"
    if any(found.low > 0 and not found.within_margin for found in (errors, nats)):
        return "flag", "Worse"
    return "inconclusive", "Not shown"


def _bytes(size: int) -> str:
    """A number of bytes with three digits and a decimal unit."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.3g}{formats.THIN}{unit}"
    return f"{size}{formats.THIN}bytes"
