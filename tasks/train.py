"""Stage `train`: fit the model on train, watch it on val, keep what the diagnosis needs."""

from pathlib import Path
from typing import TYPE_CHECKING

from tasks.contracts.errors import ParamsError
from tasks.contracts.params import read_params
from tasks.contracts.params.train import TrainParams

if TYPE_CHECKING:
    from tasks.contracts.splits import Split
    from tasks.contracts.trained import Epoch, TrainedModel
    from tasks.learning.loop import Learner


def train(root: Path = Path()) -> None:
    """Read the processed train and val splits; write the model, `results/history.csv` and `results/dynamics.safetensors`.

    The same data, parameters and environment give the same bytes.

    Raises:
        ParamsError: early stopping is asked for, and there is no validation split.
        TrainingError: the loss is not a finite number.
    """
    import torch

    from tasks.contracts.splits import read_dataset, read_split
    from tasks.contracts.trained import TrainedModel, write_dynamics, write_history, write_model
    from tasks.learning.loop import fit
    from tasks.models.inference import use_threads

    params = read_params(TrainParams, root)
    settings = params.train
    dataset, train_split, val_split = read_dataset(root), read_split(root, "train"), read_split(root, "val")
    if settings.early_stopping.enabled and not len(val_split):
        raise ParamsError(
            "train.early_stopping.enabled is true without a validation split; set preprocess.val_fraction above 0"
        )
    channels = dataset.shape[0]
    scaled_only = ([0.0] * channels, [1.0] * channels)
    mean, deviation = (dataset.mean, dataset.deviation) if settings.model.standardise else scaled_only

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


def assemble(params: TrainParams, described: "TrainedModel", train_split: "Split", val_split: "Split") -> "Learner":
    """Build everything that the loop needs from the parameters."""
    from tasks import models
    from tasks.learning import losses, optimizers, penalties, schedules
    from tasks.learning.batches import Batches
    from tasks.learning.loop import Learner
    from tasks.learning.recording import Recorder, recorded_rows
    from tasks.learning.stopping import Stopper
    from tasks.models.inference import Preparation

    settings = params.train
    prepare = Preparation(described.mean, described.deviation)
    model = models.build(settings.model, described.shape, len(described.classes))
    optimizer = optimizers.build(settings.optimizer, model.parameters())
    loss = losses.REGISTRY[settings.loss.name]
    index = recorded_rows(len(train_split), len(val_split), params.seed)
    return Learner(
        model=model,
        loss=loss,
        penalty=penalties.build(settings.regularisation, model),
        optimizer=optimizer,
        schedule=schedules.build(settings.schedule, optimizer, settings.epochs),
        batches=Batches(train_split, prepare, settings.batch_size, settings.shuffle, params.seed),
        recorder=Recorder(train_split, val_split, index, prepare, loss),
        stopper=Stopper(settings.early_stopping),
    )


def summary(trained: "TrainedModel", chosen: "Epoch") -> str:
    """One line for the terminal and the flow's log."""
    val = "" if chosen.val_loss is None else f", val loss {chosen.val_loss:.4f}, val accuracy {chosen.val_accuracy:.4f}"
    return (
        f"train: {trained.epochs} epochs, kept {trained.chosen_epoch} ({trained.chosen_by}): "
        f"train loss {chosen.train_loss:.4f}, train accuracy {chosen.train_accuracy:.4f}{val}"
    )
