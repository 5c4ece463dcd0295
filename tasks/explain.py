"""Stage `explain`: which pixels some test images were classified by, and whether each method that says so can be believed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from tasks.contracts.explanations import ExplainedImage, Explanations, Method, SanityStatus, Similarity, write_explanations
from tasks.contracts.results import PREDICTIONS, read_table
from tasks.core.components import Choice, Component, each_once, named
from tasks.core.errors import ArtifactError, DataError
from tasks.core.files import repair
from tasks.core.settings import Section, Seed, Threads

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from tasks.contracts.trained import TrainedModel

METHODS = ("saliency", "integrated_gradients", "occlusion")
COLUMNS = list(ExplainedImage.model_fields)
BATCH_VALUES = 1 << 18  # pixel values that a model is given at once: 1 MB, and its layers hold many times as much


Attribution = Annotated[Choice, Component("tasks.attributions"), BeforeValidator(named)]


class Explain(Section):
    """Which test images are explained, by which methods, and when a method fails its sanity check."""

    # Test images of each kind: the most certain, the least certain, and of the misclassified those with the largest loss.
    images: int = Field(ge=1, le=100, default=3)
    # Files of tasks/attributions: `occlusion`, or `{name: occlusion, window: 0.2}` where an option differs from its default.
    # Without any, nothing is explained and the stage takes no time.
    methods: Annotated[list[Attribution], AfterValidator(each_once)] = Field(default=list(METHODS), validate_default=True)
    randomisations: int = Field(ge=1, le=100, default=3)  # models with random weights that each heat map is compared with
    # A method fails where its heat maps have at least this mean rank correlation with those of random weights.
    max_similarity: float = Field(gt=0, lt=1, default=0.5)


class Params(Section):
    seed: Seed
    threads: Threads
    explain: Explain = Field(default_factory=Explain)


def explain(params: Params, root: Path = Path()) -> None:
    """Write `results/explanations.json` and `results/explanations.safetensors`: heat maps of the logit of the predicted class.

    The sanity check is that of Adebayo et al. 2018, Sanity Checks for Saliency Maps, section 3: heat maps of a model whose weights
    are all random must differ from those of the trained model, because they cannot show anything that was learned.

    Raises:
        ArtifactError: a file of an earlier stage is missing, damaged or belongs to another run.
        DataError: the test split is empty.
    """
    chosen = params.explain
    explained = Explanations(randomisations=chosen.randomisations, max_similarity=chosen.max_similarity)
    if not chosen.methods:
        write_explanations(root, explained, {})
        print("explain: nothing is explained (explain.methods is empty)")
        return
    import torch

    from tasks.contracts.trained import read_model
    from tasks.learning.inference import rebuild, use_threads
    from tasks.statistics.random import RANDOM_WEIGHTS, generator

    use_threads(params.threads)
    trained, weights = read_model(root)
    table, groups = choose(read_table(root, PREDICTIONS, "evaluate", COLUMNS), chosen.images)
    inputs, classes = prepared(root, trained, table["row"].to_numpy()), torch.tensor(table["predicted"].tolist())
    seeds = generator(params.seed, RANDOM_WEIGHTS).integers(2**63, size=chosen.randomisations).tolist()
    models = [rebuild(trained, weights), *(random_model(trained, seed) for seed in seeds)]

    methods, heat_maps = [], {}
    for method in chosen.methods:
        shown, *random = (attributions(method, model.requires_grad_(False), inputs, classes) for model in models)
        methods.append(assessed(method, compare(shown, random), chosen.max_similarity))
        heat_maps[method.name] = shown
    images = [ExplainedImage.model_validate(row) for row in table.to_dict("records")]
    write_explanations(root, explained.model_copy(update={"images": images, "groups": groups, "methods": methods}), heat_maps)
    for done in methods:
        print(f"explain: {done.name}: {done.summary}")


def choose(predictions: "pd.DataFrame", most: int) -> "tuple[pd.DataFrame, dict[str, list[int]]]":
    """The rows of `predictions` that are explained, each once, and by kind their positions among them, the foremost first.

    An image that is among the most certain is not among the least certain, however few there are.

    Raises:
        DataError: there is no prediction.
    """
    import pandas as pd

    if predictions.empty:
        raise DataError("the test split is empty; expected images to explain: see preprocess.test_fraction")
    certain = predictions.sort_values(["confidence", "row"], ascending=[False, True], kind="stable").head(most)
    others = predictions.drop(certain.index)
    uncertain = others.sort_values(["confidence", "row"], kind="stable").head(most)
    wrong = predictions[predictions["label"] != predictions["predicted"]]
    wrong = wrong.sort_values(["loss", "row"], ascending=[False, True], kind="stable").head(most)
    kinds = {"most certain": certain, "least certain": uncertain, "most wrong": wrong}
    table = pd.concat(list(kinds.values()))
    table = table[~table.index.duplicated()]
    places = {index: place for place, index in enumerate(table.index)}
    return table, {kind: [places[index] for index in rows.index] for kind, rows in kinds.items()}


def prepared(root: Path, trained: "TrainedModel", rows: "NDArray[np.int64]") -> "Tensor":
    """The test images with these row numbers as the model sees them, (M, C, H, W) float32.

    Raises:
        ArtifactError: there is no such row.
    """
    from tasks.contracts.splits import read_split
    from tasks.learning.inference import Preparation

    test = read_split(root, "test")
    places = {row: place for place, row in enumerate(test.rows.tolist())}
    unknown = [row for row in rows.tolist() if row not in places]
    if unknown:
        raise ArtifactError(
            f"the test split has no row {unknown[0]}, which is predicted: they come from different runs; {repair('evaluate')}"
        )
    return Preparation(trained.mean, trained.deviation)(test.images[[places[row] for row in rows.tolist()]])


def random_model(trained: "TrainedModel", seed: int) -> "nn.Module":
    """The model with all of its weights drawn anew, in evaluation mode.

    Its layers draw once more after it was built, because the user's own model may be built with weights that were trained elsewhere.
    """
    import torch

    with torch.random.fork_rng(devices=[]):  # weights draw from torch's global generator: give it back as it was
        torch.manual_seed(seed)
        model: nn.Module = trained.model.module.build(trained.model.settings, trained.shape, len(trained.classes))
        for module in model.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
    return model.eval()


def attributions(method: Choice, model: "nn.Module", inputs: "Tensor", classes: "Tensor") -> "NDArray[np.float32]":
    """The heat maps (M, H, W) of a method; only a batch of images at a time is given to the model."""
    import torch

    most = max(1, BATCH_VALUES // inputs[0].numel())
    batches = zip(inputs.split(most), classes.split(most), strict=True)
    maps = [method.module.attribute(method.settings, model, images, chosen, most) for images, chosen in batches]
    found: NDArray[np.float32] = torch.cat(maps).numpy()
    return found


def compare(shown: "NDArray[np.float32]", random: "Sequence[NDArray[np.float32]]") -> Similarity:
    """The mean similarity of each heat map (M, H, W) with its counterparts; a pair with a constant one is left out."""
    import numpy as np

    from tasks.statistics.similarity import rank_correlation, structural_similarity

    found: list[tuple[float | None, float | None, float | None]] = []
    for others in random:
        for one, other in zip(shown.astype(np.float64), others.astype(np.float64), strict=True):
            if np.ptp(one) and np.ptp(other):
                first, second = np.abs(one), np.abs(other)
                similar = structural_similarity(first / first.max(), second / second.max())
                found.append((rank_correlation(one, other), rank_correlation(first, second), similar))
    known = [[value for value in values if value is not None] for values in zip(*found, strict=True)] or [[], [], []]
    as_shown, absolute, ssim = (float(np.mean(values)) if values else None for values in known)
    return Similarity(rank_correlation=as_shown, rank_correlation_absolute=absolute, ssim=ssim, pairs=len(found))


def assessed(method: Choice, similarity: Similarity, limit: float) -> Method:
    """The method with the outcome of its sanity check."""
    status, summary = verdict(similarity, limit)
    module, settings = method.module, method.settings.model_dump(mode="json")
    return Method(
        name=method.name,
        settings=settings,
        meaning=module.MEANING,
        signed=module.SIGNED,
        similarity=similarity,
        status=status,
        summary=summary,
    )


def verdict(similarity: Similarity, limit: float) -> tuple[SanityStatus, str]:
    """Whether the heat maps depend on what was learned, and one sentence that says so."""
    shown, absolute = similarity.rank_correlation, similarity.rank_correlation_absolute
    if shown is None:
        return "not_run", "The sanity check could not be made, because every heat map is constant."
    if shown >= limit:
        return "fail", (
            f"Random weights give almost the same heat maps (rank correlation {shown:.2f}, expected less than {limit:g}): they show "
            "the image, not what this model has learned. Do not read them as an explanation."
        )
    if absolute is not None and absolute >= limit:
        return "fail", (
            f"Random weights mark almost the same places (rank correlation of the absolute values {absolute:.2f}, expected less than "
            f"{limit:g}) and differ only in the sign: where the heat map is strong follows from the image, not from what was learned."
        )
    return "pass", f"Random weights give different heat maps (rank correlation {shown:.2f})."
