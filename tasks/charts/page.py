"""The report as one HTML page that needs nothing else: styles, charts and pictures are inside, and it may fetch nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from tasks.charts import formats
from tasks.charts.chain import chain, environment
from tasks.charts.confusion import confusion_chart, count_confusions, most_frequent
from tasks.charts.formats import Estimate, read_estimate
from tasks.charts.learning_curves import learning_curve
from tasks.charts.pictures import picture
from tasks.charts.reliability import reliability_chart
from tasks.contracts.findings import Diagnosis, Finding
from tasks.contracts.splits import SPLITS, Dataset
from tasks.contracts.trained import TrainedModel

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

HERE = Path(__file__).parent
# What each status is drawn as: a shape and a word, so that colour is never the only sign.
SHAPES = {"pass": "✓", "flag": "▲", "inconclusive": "◐", "not_run": "○", "info": "i"}
NAMES = {"pass": "Pass", "flag": "Flag", "inconclusive": "Inconclusive", "not_run": "Not run", "info": "Info"}


@dataclass(frozen=True)
class Results:
    """All that the page shows.

    `most_wrong` are rows of `predictions`, `images` (M, C, H, W) uint8 their pictures; `statements` are keyed by stage, in order.
    """

    dataset: Dataset
    model: TrainedModel
    evaluation: Mapping[str, Any]
    diagnosis: Diagnosis
    history: "pd.DataFrame"
    predictions: "pd.DataFrame"
    per_class: "pd.DataFrame"
    calibration: "pd.DataFrame"
    most_wrong: "pd.DataFrame"
    images: "NDArray[np.uint8]"
    params: Mapping[str, Any]
    statements: Mapping[str, Any]


def render(results: Results) -> str:
    """The page; the same results give the same text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters.update(
        {name: getattr(formats, name) for name in ("count", "fixed", "general", "percent", "value", "words")}
    )
    style = Markup((HERE / "style.css").read_text(encoding="utf-8"))  # noqa: S704 (our own file)
    return templates.get_template("page.html").render(style=style, shapes=SHAPES, names=NAMES, **_context(results)) + "\n"


def _context(results: Results) -> dict[str, Any]:
    accuracy, loss = read_estimate(results.evaluation, "accuracy"), read_estimate(results.evaluation, "log_loss")
    total = len(results.predictions)
    return {
        "dataset": results.dataset,
        "model": results.model,
        "diagnosis": results.diagnosis,
        "tone": {"good_fit": "pass", "inconclusive": "inconclusive"}.get(results.diagnosis.verdict, "flag"),
        "tests": total,
        "level": formats.percent(results.params["evaluate"]["confidence"], 0),
        "accuracy": _spelled(accuracy, 1 if total < 5000 else 2, formats.percent),
        "loss": _spelled(loss, 3, formats.fixed),
        "headline": results.diagnosis.headline,
        "findings": [(finding, _numbers(finding)) for finding in results.diagnosis.findings],
        **_learning(results),
        **_errors(results),
        "reliability": reliability_chart(results.calibration, results.evaluation["ece"]),
        "bins": results.calibration.to_dict("records"),
        "calibration_error": results.evaluation["ece"],
        "pictures": _pictures(results),
        "params": [(key, branch) for key, branch in _used(results.params).items() if isinstance(branch, dict)],
        "shared": {key: leaf for key, leaf in results.params.items() if not isinstance(leaf, dict)},
        "splits": [(split, results.dataset.counts.get(split, [])) for split in SPLITS],
        "links": chain(results.statements),
        "environment": environment(results.statements),
    }


def _spelled(estimate: Estimate, decimals: int, spell: Any) -> dict[str, str]:
    """An estimate and its interval as text; the interval is empty where there is none."""
    value, low, high = (spell(number, decimals) for number in (estimate.value, estimate.low, estimate.high))
    return {"value": value, "interval": "" if estimate.low is None or estimate.high is None else formats.between(low, high)}


def _numbers(finding: Finding) -> dict[str, Any]:
    """A finding's estimate and its remedy's gain; each shares its decimals with its interval."""
    remedy = finding.remedy
    gain = (remedy.expected_gain, *(remedy.ci or (None, None))) if remedy else (None, None, None)
    return {**_general(finding.estimate, finding.ci_low, finding.ci_high), "gain": _general(*gain)}


def _general(value: float | None, low: float | None, high: float | None) -> dict[str, str]:
    """A number of unknown unit, where there is one."""
    if value is None:
        return {"value": "–", "interval": ""}
    return _spelled(Estimate(value, low, high), formats.decimals_of(value, low, high), formats.fixed)


def _learning(results: Results) -> dict[str, Any]:
    history, chosen = results.history, results.model.chosen_epoch
    unit = "nats" if results.params["train"]["loss"]["name"] == "cross_entropy" else "loss"
    return {
        "loss_curve": learning_curve(history, "loss", chosen, unit),
        "accuracy_curve": learning_curve(history, "accuracy", chosen),
        "has_validation": bool(history["val_loss"].notna().any()),
    }


def _errors(results: Results) -> dict[str, Any]:
    """The confusion matrix, its largest cells, and the classes with the lowest recall first."""
    classes = results.dataset.classes
    labels, predicted = (results.predictions[column].to_numpy(dtype="int64") for column in ("label", "predicted"))
    counts = count_confusions(labels, predicted, len(classes))
    # Names are the dataset's: read from a CSV, a class that is called "NA" would be no name.
    rows = [{**row, "class": name} for name, row in zip(classes, results.per_class.to_dict("records"), strict=True)]
    return {
        "confusion": confusion_chart(counts, classes),
        "wrong": int(counts.sum() - counts.trace()),
        "confusions": [(classes[actual], classes[taken], times) for actual, taken, times in most_frequent(counts, 8)],
        "per_class": sorted(rows, key=lambda row: row["recall"] if row["n"] else 2),
    }


def _pictures(results: Results) -> list[dict[str, Any]]:
    classes = results.dataset.classes
    return [
        {
            "source": picture(image),
            "actual": classes[int(row["label"])],
            "predicted": classes[int(row["predicted"])],
            "confidence": row["confidence"],
            "loss": row["loss"],
            "row": int(row["row"]),
        }
        for image, row in zip(results.images, results.most_wrong.to_dict("records"), strict=True)
    ]


def _used(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters without the sections of choices that were not made: with `name: mlp`, not those of `cnn`."""
    chosen, enabled = tree.get("name"), tree.get("enabled", True)
    if not enabled:
        return {"enabled": False}
    kept = {key: leaf for key, leaf in tree.items() if chosen is None or not isinstance(leaf, Mapping) or key == chosen}
    return {key: _used(leaf) if isinstance(leaf, Mapping) else leaf for key, leaf in kept.items()}
