"""The MNIST files, which some figures need, and the pipeline's own splits of them."""

import shutil
from pathlib import Path

from benchmarks.running import Ran, said
from benchmarks.stages import threads_of
from benchmarks.workplace import LIMIT_SECONDS, ROOT, Workplace
from flows.lineage.variables import thread_variables
from flows.parameters.recipes import use_recipe

MNIST = ROOT.parent / "shared/data/mnist"
FILES = tuple(
    f"{name}.gz"
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
)
IMAGE_BYTES = 70_000 * 28 * 28


def missing() -> str | None:
    """What to do where the files are not there, else None."""
    absent = [name for name in FILES if not (MNIST / name).is_file()]
    if not absent:
        return None
    return f"needs the four files of MNIST, as published ({', '.join(FILES)}), in ../shared/data/mnist beside the project"


def configured(place: Workplace, recipe: str) -> Path:
    """A folder with the parameters of a recipe for MNIST, in which no stage has run."""
    folder = place.folder / recipe
    folder.mkdir()
    shutil.copy2(ROOT / "dvc.yaml", folder / "dvc.yaml")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    use_recipe(recipe, folder)
    return folder


def prepared(place: Workplace, recipe: str) -> Path:
    """The same folder after the stages before `train`."""
    folder = configured(place, recipe)
    for stage in ("download", "preprocess"):
        run_stage(place, folder, stage)
    return folder


def run_stage(place: Workplace, folder: Path, stage: str) -> Ran:
    """Run a stage on the files in `folder`, without DVC, a record or a network, with the threads of its own process."""
    variables = {"GOODFIT_MIRROR": MNIST.parent.as_uri(), **thread_variables(threads_of(stage, folder))}
    return Ran(**said(place, "timed_stage", str(folder), stage, limit_seconds=LIMIT_SECONDS, **variables))
