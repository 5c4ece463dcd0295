"""Published datasets through torchvision's own classes: their addresses, their MD5 lists, their readers."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from tasks.sources.fetching import Published, fetch_file, verify
from tasks.sources.source import Rows, Source

SetName = Literal["mnist", "fashion_mnist", "kmnist", "emnist", "qmnist", "cifar10", "cifar100", "svhn"]
KINDS: dict[SetName, str] = {
    "mnist": "MNIST",
    "fashion_mnist": "FashionMNIST",
    "kmnist": "KMNIST",
    "emnist": "EMNIST",
    "qmnist": "QMNIST",
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
    "svhn": "SVHN",
}


def fetch(name: SetName, raw: Path) -> None:
    """Download the published files, compressed as they are.

    Raises:
        DownloadError: no address gave a file with the published MD5.
    """
    for file in published(name):
        fetch_file(name, file, raw)


def load(name: SetName, raw: Path) -> Source:
    """Let torchvision extract and read the files in a temporary folder. EMNIST's letters stay transposed, as they are published.

    Raises:
        ArtifactError: a file is missing or damaged; checked here, because torchvision would turn to the network.
    """
    with TemporaryDirectory() as folder:
        target = _place(name, Path(folder))
        target.mkdir(parents=True, exist_ok=True)
        for file in published(name):
            verify(raw / file.name, file.md5)
            (target / file.name).symlink_to((raw / file.name).resolve())
        train, test = (_construct(name, folder, split) for split in ("train", "test"))
        names = getattr(train, "classes", range(10))  # SVHN states none: its digits are their own names
    # torchvision names MNIST's classes "0 - zero".
    classes = [str(label).split(" - ")[0] for label in names]
    return Source(classes, "image, as published", train=_rows(train), test=_rows(test))


def published(name: SetName) -> list[Published]:
    """The files of both splits with torchvision's MD5 and addresses."""
    kind = _kind(name)
    match name:
        case "emnist":
            return [Published(kind.url.rsplit("/", 1)[-1], kind.md5, (kind.url,))]
        case "qmnist":
            files = [*kind.resources["train"], *kind.resources["test"]]
            return [Published(url.rsplit("/", 1)[-1], md5, (url,)) for url, md5 in files]
        case "cifar10" | "cifar100":
            return [Published(kind.filename, kind.tgz_md5, (kind.url,))]
        case "svhn":
            return [Published(file, md5, (url,)) for url, file, md5 in (kind.split_list["train"], kind.split_list["test"])]
        case _:
            return [Published(file, md5, tuple(mirror + file for mirror in kind.mirrors)) for file, md5 in kind.resources]


def _kind(name: SetName) -> Any:
    from torchvision import datasets

    return getattr(datasets, KINDS[name])


def _place(name: SetName, folder: Path) -> Path:
    """Where the class looks for its compressed files."""
    return folder / KINDS[name] / "raw" if name.endswith("mnist") else folder


def _construct(name: SetName, folder: str, split: str) -> Any:
    # download=True extracts: the class finds the verified files and needs no network.
    match name:
        case "svhn":
            return _kind(name)(folder, split=split, download=True)
        case "emnist":
            return _kind(name)(folder, split="balanced", train=split == "train", download=True)
        case _:
            return _kind(name)(folder, train=split == "train", download=True)


def _rows(dataset: Any) -> Rows:
    """The rows of a torchvision dataset, which holds tensors, arrays or lists."""
    import numpy as np

    images, labels = np.asarray(dataset.data), np.asarray(getattr(dataset, "targets", getattr(dataset, "labels", None)))
    if images.ndim == 3:  # the MNIST family: (N, H, W)
        images = images[:, None]
    elif images.shape[-1] == 3:  # CIFAR: (N, H, W, 3)
        images = images.transpose(0, 3, 1, 2)
    if labels.ndim == 2:  # QMNIST: the class, then who wrote it and where it lies in NIST
        labels = labels[:, 0]
    return Rows(images, np.ascontiguousarray(labels, dtype=np.int64))
