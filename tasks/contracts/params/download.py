"""Parameters of the stage `download`: which data, and where they lie."""

import posixpath
from pathlib import PurePosixPath
from typing import Literal

from pydantic import Field, field_validator

from tasks.contracts.params import Section

OUTPUTS = ("data/raw", "data/processed", "models", "results", "metrics", "lineage", "report")

DatasetName = Literal[
    "digits", "mnist", "fashion_mnist", "kmnist", "emnist", "qmnist", "cifar10", "cifar100", "svhn", "image_folder", "arrays"
]


class Download(Section):
    dataset: DatasetName
    # A file or folder of the user's own (`image_folder`, `arrays`); dvc.yaml declares it as a dependency.
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


class DownloadParams(Section):
    download: Download
