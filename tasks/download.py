"""Stage `download`: the source's own files into `data/raw`, verified, whole or not at all."""

import shutil
from pathlib import Path

from tasks.contracts.params import read_params
from tasks.contracts.params.download import DownloadParams
from tasks.datasets import REGISTRY
from tasks.datasets.source import RAW


def download(root: Path = Path()) -> None:
    """Fetch the dataset that params.yaml names; an existing `data/raw` is replaced when the new one is whole.

    Raises:
        ParamsError: params.yaml is not valid.
        DataError: a file cannot be had or is not what was published, or the user's own data cannot be learned from.
    """
    params = read_params(DownloadParams, root).download
    raw = root / RAW
    # Fixed names: what a killed run left is removed by the next. DVC's lock keeps two runs of a stage apart.
    staged, old = raw.with_name(".raw.partial"), raw.with_name(".raw.old")
    for leftover in (staged, old):
        if leftover.exists():
            shutil.rmtree(leftover)
    staged.mkdir(parents=True)
    try:
        REGISTRY[params.dataset].fetch(staged, root / params.path)
        if raw.exists():
            raw.rename(old)  # removed under another name: a kill half-way must not leave half of data/raw
        staged.rename(raw)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
