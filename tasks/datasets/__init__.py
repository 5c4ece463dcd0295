"""Where images and labels come from. To add a source: a file here, a name in `DatasetName`, a line below."""

from tasks.contracts.params.download import DatasetName
from tasks.datasets import arrays, digits, image_folder
from tasks.datasets.source import Loader
from tasks.datasets.torchvision_sets import loader

REGISTRY: dict[DatasetName, Loader] = {
    "digits": Loader(digits.fetch, digits.load),
    "mnist": loader("mnist"),
    "fashion_mnist": loader("fashion_mnist"),
    "kmnist": loader("kmnist"),
    "emnist": loader("emnist"),
    "qmnist": loader("qmnist"),
    "cifar10": loader("cifar10"),
    "cifar100": loader("cifar100"),
    "svhn": loader("svhn"),
    "image_folder": Loader(image_folder.fetch, image_folder.load),
    "arrays": Loader(arrays.fetch, arrays.load),
}
