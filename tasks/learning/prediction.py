"""Class probabilities of image files, from a stored model alone: no data, parameters or pipeline are needed."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tasks.contracts.calibration import read_temperature
from tasks.contracts.trained import MODEL, WEIGHTS, TrainedModel
from tasks.core.errors import ArtifactError, DataError
from tasks.core.settings import offences
from tasks.datasets.image_folder import SYSTEM_FILES
from tasks.sources.images import ImageError, ImageForm, in_order, named, read_image

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from torch import nn


def predict_files(
    model_folder: Path | str,
    paths: Sequence[Path | str],
    *,
    calibrated: bool = False,
    threads: int = 1,
    advance: Callable[[int], object] | None = None,
) -> "pd.DataFrame":
    """The predicted class of each image file, and the probability of every class.

    Images are brought to the form that the model was trained on by the rules of `tasks.sources.images`. Where training stated no
    size, each image must have the size of the training images.

    Args:
        model_folder: holds `model.json` and `model.safetensors`, for calibrated probabilities `calibration.json` too.
        paths: image files, and folders, of which every file counts except hidden and system files.
        calibrated: divide the logits by the temperature that the diagnosis fitted.
        threads: CPU threads of torch; another number can change the last digit.
        advance: told how many more images are done.

    Returns:
        One row per image: file, predicted (the name of the class), confidence (its probability), probability_<class> for each class.

    Raises:
        ArtifactError: there is no model in the folder, it is damaged, or no temperature belongs to it.
        DataError: there are no images, or some cannot be used; all of those are named.
    """
    import numpy as np
    import pandas as pd
    import torch

    from tasks.statistics.calibration import log_probabilities

    trained, model = load_model(Path(model_folder))
    temperature = read_temperature(Path(model_folder)) if calibrated else 1.0
    files = image_files([Path(path) for path in paths])
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        logits = np.concatenate([_logits(trained, model, batch, advance) for batch in _batches(trained, files)])
    finally:
        torch.set_num_threads(before)
    logarithms = log_probabilities(logits.astype(np.float64) / temperature)
    probabilities, predicted = np.exp(logarithms), logarithms.argmax(axis=1)
    columns = {f"probability_{name}": column for name, column in zip(trained.classes, probabilities.T, strict=True)}
    names = [trained.classes[number] for number in predicted]
    known = {"file": [file.as_posix() for file in files], "predicted": names, "confidence": probabilities.max(axis=1)}
    return pd.DataFrame(known | columns)


def is_model(folder: Path) -> bool:
    """Whether a folder looks as if it held a stored model."""
    return (folder / MODEL.name).is_file()


def load_model(folder: Path) -> "tuple[TrainedModel, nn.Module]":
    """What `model.json` says, and the module with the weights beside it, in evaluation mode.

    Raises:
        ArtifactError: a file is missing or damaged, or the two do not belong together.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from tasks.learning.inference import rebuild

    description, weights = folder / MODEL.name, folder / WEIGHTS.name
    for path in (description, weights):
        if not path.is_file():
            raise ArtifactError(
                f"{path} is missing; expected a folder with {MODEL.name} and {WEIGHTS.name}, as the stage 'train' writes them"
            )
    try:
        trained = TrainedModel.model_validate_json(description.read_text(encoding="utf-8"))
        return trained, rebuild(trained, load_file(weights))
    except ValidationError as error:
        lines = [detail["msg"] if detail["type"] == "json_invalid" else "" for detail in error.errors()]
        reason = "; ".join(filter(None, lines)) or "; ".join(offences(error, TrainedModel))
        raise ArtifactError(f"{description} is not the description of a model that can be read here ({reason})") from None
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{description} is not the description of a model ({error})") from None
    except SafetensorError as error:
        raise ArtifactError(f"{weights} is damaged ({error}); copy it again") from None


def image_files(paths: Sequence[Path]) -> list[Path]:
    """The files, and in their places the files of folders and their sub-folders, sorted; no hidden and no system files of those.

    Raises:
        DataError: a path does not exist, or there are no files.
    """
    absent = [f"{path}: no such file or folder" for path in paths if not path.exists()]
    if absent:
        raise DataError(f"paths that do not exist ({len(absent)}):\n{named(absent)}\nexpected image files, or folders of them")
    files = [file for path in paths for file in (_files_of(path) if path.is_dir() else [path])]
    if not files:
        where = ", ".join(map(str, paths)) or "nothing was given"
        raise DataError(f"no images in {where}; expected image files, or folders of them")
    return files


def _files_of(folder: Path) -> list[Path]:
    def counts(file: Path) -> bool:
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        return file.is_file() and not hidden and file.name.casefold() not in SYSTEM_FILES

    return sorted(file for file in folder.rglob("*") if counts(file))


def _batches(trained: TrainedModel, files: list[Path]) -> "Iterator[NDArray[np.uint8]]":
    """The images in batches (n, C, H, W) uint8. Where one cannot be used, the rest are only looked at, so that all are named."""
    import numpy as np

    from tasks.learning.inference import batch_images

    size = batch_images(trained.shape)  # as `evaluate` predicts: another number can change the last digit of a probability
    batch, unusable = [], []
    for file, found in zip(files, in_order(_reader(trained), files), strict=True):
        if isinstance(found, str):
            unusable.append(f"{file}: {found}")
        elif not unusable:
            batch.append(found)
        if unusable:
            batch.clear()
        elif len(batch) == size:
            yield np.stack(batch)
            batch = []
    if unusable:
        raise DataError(
            f"images that cannot be used ({len(unusable)} of {len(files)}):\n{named(unusable)}\nmend or leave out these files"
        )
    if batch:
        yield np.stack(batch)


def _reader(trained: TrainedModel) -> "Callable[[Path], NDArray[np.uint8] | str]":
    """Reads an image (C, H, W) uint8 in the form that the model expects, or says why that cannot be done.

    Raises:
        DataError: the model was trained on images that no file holds.
    """
    channels, height, width = trained.shape
    if channels not in (1, 3):
        raise DataError(f"the model expects images of {channels} channels; image files become 1 (grey) or 3 (colour)")
    rule = trained.resize
    form = ImageForm(size=[height, width], resize=rule) if rule else ImageForm()

    def read(file: Path) -> "NDArray[np.uint8] | str":
        try:
            image = read_image(file, form, trained.shape)
        except ImageError as error:
            return str(error)
        if image.shape != trained.shape:
            return (
                f"{image.shape[1]} x {image.shape[2]} pixels (height x width); expected {height} x {width} as in training, where no "
                "rule was stated that brings images to one size (preprocess.image)"
            )
        return image

    return read


def _logits(
    trained: TrainedModel, model: "nn.Module", images: "NDArray[np.uint8]", advance: Callable[[int], object] | None
) -> "NDArray[np.float32]":
    import torch

    from tasks.learning.inference import Preparation, predict

    found: NDArray[np.float32] = predict(model, torch.from_numpy(images), Preparation(trained.mean, trained.deviation)).numpy()
    if advance is not None:
        advance(len(images))
    return found
