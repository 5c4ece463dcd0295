"""The report as one self-contained HTML page: styles, charts and pictures are embedded, and it loads nothing from elsewhere."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from tasks.charts import formats
from tasks.charts.chain import chain, environment
from tasks.charts.confusion import confusion_chart, count_confusions, most_frequent
from tasks.charts.findings import NAMES, SHAPES, groups, top
from tasks.charts.formats import read_estimate
from tasks.charts.heat_maps import heat_map, reduced
from tasks.charts.learning_curves import learning_curve
from tasks.charts.margins import margins_chart
from tasks.charts.pictures import picture
from tasks.charts.range_test import range_test_chart
from tasks.charts.reliability import Scaled, reliability_chart, scaled
from tasks.charts.sheets import LEAKS, Leak, Suspect, label_noise_flagged
from tasks.charts.smaller import smaller_models
from tasks.contracts.compressed import Compression
from tasks.contracts.explanations import Explanations
from tasks.contracts.findings import Diagnosis
from tasks.contracts.splits import SPLITS, Dataset, SplitName
from tasks.contracts.statement import Statement
from tasks.contracts.trained import WEIGHTS, RangeTest, TrainedModel

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Results:
    """Everything that the page shows.

    `most_wrong` are rows of `predictions`, and `images` (M, C, H, W) uint8 are their pictures. So are `suspect_images` those of
    `suspects`, `leaked_images` those of `leaks`, and `near_images` the training images of those leaks that name one. `explained`
    (L, C, H, W) uint8 are the pictures of the explained images, and `heat_maps` (L, H, W) theirs by method. `paths` are those of the
    files by split and row; empty where the source has no files. `range_test` is there where the learning rate was `auto`.
    `margins` (E, M) are those of the recorded training images after each epoch, and `candidates` the places in M of suspicious labels.
    `statements` are in the order of the stages.
    """

    dataset: Dataset
    model: TrainedModel
    evaluation: Mapping[str, Any]
    diagnosis: Diagnosis
    compression: Compression
    history: "pd.DataFrame"
    range_test: RangeTest | None
    margins: "NDArray[np.float16]"
    candidates: "NDArray[np.intp]"
    predictions: "pd.DataFrame"
    per_class: "pd.DataFrame"
    calibration: "pd.DataFrame"
    most_wrong: "pd.DataFrame"
    images: "NDArray[np.uint8]"
    suspects: Sequence[Suspect]
    suspect_images: "NDArray[np.uint8]"
    leaks: Sequence[Leak]
    leaked_images: "NDArray[np.uint8]"
    near_images: "NDArray[np.uint8]"
    explanations: Explanations
    heat_maps: "Mapping[str, NDArray[np.float32]]"
    explained: "NDArray[np.uint8]"
    paths: "pd.Series[str]"
    params: Mapping[str, Any]
    statements: Sequence[Statement]


def render(results: Results) -> str:
    """The page; the same results give the same text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters.update(
        {name: getattr(formats, name) for name in ("count", "fixed", "p_value", "percent", "typeset", "value", "words")}
    )
    style = Markup((HERE / "style.css").read_text(encoding="utf-8"))  # noqa: S704 (our own file)
    return templates.get_template("page.html").render(style=style, shapes=SHAPES, names=NAMES, **_context(results)) + "\n"


def _context(results: Results) -> dict[str, Any]:
    accuracy, loss = read_estimate(results.evaluation, "accuracy"), read_estimate(results.evaluation, "log_loss")
    total = len(results.predictions)
    decimals = 1 if total < 5000 else 2
    after = _after_scaling(results)
    return {
        "dataset": results.dataset,
        "model": results.model,
        "diagnosis": results.diagnosis,
        "tone": {"good_fit": "pass", "inconclusive": "inconclusive"}.get(results.diagnosis.verdict, "flag"),
        "tests": total,
        "scored": _scored(results.params),
        "form": _form(results.params["train"]),
        "level": formats.percent(results.diagnosis.confidence, 0),
        "accuracy": formats.spelled(accuracy, decimals, formats.percent),
        "loss": formats.spelled(loss, 3, formats.fixed),
        "macro_f1": formats.fixed(read_estimate(results.evaluation, "macro_f1").value, 3),
        "baseline": formats.percent(_baseline(results.dataset), decimals),
        **top(results.diagnosis),
        "groups": groups(results.diagnosis, results.dataset.classes),
        **_learning(results),
        **_errors(results),
        "reliability": reliability_chart(results.calibration, results.evaluation["ece"], after),
        "after": after,
        "bins": results.calibration.to_dict("records"),
        "calibration_error": results.evaluation["ece"],
        "pictures": _pictures(results),
        "suspects": _suspects(results),
        "noisy": label_noise_flagged(results.diagnosis),
        "leaks": _leaks(results),
        "sheets": {
            **({"label_noise": "labels"} if results.suspects else {}),
            **(dict.fromkeys(LEAKS, "leaks") if results.leaks else {}),
        },
        **_explanations(results),
        "compression": results.compression,
        "smaller": smaller_models(results.compression),
        "params": [(key, branch) for key, branch in _active(results.params).items() if isinstance(branch, dict)],
        "shared": {key: leaf for key, leaf in results.params.items() if not isinstance(leaf, dict)},
        "splits": [(split, results.dataset.counts.get(split, [])) for split in SPLITS],
        "links": chain(results.statements),
        "environment": environment(results.statements),
    }


def _form(train: Mapping[str, Any]) -> str:
    """What makes a step of the training faster, where it was not the plain one in 32 bits."""
    switches = [name for name in ("channels_last", "compile") if train.get(name)]
    return ", ".join([name for name in (train.get("precision", "32-true"),) if name != "32-true"] + switches)


def _scored(params: Mapping[str, Any]) -> str:
    """The exported model that was scored; empty where it was the trained one."""
    model = str(params["evaluate"].get("model", WEIGHTS))
    return "" if model == WEIGHTS.as_posix() else model


def _after_scaling(results: Results) -> Scaled | None:
    """The calibration on test after the temperature that a flag recommends; it belongs to the trained model, not to an exported one."""
    flagged = [finding for finding in results.diagnosis.findings if finding.code == "calibration" and finding.status == "flag"]
    temperature = flagged[0].evidence.get("temperature") if flagged else None
    if not isinstance(temperature, float) or _scored(results.params):
        return None
    return scaled(results.predictions, temperature, results.params["evaluate"]["calibration_bins"])


def _baseline(dataset: Dataset) -> float | None:
    """The test accuracy of always predicting the most frequent class of train; None without test images."""
    train, test = dataset.counts.get("train", []), dataset.counts.get("test", [])
    return test[train.index(max(train))] / sum(test) if train and sum(test) else None


def _learning(results: Results) -> dict[str, Any]:
    history, chosen = results.history, results.model.chosen_epoch
    unit = "nats" if results.params["train"]["loss"]["name"] == "cross_entropy" else "loss"
    return {
        "loss_curve": learning_curve(history, "loss", chosen, unit),
        "accuracy_curve": learning_curve(history, "accuracy", chosen),
        "margins_chart": margins_chart(results.margins, results.candidates),
        "recorded": results.margins.shape[1],
        "candidates": len(results.candidates),
        "range_test": results.range_test,
        "range_test_curve": range_test_chart(results.range_test, unit) if results.range_test else "",
        "has_validation": bool(history["val_loss"].notna().any()),
    }


def _errors(results: Results) -> dict[str, Any]:
    """The confusion matrix, the most frequent confusions, and the classes with the lowest recall first."""
    classes = results.dataset.classes
    labels, predicted = (results.predictions[column].to_numpy(dtype="int64") for column in ("label", "predicted"))
    counts = count_confusions(labels, predicted, len(classes))
    # Names come from the dataset: in a CSV, a class that is called "NA" would be read as a missing value.
    rows = [{**row, "class": name} for name, row in zip(classes, results.per_class.to_dict("records"), strict=True)]
    return {
        "confusion": confusion_chart(counts, classes),
        "wrong": int(counts.sum() - counts.trace()),
        "confusions": [(classes[actual], classes[taken], times) for actual, taken, times in most_frequent(counts, 8)],
        "per_class": sorted(rows, key=lambda row: row["recall"] if row["n"] else 2),
        "scale": _scale([row["recall_ci_low"] for row in rows if row["n"]]),
    }


def _scale(lows: Sequence[float]) -> float:
    """Where the axis of the recall bars begins: at a multiple of 10 % below all intervals, so that bars near 100 % differ visibly."""
    return min(math.floor(10 * min(lows, default=0.0)) / 10, 0.9)


def _path(results: Results, split: SplitName, row: int) -> str:
    """The file of a row, relative to the user's folder; empty where the source has no files."""
    return str(results.paths.get((split, row), ""))


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
            "path": _path(results, "test", int(row["row"])),
        }
        for image, row in zip(results.images, results.most_wrong.to_dict("records"), strict=True)
    ]


def _suspects(results: Results) -> list[dict[str, Any]]:
    classes = results.dataset.classes
    return [
        {
            "source": picture(image),
            "given": classes[suspect.given],
            "suggested": classes[suspect.suggested],
            "margin": suspect.margin,
            "row": suspect.row,
            "path": _path(results, "test", suspect.row),
        }
        for suspect, image in zip(results.suspects, results.suspect_images, strict=True)
    ]


def _leaks(results: Results) -> list[dict[str, Any]]:
    """The leaked test images, each with the training image that it is near to, where it is not an exact copy."""
    near = iter(results.near_images)
    return [
        {
            "source": picture(image),
            "row": leak.row,
            "path": _path(results, "test", leak.row),
            "near": "" if leak.train_row is None else picture(next(near)),
            "train_row": leak.train_row,
            "train_path": "" if leak.train_row is None else _path(results, "train", leak.train_row),
        }
        for leak, image in zip(results.leaks, results.leaked_images, strict=True)
    ]


def _explanations(results: Results) -> dict[str, Any]:
    """The explained images by kind, each with its heat maps, and the methods with their sanity checks."""
    explanations, classes = results.explanations, results.dataset.classes
    items = [
        {
            "actual": classes[image.label],
            "predicted": classes[image.predicted],
            "confidence": image.confidence,
            "loss": image.loss,
            "row": image.row,
            "path": _path(results, "test", image.row),
            "pictures": [
                ("image", picture(reduced(pixels))),
                *((method.name, heat_map(pixels, results.heat_maps[method.name][place])) for method in explanations.methods),
            ],
        }
        for place, (image, pixels) in enumerate(zip(explanations.images, results.explained, strict=True))
    ]
    return {
        "explained": [(kind, [items[place] for place in places]) for kind, places in explanations.groups.items() if places],
        "methods": explanations.methods,
        "randomisations": explanations.randomisations,
        "sanity": {"pass": ("pass", "Passes"), "fail": ("flag", "Fails"), "not_run": ("not_run", "Not run")},
    }


def _active(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters without inactive options: of a section with `enabled: false`, nothing else has an effect."""
    if not tree.get("enabled", True):
        return {"enabled": False}
    return {key: _active(leaf) if isinstance(leaf, Mapping) else leaf for key, leaf in tree.items()}
