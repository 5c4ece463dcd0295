"""Stage `evaluate`: how good the model is on test, with confidence intervals."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from tasks.contracts.results import CALIBRATION, CONFUSION, EVALUATION, PER_CLASS, PREDICTIONS, write_table
from tasks.contracts.trained import WEIGHTS
from tasks.core.errors import DataError
from tasks.core.files import write_json
from tasks.core.progress import Progress
from tasks.core.settings import Section, Seed, Threads

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from tasks.contracts.splits import Split
    from tasks.contracts.trained import TrainedModel
    from tasks.statistics.arrays import Floats, Ints
    from tasks.statistics.calibration import Bin

SCORED = r"models/(model\.safetensors|compressed/\w+/model\.(onnx|pt2))"


class Evaluate(Section):
    """How the intervals and the calibration table are computed."""

    model: str = WEIGHTS.as_posix()  # what is scored: the trained weights, or an exported model in models/compressed
    confidence: float = Field(gt=0.5, lt=1, default=0.95)  # confidence level of the intervals
    calibration_bins: int = Field(ge=2, le=100, default=15)  # equally wide bins of the predicted probability
    bootstrap_resamples: int = Field(ge=200, le=100_000, default=2000)  # resamples for the interval of the log-loss

    @field_validator("model")
    @classmethod
    def _written_by_a_stage(cls, model: str) -> str:
        if not re.fullmatch(SCORED, model):
            raise ValueError(
                f"found {model!r}; expected {WEIGHTS}, or an exported model such as models/compressed/prune/model.onnx (or model.pt2)"
            )
        return model


class Params(Section):
    seed: Seed
    threads: Threads
    evaluate: Evaluate = Evaluate()


def evaluate(params: Params, root: Path = Path()) -> None:
    """Write `metrics/evaluation.json` and the tables of `tasks.contracts.results`; the same inputs give the same bytes.

    Raises:
        ArtifactError: a file of an earlier stage is missing or damaged.
        DataError: the test split is empty.
    """
    import numpy as np

    from tasks.contracts.splits import read_split
    from tasks.contracts.trained import read_description
    from tasks.learning.inference import use_threads
    from tasks.statistics.calibration import calibration, log_probabilities
    from tasks.statistics.intervals import bootstrap_mean
    from tasks.statistics.random import BOOTSTRAP, generator

    use_threads(params.threads)
    trained = read_description(root)
    test = read_split(root, "test")
    if len(test) == 0:
        raise DataError("the test split is empty; expected images to evaluate on: see preprocess.test_fraction")

    outputs = logits(root, Path(params.evaluate.model), trained, test, params.threads)
    logarithms, labels = log_probabilities(outputs), test.labels.numpy()
    losses = -logarithms[np.arange(len(labels)), labels]
    probabilities, predicted = np.exp(logarithms), logarithms.argmax(axis=1)
    bins = calibration(probabilities.max(axis=1), predicted == labels, params.evaluate.calibration_bins)

    confidence = params.evaluate.confidence
    loss_interval = bootstrap_mean(losses, confidence, params.evaluate.bootstrap_resamples, generator(params.seed, BOOTSTRAP))
    write_json(
        root / EVALUATION, metrics(labels, predicted, losses, loss_interval=loss_interval, bins=bins, confidence=confidence)
    )
    write_table(root, PREDICTIONS, predictions(test.rows.numpy(), labels, predicted, losses, probabilities))
    write_table(root, PER_CLASS, per_class(trained.classes, labels, predicted, confidence))
    write_table(root, CONFUSION, confusion(trained.classes, labels, predicted))
    write_table(root, CALIBRATION, reliability(bins, confidence))


def logits(root: Path, model: Path, trained: "TrainedModel", test: "Split", threads: int) -> "NDArray[np.float32]":
    """What the model says of every test image: (N, K). An exported model prepares the images itself."""
    from tasks.contracts.trained import read_model
    from tasks.exporting.running import in_batches, open_exported
    from tasks.learning.inference import Preparation, predict, rebuild

    if model != WEIGHTS:
        return in_batches(open_exported(root / model, threads), test.images.numpy())
    _, weights = read_model(root)
    prepare = Preparation(trained.mean, trained.deviation)
    with Progress("evaluate", len(test), "image") as progress:
        found: NDArray[np.float32] = predict(rebuild(trained, weights), test.images, prepare, advance=progress.advance).numpy()
    return found


def metrics(
    labels: "Ints",
    predicted: "Ints",
    losses: "Floats",
    *,
    loss_interval: tuple[float, float],
    bins: "list[Bin]",
    confidence: float,
) -> dict[str, int | float]:
    """Accuracy with its Wilson interval, macro-F1, log-loss (nats) with its bootstrap interval, expected calibration error."""
    from tasks.statistics.calibration import calibration_error
    from tasks.statistics.intervals import wilson

    correct = predicted == labels
    accuracy_low, accuracy_high = wilson(int(correct.sum()), len(correct), confidence)
    loss_low, loss_high = loss_interval
    return {
        "n": len(correct),
        "accuracy": float(correct.mean()),
        "accuracy_ci_low": accuracy_low,
        "accuracy_ci_high": accuracy_high,
        "macro_f1": macro_f1(labels, predicted),
        "log_loss": float(losses.mean()),
        "log_loss_ci_low": loss_low,
        "log_loss_ci_high": loss_high,
        "ece": calibration_error(bins),
    }


def macro_f1(labels: "Ints", predicted: "Ints") -> float:
    """The mean over classes of F1 = 2 · correct / (examples + predictions); classes without either are left out."""
    import numpy as np

    size = int(max(labels.max(), predicted.max())) + 1
    correct = np.bincount(labels[labels == predicted], minlength=size)
    total = np.bincount(labels, minlength=size) + np.bincount(predicted, minlength=size)
    return float((2 * correct[total > 0] / total[total > 0]).mean())


def predictions(rows: "Ints", labels: "Ints", predicted: "Ints", losses: "Floats", probabilities: "Floats") -> "pd.DataFrame":
    """One row per test example; arrays (N,), probabilities (N, K)."""
    import pandas as pd

    columns = {f"probability_{k}": column for k, column in enumerate(probabilities.T)}
    known = {"row": rows, "label": labels, "predicted": predicted, "confidence": probabilities.max(axis=1), "loss": losses}
    return pd.DataFrame(known | columns)


def per_class(classes: list[str], labels: "Ints", predicted: "Ints", confidence: float) -> "pd.DataFrame":
    """One row per class; precision is empty where the class was never predicted, recall where it has no test example."""
    import pandas as pd

    from tasks.statistics.intervals import wilson

    table = []
    for number, name in enumerate(classes):
        n, claimed = int((labels == number).sum()), int((predicted == number).sum())
        correct = int(((labels == number) & (predicted == number)).sum())
        low, high = wilson(correct, n, confidence) if n else (None, None)
        table.append(
            {
                "class": name,
                "n": n,
                "correct": correct,
                "precision": correct / claimed if claimed else None,
                "recall": correct / n if n else None,
                "recall_ci_low": low,
                "recall_ci_high": high,
            }
        )
    return pd.DataFrame(table)


def confusion(classes: list[str], labels: "Ints", predicted: "Ints") -> "pd.DataFrame":
    """One row per test example: the names of its class and of the predicted class."""
    import pandas as pd

    return pd.DataFrame({"actual": [classes[k] for k in labels], "predicted": [classes[k] for k in predicted]})


def reliability(bins: "list[Bin]", confidence: float) -> "pd.DataFrame":
    """One row per bin with examples in it: mean confidence, and accuracy with its Wilson interval."""
    import pandas as pd

    from tasks.statistics.intervals import wilson

    table = []
    for row in bins:
        low, high = wilson(row.correct, row.n, confidence)
        table.append(
            {
                "bin_low": row.low,
                "bin_high": row.high,
                "n": row.n,
                "confidence": row.confidence,
                "accuracy": row.correct / row.n,
                "accuracy_ci_low": low,
                "accuracy_ci_high": high,
            }
        )
    return pd.DataFrame(table)
