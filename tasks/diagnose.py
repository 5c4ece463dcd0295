"""Stage `diagnose`: what is wrong with the trained model, how certain that is, and what to do about it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from tasks.contracts.calibration import write_calibration
from tasks.contracts.findings import write_diagnosis
from tasks.core.components import Choice, Component, each_once, named
from tasks.core.errors import ArtifactError, DataError
from tasks.core.files import repair
from tasks.core.progress import Progress
from tasks.core.settings import Section, Seed, Threads
from tasks.diagnostics.catalogue import CHECKS
from tasks.diagnostics.limits import DEFAULT, Limits

if TYPE_CHECKING:
    from tasks.contracts.splits import Arrays, Split
    from tasks.contracts.trained import Dynamics, TrainedModel
    from tasks.diagnostics.measured import Measured

# `overtrained`, or `{name: …, …}` where an option differs from its default.
Check = Annotated[Choice, Component("tasks.diagnostics.checks"), BeforeValidator(named)]


class Diagnose(Section):
    """Which checks run, the error rates that they keep, and the smallest harm that matters.

    A check that could not have detected such a harm is inconclusive, not passed.
    """

    # Files of tasks/diagnostics/checks, in the order of the findings.
    checks: Annotated[list[Check], AfterValidator(each_once)] = Field(default=list(CHECKS), validate_default=True, min_length=1)
    confidence: float = Field(gt=0.5, lt=1, default=DEFAULT.confidence)  # confidence level of the intervals
    alpha: float = Field(gt=0, lt=0.5, default=DEFAULT.alpha)  # false-alarm rate of a check when nothing is wrong
    power: float = Field(gt=0.5, lt=1, default=DEFAULT.power)  # probability with which a check must detect a harm that matters
    harm_nats: float = Field(gt=0, default=DEFAULT.harm_nats)  # the smallest increase in log-loss that matters, in nats
    harm_accuracy: float = Field(gt=0, lt=1, default=DEFAULT.harm_accuracy)  # the smallest difference in accuracy that matters


class Params(Section):
    seed: Seed
    threads: Threads
    diagnose: Diagnose = Field(default_factory=Diagnose)


def diagnose(params: Params, root: Path = Path()) -> None:
    """Run the chosen checks; write `results/diagnosis.json` and its summary, and print both verdict and findings.

    Raises:
        ArtifactError: a file of an earlier stage is missing, damaged or belongs to another run.
        DataError: the test or the train split is empty.
    """
    from tasks.diagnostics.verdict import as_text, examine
    from tasks.learning.inference import use_threads

    use_threads(params.threads)
    chosen = params.diagnose
    limits = Limits(chosen.confidence, chosen.alpha, chosen.power, chosen.harm_nats, chosen.harm_accuracy)
    measured = measure(root, params.seed)
    diagnosis = examine(chosen.checks, measured, limits)
    write_diagnosis(root, diagnosis)
    comparison = measured.comparison
    write_calibration(root, comparison if isinstance(comparison, str) else comparison.fitted, len(measured.val.labels))
    print(as_text(diagnosis))


def measure(root: Path, seed: int) -> "Measured":
    """What the checks need: the splits, the recorded epochs, and the logits of the saved weights on recorded train, val and test.

    Raises:
        ArtifactError: a file of an earlier stage is missing, damaged or belongs to another run.
        DataError: the test or the train split is empty.
    """
    from tasks.contracts.splits import read_dataset, read_metadata, read_split
    from tasks.contracts.trained import read_dynamics, read_history, read_model
    from tasks.diagnostics.measured import Dynamics, Measured
    from tasks.learning.inference import Preparation, predict, rebuild
    from tasks.statistics.answers import Answers

    trained, weights = read_model(root)
    module, dynamics, history = rebuild(trained, weights), read_dynamics(root), read_history(root)
    train, val, test = (read_split(root, name) for name in ("train", "val", "test"))
    check_fit(root, trained, dynamics, len(train), len(val))
    for name, split in (("train", train), ("test", test)):
        if len(split) == 0:
            raise DataError(f"the {name} split is empty; expected images in it: see preprocess.test_fraction")
    metadata = read_metadata(root, "test", len(test))  # before anything that takes time

    prepare = Preparation(trained.mean, trained.deviation)
    with Progress("diagnose", len(dynamics.train_index) + len(val) + len(test), "image") as progress:
        recorded = predict(module, train.images, prepare, dynamics.train_index, progress.advance).numpy()
        validated, tested = (predict(module, split.images, prepare, advance=progress.advance).numpy() for split in (val, test))
    return Measured(
        train=arrays(train),
        val=arrays(val),
        test=arrays(test),
        row_numbers=read_dataset(root).rows,
        train_index=dynamics.train_index.numpy(),
        train_logits=recorded,
        test_logits=tested,
        val_logits=validated,
        train_epochs=Dynamics(dynamics.margin.numpy(), dynamics.loss.numpy(), dynamics.correct.numpy()),
        val_epochs=Answers(dynamics.val_loss.numpy(), dynamics.val_scaled_loss.numpy(), dynamics.val_correct.numpy()),
        val_half=dynamics.val_half.numpy(),
        rates=history["learning_rate"].to_numpy(dtype="float64"),
        watched=history["val_loss"].to_numpy(dtype="float64"),
        saved=trained.chosen_epoch - 1,
        chosen_by=trained.chosen_by,
        seed=seed,
        metadata=metadata,
        batch_classes=None if dynamics.batch_classes is None else tuple(dynamics.batch_classes.tolist()),
    )


def arrays(split: "Split") -> "Arrays":
    """A split as numpy arrays that share its memory."""
    from tasks.contracts.splits import Arrays

    return Arrays(split.images.numpy(), split.labels.numpy(), split.rows.numpy())


def check_fit(root: Path, trained: "TrainedModel", dynamics: "Dynamics", train: int, val: int) -> None:
    """Refuse files that come from different runs, from which every number of the diagnosis would be wrong.

    Raises:
        ArtifactError: model, dynamics and splits disagree on the number of epochs or examples.
    """
    expected, found = (trained.epochs, val), tuple(dynamics.val_loss.shape)
    outside = len(dynamics.train_index) > 0 and int(dynamics.train_index.max()) >= train
    if found != expected or outside:
        raise ArtifactError(
            f"the files of stage 'train' do not belong together: val_loss {found}, expected {expected} (epochs, validation images), "
            f"and train_index below {train}: {repair('train')}"
        )
