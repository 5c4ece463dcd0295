"""What was verified, in a few words: the verdict of the diagnosis and the metrics on test."""

from flows.lineage.verification.subject import Subject
from tasks.contracts.findings import SUMMARY
from tasks.contracts.results import EVALUATION
from tasks.core.errors import ArtifactError
from tasks.core.files import read_json

METRICS = ("accuracy", "log_loss")


def results(subject: Subject) -> str:
    """The verdict and the metrics of the verified stages, `good fit, accuracy 0.9630 (0.9412 to 0.9769)`; empty without any."""
    written = {out for name in subject.chain for out in subject.declarations[name].outs}
    parts = []
    for path in (SUMMARY, EVALUATION):
        if path.as_posix() not in written:
            continue
        try:
            found = read_json(subject.root / path, path.stem)
        except (ArtifactError, ValueError):
            continue
        if isinstance(found, dict):
            parts += [str(found["verdict"]).replace("_", " ")] if "verdict" in found else []
            parts += [_metric(found, name) for name in METRICS if isinstance(found.get(name), float)]
    return ", ".join(parts)


def _metric(found: dict[str, object], name: str) -> str:
    low, high = found.get(f"{name}_ci_low"), found.get(f"{name}_ci_high")
    interval = f" ({low:.4f} to {high:.4f})" if isinstance(low, float) and isinstance(high, float) else ""
    return f"{name.replace('_', '-')} {found[name]:.4f}{interval}"
