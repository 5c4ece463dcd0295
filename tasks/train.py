"""Stage `train`: fit the model on train, watch it on val, keep what the diagnosis needs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.core.components import Choice, Component
from tasks.core.errors import ParamsError
from tasks.core.settings import Fraction, NotNegative, Positive, Section, Seed, Threads

if TYPE_CHECKING:
    from torch import Tensor

    from tasks.contracts.splits import Split
    from tasks.contracts.trained import Epoch, TrainedModel
    from tasks.learning.batches import Batches
    from tasks.learning.class_order import BatchClasses
    from tasks.learning.distributed import Group


# Each number of their state belongs to one weight, and they are tested.
SHARDED_OPTIMIZERS = ("sgd", "adam", "adamw")


class Warmup(Section):
    epochs: NotNegative = 0.0  # epochs of linear learning-rate warm-up before the schedule begins; may have a fraction
    start_fraction: Fraction = 0.0  # the learning rate of the first step, as a share of the full one


class Regularisation(Section):
    l1: NotNegative = 0.0  # factor of the sum of absolute weights (without biases), added to the loss
    l2: NotNegative = 0.0  # factor of half the sum of squared weights (without biases), added to the loss
    clip_norm: Positive | None = None  # the gradient of all weights is scaled down to a norm of at most this
    clip_value: Positive | None = None  # each value of the gradient is cut to at most this, and at least its negative
    sam_radius: NotNegative = (
        0.0  # radius of sharpness-aware minimisation (0.05 in its paper), which computes each gradient twice; 0: off
    )


class EarlyStopping(Section):
    enabled: bool = False  # stop when the validation loss no longer falls, and restore the best epoch
    patience: int = Field(ge=1, default=5)  # epochs without improvement before stopping
    min_delta: NotNegative = 0.0  # a smaller fall of the validation loss is no improvement


class Train(Section):
    epochs: int = Field(ge=1, le=100_000)
    batch_size: int = Field(ge=1)  # examples per step of the optimizer
    accumulate: int = Field(
        ge=1, default=1
    )  # parts of a batch, one after another: the same step in less memory, but for batch norm
    shuffle: bool = True  # a new order each epoch, from the seed; false keeps the order of the file
    standardise: bool = True  # subtract the mean of train and divide by its deviation, per channel; false only scales to [0, 1]
    model: Annotated[Choice, Component("tasks.models")]
    loss: Annotated[Choice, Component("tasks.learning.losses")]
    optimizer: Annotated[Choice, Component("tasks.learning.optimizers")]
    schedule: Annotated[Choice, Component("tasks.learning.schedules")]
    warmup: Warmup = Warmup()
    augmentation: Annotated[Choice, Component("tasks.learning.augmentations")]
    mixing: Annotated[Choice, Component("tasks.learning.mixing")]
    averaging: Annotated[Choice, Component("tasks.learning.averaging")]
    regularisation: Regularisation = Regularisation()
    early_stopping: EarlyStopping = EarlyStopping()
    device: Literal["auto", "cpu", "cuda"] = "auto"  # auto: a CUDA device where there is one
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"  # mixed: the forward pass computes in 16 bits
    channels_last: bool = False  # another layout of images in memory; often faster for convolutions
    compile: bool = False  # compile the model with torch.compile, which needs a C++ compiler on a CPU
    devices: int = Field(ge=1, le=1024, default=1)  # devices per machine (processes on a CPU)
    num_nodes: int = Field(ge=1, le=1024, default=1)  # machines that train together; torchrun starts the stage on each of them
    strategy: Literal["ddp", "fsdp"] = "ddp"  # ddp: each device holds the whole model; fsdp: a part, for large models
    record_step: bool = True  # replay a recording of the step where it gives the same bits: on one CPU process, not compiled

    @model_validator(mode="after")
    def parts_of_a_batch_add_up(self) -> Self:
        """The weighted mean of a batch is not the mean of its parts' weighted means."""
        if (self.accumulate > 1 or self.devices * self.num_nodes > 1) and getattr(self.loss.settings, "class_weights", None):
            raise ValueError(
                "loss.class_weights: found weights with accumulate above 1 or several devices; the weighted mean over a batch is not "
                "that of its parts, so drop one of the two"
            )
        return self

    @model_validator(mode="after")
    def parts_of_a_batch_are_means(self) -> Self:
        """The losses of parts are weighted by their share of the batch: a sum would be only a fraction of that of the whole."""
        reduction = getattr(self.loss.settings, "options", {}).get("reduction", "mean")
        if (self.accumulate > 1 or self.devices * self.num_nodes > 1) and reduction != "mean":
            raise ValueError(
                f"loss.options.reduction: found {reduction!r} with accumulate above 1 or several devices, where the losses of a "
                "batch's parts are averaged; expected mean, or the whole batch at once on one device"
            )
        return self

    @model_validator(mode="after")
    def one_average_of_the_weights(self) -> Self:
        if self.optimizer.name == "schedulefree_adamw" and self.averaging.name != "none":
            raise ValueError(
                f"averaging: found {self.averaging.name} with the optimizer schedulefree_adamw, whose own average of the weights would "
                "then never be used; expected averaging none, or another optimizer"
            )
        return self

    @model_validator(mode="after")
    def sharpness_needs_finite_gradients(self) -> Self:
        if self.precision == "16-mixed" and self.regularisation.sam_radius:
            raise ValueError(
                "regularisation.sam_radius: found a radius with precision 16-mixed, whose gradients may overflow before they are "
                "scaled; expected bf16-mixed or 32-true"
            )
        return self

    @model_validator(mode="after")
    def parts_of_a_model_suffice(self) -> Self:
        """Where a device has a part of the weights only, what looks at all of them at once would see that part."""
        asked = {
            f"optimizer {self.optimizer.name}": self.optimizer.name not in SHARDED_OPTIMIZERS,
            f"averaging {self.averaging.name}": self.averaging.name != "none",
            f"precision {self.precision}": self.precision == "16-mixed",
            "learning_rate auto": getattr(self.optimizer.settings, "learning_rate", None) == "auto",
            "compile": self.compile,
        } | {f"regularisation.{name}": getattr(self.regularisation, name) > 0 for name in ("l1", "l2", "sam_radius")}
        found = [name for name, is_asked in asked.items() if is_asked]
        if self.strategy == "fsdp" and found:
            raise ValueError(
                f"strategy: found fsdp with {', '.join(found)}; each device then has only its part of the weights. Expected strategy "
                f"ddp, or fsdp with one of the optimizers {', '.join(SHARDED_OPTIMIZERS)} and without these"
            )
        return self

    @model_validator(mode="after")
    def each_device_has_examples(self) -> Self:
        if self.batch_size < self.devices * self.num_nodes:
            raise ValueError(
                f"batch_size is {self.batch_size}; expected at least one example for each device (devices {self.devices} x num_nodes "
                f"{self.num_nodes})"
            )
        return self

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

    The same data, parameters and environment give the same bytes. With several devices each has a process of its own. What mixed
    precision, channels_last or compile gain is measured, printed and written to `results/step_gain.csv`, which is no output: a
    measured time differs from run to run.

    Raises:
        ParamsError: early stopping or the schedule plateau is asked for, and there is no validation split; or devices are missing.
        TrainingError: the loss is not a finite number, no learning rate lowers it (learning_rate: auto), or a process ended.
    """
    from tasks.learning.distributed import launch, processes_to_launch

    settings = params.train
    processes = processes_to_launch(settings.devices, settings.num_nodes, settings.device)
    if processes > 1:
        launch(learn, processes, params, root)
    else:
        learn(params, root)


def learn(params: Params, root: Path) -> None:
    """The stage in one process: all of it, or one of the group that torchrun or `train` has started."""
    from tasks.contracts.splits import FOLDER

    # All that will be used, so that the processes can compare it.
    from tasks.learning import assembly, checkpoint, device, live  # noqa: F401
    from tasks.learning.distributed import group

    read = [root / FOLDER / name for name in ("dataset.json", "train.safetensors", "val.safetensors")]
    with group(params.seed, device.choose(params.train.device), params.train.strategy) as joined:
        joined.require_same(params.model_dump(mode="json"), read)
        learn_in(joined, params, root)


def learn_in(joined: "Group", params: Params, root: Path) -> None:
    """Train as one of the group; its first process writes the outputs."""
    import torch

    from tasks.contracts.splits import read_dataset, read_split
    from tasks.contracts.trained import write_dynamics, write_history, write_model
    from tasks.learning.assembly import describe, prepare
    from tasks.learning.checkpoint import Checkpoint
    from tasks.learning.failures import memory
    from tasks.learning.inference import use_threads
    from tasks.learning.live import Live
    from tasks.learning.loop import fit

    train_split, val_split = read_split(root, "train"), read_split(root, "val")
    require_validation(params.train, len(val_split))
    described = describe(params.train, read_dataset(root))
    use_threads(params.threads)
    with torch.random.fork_rng():  # first weights and dropout draw from torch's global generator: give it back as it was
        with memory():
            params, learner = prepare(params, described, train_split, val_split, joined)
        live = Live(root)
        show = live.show if joined.rank == 0 else None
        history = fit(learner, params.train.epochs, Checkpoint.of_stage(joined), on_epoch=show)
    with learner.measured() as kept:  # by all: each may have a part of the weights
        if joined.rank > 0:
            return
        chosen_epoch, chosen_by = learner.stopper.restore(len(history), kept)
        # Copies: what a schedule-free optimizer puts back afterwards are other weights.
        weights = {name: weight.cpu().contiguous().clone() for name, weight in kept.state_dict().items()}

    trained = described.model_copy(update={"epochs": len(history), "chosen_epoch": chosen_epoch, "chosen_by": chosen_by})
    write_model(root, trained, weights)
    write_history(root, history)
    live.remove()
    learner.recorder.batch_classes = classes_of_batches(learner.batches, params.train.epochs)
    write_dynamics(root, learner.recorder.dynamics())
    print(summary(trained, history[chosen_epoch - 1]))
    measure_gain(params, trained, weights, (train_split, val_split), root=root, devices=joined.size)


def require_validation(settings: Train, rows: int) -> None:
    """Some choices need validation images.

    Raises:
        ParamsError: there are none.
    """
    if rows:
        return
    if settings.early_stopping.enabled:
        raise ParamsError(
            "train.early_stopping.enabled is true without a validation split; set preprocess.val_fraction above 0"
        )
    if settings.schedule.name == "plateau":
        raise ParamsError("train.schedule is plateau without a validation split; set preprocess.val_fraction above 0")


def measure_gain(
    params: Params,
    described: "TrainedModel",
    weights: "dict[str, Tensor]",
    splits: "tuple[Split, Split]",
    *,
    root: Path,
    devices: int = 1,
) -> None:
    """Compare the step in the chosen form with plain 32-true, on one device with its part of a batch; nothing where it is plain."""
    import torch

    from tasks.learning.assembly import assemble
    from tasks.learning.distributed import Group
    from tasks.learning.gain import GAIN, measure, write_gain

    (root / GAIN).unlink(missing_ok=True)  # of an earlier run
    settings = params.train.model_copy(update={"batch_size": max(1, params.train.batch_size // devices)})
    plain = settings.model_copy(update={"precision": "32-true", "channels_last": False, "compile": False})
    if plain == settings:
        return
    switches = [name for name in ("channels_last", "compile") if getattr(settings, name)]
    form = ", ".join([*([settings.precision] if settings.precision != "32-true" else []), *switches])
    with torch.random.fork_rng():
        learners = [
            assemble(params.model_copy(update={"train": one}), described, *splits, Group()) for one in (plain, settings)
        ]
        try:
            gain = measure(form, learners[0], learners[1], weights)
        except torch.OutOfMemoryError:
            print(f"train: what {form} gains was not measured: both forms together need more memory than there is")
            return
    write_gain(root, gain)
    print(gain)


def classes_of_batches(batches: "Batches", epochs: int) -> "BatchClasses | None":
    """How many classes the batches of the first ten epochs hold; of one epoch alone, in a small set chance would say too much."""
    import torch

    from tasks.learning.class_order import classes_per_batch

    counted = min(epochs, 10) if batches.shuffle else 1  # without shuffling every epoch has the same order
    order = torch.cat([batches.order(epoch) for epoch in range(1, 1 + counted)])
    return classes_per_batch(batches.split.labels[order].numpy(), batches.batch_size)


def summary(trained: "TrainedModel", chosen: "Epoch") -> str:
    """One line for the terminal and the flow's log."""
    val = "" if chosen.val_loss is None else f", val loss {chosen.val_loss:.4f}, val accuracy {chosen.val_accuracy:.4f}"
    return (
        f"train: {trained.epochs} epochs, kept {trained.chosen_epoch} ({trained.chosen_by}): "
        f"train loss {chosen.train_loss:.4f}, train accuracy {chosen.train_accuracy:.4f}{val}"
    )
