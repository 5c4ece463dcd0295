"""Stage `diagnose`: what is wrong with the trained model, how sure that is, and what helps."""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from tasks.contracts.findings import write_diagnosis
from tasks.core.errors import ArtifactError, DataError
from tasks.core.files import repair
from tasks.core.settings import Section, Seed, Threads

if TYPE_CHECKING:
    from tasks.contracts.splits import Split
    from tasks.contracts.trained import Dynamics, TrainedModel
    from tasks.diagnostics.measured import Measured, Rows


class Diagnose(Section):
    """The error rates that the statements keep, and the smallest harm that matters: a check that could not see it is inconclusive."""

    confidence: float = Field(gt=0.5, lt=1, default=0.95)  # of the intervals
    alpha: float = Field(gt=0, lt=0.5, default=0.05)  # false alarms that a check may raise when nothing is wrong
    power: float = Field(gt=0.5, lt=1, default=0.8)  # probability with which a check must detect a harm that matters
    harm_nats: float = Field(gt=0, default=0.05)  # the smallest difference in log-loss that matters
    harm_accuracy: float = Field(gt=0, lt=1, default=0.02)  # the smallest difference in accuracy that matters


class Params(Section):
    seed: Seed
    threads: Threads
    diagnose: Diagnose = Diagnose()


def diagnose(params: Params, root: Path = Path()) -> None:
    """Run every check of `tasks.diagnostics`; write `results/diagnosis.json` and its summary, and print it.

    Raises:
        ArtifactError: a file of an earlier stage is missing, damaged or belongs to another run.
        DataError: the test or the train split is empty.
    """
    from tasks.diagnostics import REGISTRY
    from tasks.diagnostics.measured import Limits
    from tasks.diagnostics.verdict import as_text, conclude
    from tasks.learning.inference import use_threads

    use_threads(params.threads)
    measured = measure(root, params.seed)
    limits = Limits(**params.diagnose.model_dump())
    diagnosis = conclude([entry.check(measured, limits) for entry in REGISTRY.values()])
    write_diagnosis(root, diagnosis)
    print(as_text(diagnosis))


def measure(root: Path, seed: int) -> "Measured":
    """What the checks need: the splits, the recorded epochs, and logits of the delivered weights on test and on recorded train."""
    from tasks.contracts.splits import read_dataset, read_split
    from tasks.contracts.trained import read_dynamics, read_model
    from tasks.diagnostics.measured import Measured
    from tasks.learning.inference import Preparation, predict, rebuild

    trained, weights = read_model(root)
    module, dynamics = rebuild(trained, weights), read_dynamics(root)
    train, val, test = (read_split(root, name) for name in ("train", "val", "test"))
    check_fit(root, trained, dynamics, len(train), len(val))
    for name, split in (("train", train), ("test", test)):
        if len(split) == 0:
            raise DataError(f"the {name} split is empty; a diagnosis needs rows in it: see preprocess.test_fraction")

    prepare = Preparation(trained.mean, trained.deviation)
    recorded, tested = (
        predict(module, images, prepare).numpy() for images in (train.images[dynamics.train_index], test.images)
    )
    return Measured(
        train=rows(train),
        val=rows(val),
        test=rows(test),
        row_numbers=read_dataset(root).rows,
        train_index=dynamics.train_index.numpy(),
        train_logits=recorded,
        test_logits=tested,
        val_logits=dynamics.val_logits.numpy(),
        delivered=trained.chosen_epoch - 1,
        chosen_by=trained.chosen_by,
        seed=seed,
    )


def rows(split: "Split") -> "Rows":
    """A split as arrays that share its memory."""
    from tasks.diagnostics.measured import Rows

    return Rows(split.images.numpy(), split.labels.numpy(), split.rows.numpy())


def check_fit(root: Path, trained: "TrainedModel", dynamics: "Dynamics", train: int, val: int) -> None:
    """Refuse files of different runs: every number of the diagnosis would be wrong.

    Raises:
        ArtifactError: model, dynamics and splits do not agree on the epochs, the rows or the classes.
    """
    expected, found = (trained.epochs, val, len(trained.classes)), tuple(dynamics.val_logits.shape)
    outside = len(dynamics.train_index) > 0 and int(dynamics.train_index.max()) >= train
    if found != expected or outside:
        raise ArtifactError(
            f"the files of stage 'train' do not belong together: val_logits {found}, expected {expected} (epochs, validation rows, "
            f"classes) and train_index below {train}: {repair('train')}"
        )
