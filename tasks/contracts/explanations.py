"""What `explain` hands on: heat maps of some test images, and how far those of a model with random weights differ."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from tasks.core.errors import ArtifactError
from tasks.core.files import expecting, missing, read_text, repair, write_json
from tasks.core.tensors import write_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

EXPLANATIONS = Path("results/explanations.json")
# For each method, under its name, the heat maps (M, H, W) float32 of the images of explanations.json, in their order.
HEAT_MAPS = Path("results/explanations.safetensors")

# "fail": with random weights the heat maps, or at least the places that they mark, stay alike. "not_run": a heat map is constant.
SanityStatus = Literal["pass", "fail", "not_run"]


class ExplainedImage(BaseModel):
    """A test image and its prediction, as in `results/predictions.parquet`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    row: int
    label: int
    predicted: int  # the class whose logit is explained
    confidence: float
    loss: float


class Similarity(BaseModel):
    """How alike the heat maps of the trained model and of models with random weights are: means over `pairs`; None without any."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank_correlation: float | None  # Spearman's, of the heat maps as they are
    rank_correlation_absolute: float | None  # of their absolute values: the places that are marked, whatever the sign
    ssim: float | None  # structural similarity of the absolute values, divided by the largest; None for images under 3 pixels
    pairs: int  # of heat maps, neither of which is constant


class Method(BaseModel):
    """A method, and its sanity check."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    settings: dict[str, Any]
    meaning: str  # of a value of the heat map
    signed: bool  # whether a value may be negative
    similarity: Similarity
    status: SanityStatus
    summary: str  # one sentence


class Explanations(BaseModel):
    """`results/explanations.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: list[ExplainedImage] = []
    # "most certain", "least certain", "most wrong": positions in `images`, the foremost first
    groups: dict[str, list[int]] = {}
    methods: list[Method] = []
    randomisations: int  # models with random weights that each heat map was compared with
    max_similarity: float  # a rank correlation of at least this fails the check


def write_explanations(root: Path, explanations: Explanations, heat_maps: "Mapping[str, Any]") -> None:
    write_tensors(root / HEAT_MAPS, heat_maps)
    write_json(root / EXPLANATIONS, explanations.model_dump(mode="json"))


def read_explanations(root: Path) -> "tuple[Explanations, dict[str, NDArray[np.float32]]]":
    """The explanations, and by method the heat maps (M, H, W) of their images.

    Raises:
        ArtifactError: a file is missing or damaged, or the two come from different runs.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    with expecting(root / EXPLANATIONS, "explain"):
        explanations = Explanations.model_validate_json(read_text(root / EXPLANATIONS, "explain"))
    path = root / HEAT_MAPS
    if not path.exists():
        raise missing(path, "explain")
    try:
        heat_maps = load_file(path)
    except SafetensorError as error:
        raise ArtifactError(f"{path} is damaged ({error}): {repair('explain')}") from None
    expected = {method.name: len(explanations.images) for method in explanations.methods}
    found = {name: len(maps) for name, maps in heat_maps.items()}
    if found != expected:
        raise ArtifactError(
            f"{path} has {found} heat maps and {EXPLANATIONS} expects {expected}: they come from different runs; {repair('explain')}"
        )
    return explanations, heat_maps
