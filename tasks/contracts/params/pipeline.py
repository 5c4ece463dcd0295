"""The whole of `params.yaml`: what is checked before anything runs."""

from pathlib import Path

from tasks.contracts.params import PARAMS_FILE, load_yaml, validate
from tasks.contracts.params.diagnose import DiagnoseParams
from tasks.contracts.params.download import DownloadParams
from tasks.contracts.params.evaluate import EvaluateParams
from tasks.contracts.params.preprocess import PreprocessParams
from tasks.contracts.params.report import ReportParams
from tasks.contracts.params.train import TrainParams


class Params(DownloadParams, PreprocessParams, TrainParams, EvaluateParams, DiagnoseParams, ReportParams):
    """Every section and every top-level key."""


def check_params(path: Path = Path(PARAMS_FILE)) -> Params:
    """Check the whole file.

    Raises:
        ParamsError: a key is unknown or missing, or a value is not allowed; all offences are named at once.
    """
    return validate(Params, load_yaml(path))
