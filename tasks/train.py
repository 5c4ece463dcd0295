"""Stage `train`: fit the model on train, watch it on val, keep what the diagnosis needs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from tasks.core.components import Choice, Component
from tasks.core.errors import ParamsError
from tasks.core.settings import Fraction, NotNegative, Section, Seed, Threads

if TYPE_CHECKING:
    from tasks.contracts.splits import Split
    from tasks.contracts.trained import Epoch, TrainedModel
    from tasks.learning.loop import Learner


class Warmup(Section):
    epochs: NotNegative = 0.0  # in which the learning rate rises linearly, before the schedule begins; may have a fraction
    start_fraction: Fraction = 0.0  # the learning rate of the first step, as a share of the full one


class Regularisation(Section):
    l1: NotNegative = 0.0  # times the sum of absolute weights (biases left out), added to the loss
    l2: NotNegative = 0.0  # times half the sum of squared weights (biases left out), added to the loss


class EarlyStopping(Section):
    enabled: bool = False  # stop when the validation loss no longer falls, and restore the best epoch
    patience: int = Field(ge=1, default=5)  # epochs without improvement before stopping
    min_delta: NotNegative = 0.0  # a smaller fall of the validation loss is no improvement


class Train(Section):
    epochs: int = Field(ge=1, le=100_000)
    batch_size: int = Field(ge=1)
    shuffle: bool = True  # a new order each epoch, from the seed; false keeps the order of the file
    standardise: bool = True  # subtract the mean of train and divide by its deviation, per channel; false only scales to [0, 1]
    model: Annotated[Choice, Component("tasks.models")]
    loss: Annotated[Choice, Component("tasks.learning.losses")]
    optimizer: Annotated[Choice, Component("tasks.learning.optimizers")]
    schedule: Annotated[Choice, Component("tasks.learning.schedules")]
    warmup: Warmup = Warmup()
    regularisation: Regularisation = Regularisation()
    early_stopping: EarlyStopping = EarlyStopping()

    @model_validator(mode="after")
    def warmup_ends_within_the_run(self) -> Self:
        if self.warmup.epochs >= self.epochs:
            raise ValueError(
                f"warmup.epochs is {self.warmup.epochs:g}; expected less than the epochs of the run, {self.epochs}"
            )
        return self


class Params(Section):
    seed: Seed
    threads: Threads
    train: Train


def train(params: Params, root: Path = Path()) -> None:
    """Read the processed train and val splits; write the model, `results/history.csv` and `results/dynamics.safetensors`.

    The same data, parameters and environment give the same bytes.

    Raises:
        ParamsError: early stopping or the schedule plateau is asked for, and there is no validation split.
        TrainingError: the loss is not a finite number.
    """
    import torch

    from tasks.contracts.splits import read_dataset, read_split
    from tasks.contracts.trained import TrainedModel, write_dynamics, write_history, write_model
    from tasks.learning.inference import use_threads
    from tasks.learning.loop import fit

    settings = params.train
    dataset, train_split, val_split = read_dataset(root), read_split(root, "train"), read_split(root, "val")
    if settings.early_stopping.enabled and not len(val_split):
        raise ParamsError(
            "train.early_stopping.enabled is true without a validation split; set preprocess.val_fraction above 0"
        )
    if settings.schedule.name == "plateau" and not len(val_split):
        raise ParamsError("train.schedule is plateau without a validation split; set preprocess.val_fraction above 0")
    channels = dataset.shape[0]
    scaled_only = ([0.0] * channels, [1.0] * channels)
    mean, deviation = (dataset.mean, dataset.deviation) if settings.standardise else scaled_only

    use_threads(params.threads)
    with torch.random.fork_rng(
        devices=[]
    ):  # first weights and dropout draw from torch's global generator: give it back as it was
        torch.manual_seed(params.seed)
        described = TrainedModel(
            model=settings.model, shape=dataset.shape, classes=dataset.classes, mean=mean, deviation=deviation
        )
        learner = assemble(params, described, train_split, val_split)
        history = fit(learner, settings.epochs)
    chosen_epoch, chosen_by = learner.stopper.restore(len(history), learner.model)

    trained = described.model_copy(update={"epochs": len(history), "chosen_epoch": chosen_epoch, "chosen_by": chosen_by})
    write_model(root, trained, learner.model.state_dict())
    write_history(root, history)
    write_dynamics(root, learner.recorder.dynamics())
    print(summary(trained, history[chosen_epoch - 1]))


def assemble(params: Params, described: "TrainedModel", train_split: "Split", val_split: "Split") -> "Learner":
    """Build everything that the loop needs from the parameters."""
    from tasks.learning import penalties
    from tasks.learning.batches import Batches
    from tasks.learning.inference import Preparation
    from tasks.learning.loop import Learner
    from tasks.learning.recording import Recorder, recorded_rows
    from tasks.learning.schedule import with_warmup
    from tasks.learning.stopping import Stopper

    settings = params.train
    prepare = Preparation(described.mean, described.deviation)
    model = settings.model.module.build(settings.model.settings, described.shape, len(described.classes))
    optimizer = settings.optimizer.module.build(settings.optimizer.settings, model.parameters())
    loss = settings.loss.module.build(settings.loss.settings)
    index = recorded_rows(len(train_split), len(val_split), params.seed)
    batches = Batches(train_split, prepare, settings.batch_size, settings.shuffle, params.seed)
    warmup = settings.warmup
    return Learner(
        model=model,
        loss=loss,
        penalty=penalties.build(settings.regularisation.l1, settings.regularisation.l2, model),
        optimizer=optimizer,
        schedule=with_warmup(settings.schedule, len(batches), settings.epochs, warmup.epochs, warmup.start_fraction),
        batches=batches,
        recorder=Recorder(train_split, val_split, index, prepare, loss),
        stopper=Stopper(**settings.early_stopping.model_dump()),
    )


def summary(trained: "TrainedModel", chosen: "Epoch") -> str:
    """One line for the terminal and the flow's log."""
    val = "" if chosen.val_loss is None else f", val loss {chosen.val_loss:.4f}, val accuracy {chosen.val_accuracy:.4f}"
    return (
        f"train: {trained.epochs} epochs, kept {trained.chosen_epoch} ({trained.chosen_by}): "
        f"train loss {chosen.train_loss:.4f}, train accuracy {chosen.train_accuracy:.4f}{val}"
    )
