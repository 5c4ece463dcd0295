"""`goodfit diagnose --pilot`: try the remedies for the recipe of params.yaml on the data that are there, and say what they brought."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.declaration import read_declaration
from flows.parameters.checking import stage_params
from tasks.core.progress import Progress
from tasks.core.settings import PARAMS_FILE, load_yaml

if TYPE_CHECKING:
    from tasks.pilot.results import Gain, Pilot
    from tasks.statistics.comparisons import Contrast

COLUMNS = ("remedy", "change", "log-loss falls by (nats)", "accuracy rises by (points)")


def run_pilot(root: Path, seeds: int, epochs: int | None = None) -> "Pilot":
    """Train the recipe, each remedy and parts of the data with as many seeds. Nothing is written, and no test image is read.

    Args:
        root: the project, in which `preprocess` has run.
        seeds: how many, at least 3: that of params.yaml and those after it.
        epochs: of each training; None for those of the recipe.

    Raises:
        ArtifactError: the splits are missing or damaged.
        ParamsError: params.yaml is not valid, or there are too few images.
        TrainingError: a training cannot learn.
    """
    from tasks.contracts.splits import read_dataset, read_split
    from tasks.diagnostics.limits import Limits
    from tasks.pilot.remedies import changed, remedies
    from tasks.pilot.results import conclude
    from tasks.pilot.trainings import planned, run

    document = load_yaml(root / PARAMS_FILE)
    params: Any = stage_params(read_declaration(root, "train"), document)
    if epochs is not None:
        params = changed(params, {"train.epochs": epochs})
    judging: Any = stage_params(read_declaration(root, "diagnose"), document)
    splits = read_dataset(root), read_split(root, "train"), read_split(root, "val")
    tried = remedies(params.train)
    trainings = planned(params, tried)
    chosen = range(params.seed, params.seed + seeds)
    with Progress("pilot", len(trainings) * seeds, "training") as progress:
        kept, failed = run(trainings, chosen, splits, progress.advance)
    tried = [replace(trial, unused=failed.get(trial.name, trial.unused)) for trial in tried]
    judged = judging.diagnose
    limits = Limits(judged.confidence, judged.alpha, judged.power, judged.harm_nats, judged.harm_accuracy)
    return conclude(kept, tried, chosen, limits)


def as_text(pilot: "Pilot") -> str:
    """A table of the remedies, the largest gain first, and what the findings say."""
    shown = sorted((gain for gain in pilot.gains if gain.loss), key=lambda gain: -gain.loss.estimate if gain.loss else 0.0)
    rows = [COLUMNS, *(_row(gain) for gain in shown)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    unused = [f"{gain.trial.name}: not compared, because {gain.trial.unused}" for gain in pilot.gains if gain.loss is None]
    head = (
        f"{len(pilot.seeds)} seeds, {pilot.images} validation images; no test image was read. Gains are against the recipe with the "
        f"same seed; their intervals hold together at {100 * pilot.confidence:g} %, for new seeds and new images."
    )
    findings = [f"{finding.title}. {finding.summary}" for finding in pilot.findings]
    return "\n".join([head, "", *table, *unused, "", best(shown), *findings])


def best(shown: Sequence["Gain"]) -> str:
    """What to do, in one sentence."""
    helps = [gain for gain in shown if gain.loss and gain.loss.low > 0]
    if not helps:
        return "No remedy is shown to lower the log-loss. More seeds (--pilot 10) or more validation images would show smaller gains."
    names = ", ".join(gain.trial.name for gain in helps)
    return f"Shown to lower the log-loss: {names}. Try the first: goodfit run {helps[0].trial.as_options()}"


def as_json(pilot: "Pilot") -> dict[str, Any]:
    """The same, as numbers; `low` and `high` are the limits of the interval."""
    return {
        "seeds": pilot.seeds,
        "validation_images": pilot.images,
        "confidence": pilot.confidence,
        "source": "pilot run",
        "remedies": [
            {
                "remedy": gain.trial.name,
                "changes": gain.trial.changes,
                "not_tried": gain.trial.unused or None,
                "log_loss_gain": _numbers(gain.loss),
                "accuracy_gain": _numbers(gain.accuracy),
            }
            for gain in pilot.gains
        ],
        "findings": [finding.model_dump(mode="json") for finding in pilot.findings],
    }


def _row(gain: "Gain") -> tuple[str, str, str, str]:
    return gain.trial.name, gain.trial.as_options(), _between(gain.loss, 1, 3), _between(gain.accuracy, 100, 1)


def _between(contrast: "Contrast | None", factor: float, digits: int) -> str:
    if contrast is None:
        return ""
    estimate, low, high = (factor * value for value in (contrast.estimate, contrast.low, contrast.high))
    return f"{estimate:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"


def _numbers(contrast: "Contrast | None") -> dict[str, float] | None:
    return None if contrast is None else {"estimate": contrast.estimate, "low": contrast.low, "high": contrast.high}
