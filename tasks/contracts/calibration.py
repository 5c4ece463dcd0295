"""The temperature that `diagnose` leaves beside the model, so that its probabilities can be calibrated without the pipeline."""

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tasks.contracts.trained import WEIGHTS
from tasks.core.errors import ArtifactError
from tasks.core.files import write_json

NAME = "calibration.json"
WEIGHTS_NAME = WEIGHTS.name
CALIBRATION_OF_MODEL = WEIGHTS.with_name(NAME)


class Calibration(BaseModel):
    """`models/calibration.json`: logits divided by `temperature` give calibrated probabilities (Guo et al. 2017, section 4.2)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    temperature: float | None = Field(default=None, gt=0)  # fitted on the validation split at the saved epoch
    images: int = 0  # validation images that it was fitted on
    reason: str = ""  # why there is no temperature
    weights: str  # SHA-256 of the model.safetensors that it belongs to


def write_calibration(root: Path, fitted: float | str, images: int) -> None:
    """Write the temperature, or the reason why there is none, for the weights that lie in `models/`."""
    weights = _digest(root / CALIBRATION_OF_MODEL.with_name(WEIGHTS_NAME))
    if isinstance(fitted, str):
        calibration = Calibration(reason=fitted, weights=weights)
    else:
        calibration = Calibration(temperature=fitted, images=images, weights=weights)
    write_json(root / CALIBRATION_OF_MODEL, calibration.model_dump(mode="json"))


def read_temperature(folder: Path) -> float:
    """The temperature of the model that lies in `folder`.

    Raises:
        ArtifactError: there is none, or the file is damaged or belongs to another model.
    """
    path = folder / NAME
    try:
        calibration = Calibration.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(
            f"{path} is missing, so there is no temperature to calibrate with; the stage 'diagnose' writes it beside the model: "
            "copy it along, or ask for the probabilities as the model gives them"
        ) from None
    except ValueError as error:  # of pydantic
        reason = str(error).partition("\n")[0]
        raise ArtifactError(f"{path} is not what the stage 'diagnose' writes ({reason}); copy it again") from None
    if calibration.weights != _digest(folder / WEIGHTS_NAME):
        raise ArtifactError(
            f"{path} belongs to other weights than {folder / WEIGHTS_NAME}; copy both from the same run of the pipeline"
        )
    if calibration.temperature is None:
        raise ArtifactError(f"there is no temperature for this model, because the diagnosis fitted none: {calibration.reason}")
    return calibration.temperature


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
