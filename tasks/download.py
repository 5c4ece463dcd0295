"""Stage `download`: the source's own files into `data/raw`, verified, whole or not at all."""

import posixpath
import shutil
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import Field, field_validator

from tasks.core.components import Choice, Component
from tasks.core.errors import DataError
from tasks.core.settings import Section
from tasks.sources.source import RAW

# Where the stages write; a test compares them with the pipeline's outputs.
OUTPUTS = ("data/raw", "data/processed", "models", "results", "metrics", "lineage", "report")


class Download(Section):
    dataset: Annotated[Choice, Component("tasks.datasets")]
    # A file or folder of the user's own (`image_folder`, `csv`, `arrays`); the published datasets do not read it.
    path: str = Field(min_length=1)

    @field_validator("path")
    @classmethod
    def not_where_stages_write(cls, path: str) -> str:
        """A path that is, holds or lies in an output would make the pipeline depend on itself."""
        found = PurePosixPath(posixpath.normpath(path))
        for output in map(PurePosixPath, OUTPUTS):
            if found.is_relative_to(output) or output.is_relative_to(found):
                raise ValueError(
                    f"found {path!r}, where the stages write {output}; give your data a folder of their own, such as data/source"
                )
        return path


class Params(Section):
    download: Download


def check_source(params: Params, root: Path = Path()) -> None:
    """Check that the user's own data exist, where the dataset reads them; quick, so that it can come before anything is touched.

    Raises:
        DataError: nothing lies at `download.path`.
    """
    dataset, path = params.download.dataset, params.download.path
    if getattr(dataset.module, "READS_PATH", False) and not (root / path).exists():
        raise DataError(
            f"download.path is {path!r}, and {(root / path).absolute()} does not exist; expected the data for the dataset "
            f"'{dataset.name}' there: correct download.path, or put the data there"
        )


def download(params: Params, root: Path = Path()) -> None:
    """Fetch the chosen dataset; an existing `data/raw` is replaced when the new one is complete.

    Raises:
        DataError: a file cannot be downloaded or is not what was published, or the user's own data cannot be learned from.
    """
    check_source(params, root)
    dataset = params.download.dataset
    raw = root / RAW
    # Fixed names: what a killed run left is removed by the next. The stage's lock keeps two runs of it apart.
    staged, old = raw.with_name(".raw.partial"), raw.with_name(".raw.old")
    for leftover in (staged, old):
        if leftover.exists():
            shutil.rmtree(leftover)
    staged.mkdir(parents=True)
    try:
        dataset.module.fetch(dataset.settings, root / params.download.path, staged)
        if raw.exists():
            raw.rename(old)  # removed under another name: a kill half-way must not leave half of data/raw
        staged.rename(raw)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
