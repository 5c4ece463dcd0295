"""Assemble a learner from the parameters of the stage `train`, which `train` and the trainings of a pilot share."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from tasks.contracts.splits import Dataset, Split
from tasks.contracts.trained import TrainedModel
from tasks.core.components import Choice
from tasks.learning import device, penalties
from tasks.learning.batches import Batches
from tasks.learning.class_order import warn_of_class_order
from tasks.learning.distributed import Group
from tasks.learning.gradients import Clip, Sharpness
from tasks.learning.inference import Preparation
from tasks.learning.learning_rate import is_auto
from tasks.learning.loop import Learner
from tasks.learning.precision import Precision
from tasks.learning.range_test import range_test
from tasks.learning.recording import Recorder, recorded_rows
from tasks.learning.schedule import with_warmup
from tasks.learning.small_batches import warn_of_small_batches
from tasks.learning.stopping import Stopper

if TYPE_CHECKING:
    # Only the types: the stage imports this module, never the other way round.
    from tasks.train import Params, Train


def describe(settings: "Train", dataset: Dataset) -> TrainedModel:
    """What is known of the model before it is trained."""
    channels = dataset.shape[0]
    mean, deviation = (dataset.mean, dataset.deviation) if settings.standardise else ([0.0] * channels, [1.0] * channels)
    return TrainedModel(
        model=settings.model,
        shape=dataset.shape,
        classes=dataset.classes,
        mean=mean,
        deviation=deviation,
        resize=dataset.resize,
    )


def prepare(
    params: "Params", described: TrainedModel, train_split: Split, val_split: Split, joined: Group
) -> tuple["Params", Learner]:
    """A learner with its first weights, and the parameters with the learning rate that a range test has chosen where it is auto.

    Raises:
        TrainingError: no learning rate lowers the loss.
    """
    parts = described, train_split, val_split, joined
    warn_of_batches(params.train, described, train_split, joined)
    tested = None
    if is_auto(getattr(params.train.optimizer.settings, "learning_rate", None)):
        # With a learner of its own, not compiled. What is trained afterwards is made anew, with the chosen number: whatever the
        # test has changed, in torch's tensors or in a component's Python, cannot reach it.
        tested = range_test(seeded(with_rate(params, 1.0, compile=False), *parts))
        params = with_rate(params, tested.chosen)
    learner = seeded(params, *parts)
    learner.recorder.range_test = tested
    return params, learner


def warn_of_batches(settings: "Train", described: TrainedModel, train_split: Split, joined: Group) -> None:
    """Say before the first step what in the batches lets the model learn badly: too few examples for batch norm, too few classes.

    Raises:
        ParamsError: a part of a batch has one example, and the model cannot be trained with one.
    """
    divided = settings.accumulate * (joined.size if device.choose(settings.device).type == "cpu" else 1)
    untrained = build(settings.model, described.shape, len(described.classes))
    warn_of_small_batches(untrained, described.shape, len(train_split), settings.batch_size, divided)
    if not settings.shuffle:
        warn_of_class_order(train_split.labels.numpy(), settings.batch_size)


def seeded(params: "Params", described: TrainedModel, train_split: Split, val_split: Split, joined: Group) -> Learner:
    """Assemble a learner whose first weights follow from the seed."""
    torch.manual_seed(params.seed)
    return assemble(params, described, train_split, val_split, joined)


def assemble(params: "Params", described: TrainedModel, train_split: Split, val_split: Split, joined: Group) -> Learner:
    """Build everything that the loop needs from the parameters."""
    settings = params.train
    regularisation, warmup = settings.regularisation, settings.warmup
    chosen = device.choose(settings.device)
    device.compute_reproducibly(chosen)
    prepare = Preparation(described.mean, described.deviation, chosen)
    classes = len(described.classes)
    layout = torch.channels_last if settings.channels_last else torch.contiguous_format
    model = build(settings.model, described.shape, classes).to(chosen, memory_format=layout)
    model = joined.divided(joined.with_batch_norm(model, chosen), chosen)
    loss = build(settings.loss)
    batches = Batches(
        train_split,
        prepare,
        settings.batch_size,
        settings.shuffle,
        params.seed,
        classes=classes,
        augment=build(settings.augmentation),
        mix=build(settings.mixing),
    )
    # The scaler of 16-mixed, and a loss of somebody else's, may have a state of their own, which a recording would not put back.
    stateless = settings.precision != "16-mixed" and settings.loss.name != "imported"
    plain = chosen.type == "cpu" and joined.size == 1 and not settings.compile and stateless
    index = recorded_rows(len(train_split), len(val_split), params.seed)
    return Learner(
        model=model,
        forward=joined.replica(torch.compile(model, dynamic=False) if settings.compile else model),
        loss=loss,
        optimizer=build(settings.optimizer, model.parameters()),
        schedule=with_warmup(settings.schedule, len(batches), settings.epochs, warmup.epochs, warmup.start_fraction),
        batches=batches,
        recorder=Recorder(train_split, val_split, index, prepare, loss, params.seed),
        stopper=Stopper(**settings.early_stopping.model_dump()),
        penalty=penalties.build(regularisation.l1, regularisation.l2, model),
        accumulate=settings.accumulate,
        clip=Clip(regularisation.clip_norm, regularisation.clip_value),
        sharpness=Sharpness(regularisation.sam_radius) if regularisation.sam_radius else None,
        averager=build(settings.averaging, model, len(batches), settings.epochs),
        precision=Precision(settings.precision, chosen.type),
        record_step=settings.record_step and plain,
        group=joined,
    )


def with_rate(params: "Params", rate: float, **changes: Any) -> "Params":
    """The parameters with this number as the learning rate, and with other `changes` of the section `train`."""
    optimizer = params.train.optimizer
    stated = replace(optimizer, settings=optimizer.settings.model_copy(update={"learning_rate": rate}))
    return params.model_copy(update={"train": params.train.model_copy(update={"optimizer": stated, **changes})})


def build(choice: Choice, *arguments: Any) -> Any:
    """What the chosen component's file makes of its options."""
    return choice.module.build(choice.settings, *arguments)
