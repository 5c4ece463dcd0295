"""Stage `compress`: smaller models, on request, each beside the original in size, operations and quality on test."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from tasks.contracts.compressed import (
    FOLDER,
    LATENCY,
    ONNX,
    ORIGINAL,
    Compression,
    write_compression,
    write_models,
)
from tasks.contracts.trained import read_description
from tasks.core.components import Choice, Component, each_once, named
from tasks.core.errors import DataError
from tasks.core.settings import Section, Seed, Threads

if TYPE_CHECKING:
    from torch import nn

    from tasks.contracts.splits import Split
    from tasks.exporting.subject import Subject


# `prune`, or `{name: prune, …}` where an option differs from its default.
Method = Annotated[Choice, Component("tasks.compression"), BeforeValidator(named)]


class Compress(Section):
    """Which smaller models are made from the trained one, and how much worse one may be and still count as equally good."""

    # Files of tasks/compression, each of which starts from the trained model; an empty list makes none.
    methods: Annotated[list[Method], AfterValidator(each_once)] = Field(default=[])
    # What `distill` trains: a file of tasks/models.
    student: Annotated[Choice, Component("tasks.models")] = Field(default={"name": "linear"}, validate_default=True)
    confidence: float = Field(gt=0.5, lt=1, default=0.95)  # confidence level of the intervals
    margin_accuracy: float = Field(gt=0, lt=1, default=0.02)  # how much lower the accuracy of an equally good model may be
    margin_nats: float = Field(gt=0, default=0.05)  # how much higher its log-loss may be, in nats
    bootstrap_resamples: int = Field(
        ge=200, le=100_000, default=2000
    )  # resamples for the interval of the difference in log-loss


class Params(Section):
    seed: Seed
    threads: Threads
    compress: Compress = Field(default_factory=Compress)


def compress(params: Params, root: Path = Path()) -> None:
    """Write the exported models to `models/compressed`, and `results/compression.json`; the same inputs give the same bytes.

    Latencies are printed and written to `results/latency.csv`, which is no output: a measured time differs from run to run.

    Raises:
        ArtifactError: a file of an earlier stage is missing or damaged, or an exported model answers otherwise than the module.
        DataError: the test or the train split is empty.
        ParamsError: a method cannot be applied to the trained model.
        TrainingError: a smaller model did not learn.
    """
    (root / LATENCY).unlink(missing_ok=True)  # of an earlier run
    chosen = params.compress
    compared = Compression(confidence=chosen.confidence, margin_accuracy=chosen.margin_accuracy, margin_nats=chosen.margin_nats)
    if not chosen.methods:
        write_models(root, read_description(root), {})
        write_compression(root, compared)
        print("compress: no smaller model was asked for (compress.methods is empty)")
        return
    from tasks.exporting.bundle import bundle
    from tasks.exporting.comparing import Margins, as_text, compare
    from tasks.exporting.latency import BATCHES, measure, write_latency
    from tasks.exporting.running import open_exported

    subject, test = read(params, root)
    original = bundle(ORIGINAL, {}, subject.module, subject)
    smaller = [bundle(one.name, one.settings.model_dump(mode="json"), shrunk(one, subject), subject) for one in chosen.methods]
    bundles = [original, *smaller]
    write_models(root, subject.trained, {made.name: made.files for made in bundles})

    runners = {made.name: open_exported(root / FOLDER / made.name / ONNX, params.threads) for made in bundles}
    margins = Margins(chosen.confidence, chosen.margin_accuracy, chosen.margin_nats, chosen.bootstrap_resamples, params.seed)
    entries = compare(bundles, runners, test, margins)
    write_compression(root, compared.model_copy(update={"n": len(test), "models": entries}))
    latencies = measure(runners, test.images[: max(BATCHES)].numpy())
    write_latency(root / LATENCY, latencies)
    print(as_text(entries, latencies))


def read(params: Params, root: Path) -> "tuple[Subject, Split]":
    """The trained model with its train split, and the test split."""
    from tasks.contracts.splits import read_split
    from tasks.contracts.trained import read_model
    from tasks.exporting.subject import Subject
    from tasks.learning.inference import rebuild, use_threads

    use_threads(params.threads)
    trained, weights = read_model(root)
    train, test = read_split(root, "train"), read_split(root, "test")
    for name, split in (("train", train), ("test", test)):
        if len(split) == 0:
            raise DataError(f"the {name} split is empty; expected images in it: see preprocess.test_fraction")
    return Subject(trained, rebuild(trained, weights), train, params.compress.student, params.seed, params.threads), test


def shrunk(method: Choice, subject: "Subject") -> "nn.Module | bytes":
    """What a method makes: a module, or an ONNX model. Random numbers follow from the seed alone."""
    import torch

    with torch.random.fork_rng(devices=[]):  # first weights draw from torch's global generator: give it back as it was
        torch.manual_seed(subject.seed)
        made: nn.Module | bytes = method.module.shrink(method.settings, subject)
    return made
