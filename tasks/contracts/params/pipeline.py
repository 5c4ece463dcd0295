"""The whole of `params.yaml`: what is checked before anything runs."""

from pathlib import Path
from typing import Self

from pydantic import model_validator

from tasks.contracts.params import PARAMS_FILE, load_yaml, validate
from tasks.contracts.params.diagnose import DiagnoseParams
from tasks.contracts.params.download import DownloadParams
from tasks.contracts.params.evaluate import EvaluateParams
from tasks.contracts.params.preprocess import PreprocessParams
from tasks.contracts.params.report import ReportParams
from tasks.contracts.params.train import TrainParams


class Params(DownloadParams, PreprocessParams, TrainParams, EvaluateParams, DiagnoseParams, ReportParams):
    """Every section and every top-level key."""

    @model_validator(mode="after")
    def early_stopping_needs_validation(self) -> Self:
        if self.train.early_stopping.enabled and self.preprocess.val_fraction == 0:
            raise ValueError("train.early_stopping.enabled: true needs a validation split; set preprocess.val_fraction above 0")
        return self


def check_params(path: Path = Path(PARAMS_FILE)) -> Params:
    """Check the whole file.

    Raises:
        ParamsError: a key is unknown or missing, or a value is not allowed; all offences are named at once.
    """
    return validate(Params, load_yaml(path))
