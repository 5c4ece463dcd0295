"""Parameters of the stage `download`: which data, and where they lie."""

from typing import Literal

from tasks.contracts.params import Section

DatasetName = Literal[
    "digits", "mnist", "fashion_mnist", "kmnist", "emnist", "qmnist", "cifar10", "cifar100", "svhn", "image_folder", "arrays"
]


class Download(Section):
    dataset: DatasetName
    # A file or folder of the user's own (`image_folder`, `arrays`); dvc.yaml declares it as a dependency.
    path: str


class DownloadParams(Section):
    download: Download
