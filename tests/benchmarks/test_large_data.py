"""The whole pipeline under a limit on memory that the operating system keeps."""

import sys
from itertools import islice

import pytest

from benchmarks.large_data import LIMITED, Images, limited, through
from benchmarks.workplace import workplace
from flows.declaration import read_declarations
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limit and the figures are Linux's")
TRAIN = {"epochs": 1, "model": {"name": "linear"}}
LIMIT = 1_500_000_000
SIDE = 224  # 150 kB an image


@pytest.mark.slow
def test_no_stage_holds_the_images_in_memory() -> None:
    """800 MB of images, 480 MB of them in train; beside torch itself, 300 MB are enough for each stage."""
    with workplace() as place:
        idle = limited(place, place.folder, LIMIT, "-c", "import torch, time; time.sleep(1)")
    peaks = dict(through(Images("arrays", 5400, SIDE), TRAIN, LIMIT))
    assert list(peaks) == list(read_declarations(ROOT))
    for stage, peak in peaks.items():
        assert peak.anonymous < idle.anonymous + 300_000_000, stage


@pytest.mark.slow
@pytest.mark.parametrize("name", ["csv", "compressed"])
def test_images_are_decoded_straight_into_the_files_of_the_splits(name: str) -> None:
    """400 MB of images, decoded and divided in less than 150 MB."""
    peaks = dict(islice(through(Images(name, 2700, SIDE), TRAIN, LIMIT), 2))
    assert list(peaks) == ["download", "preprocess"]
    assert max(peak.anonymous for peak in peaks.values()) < 150_000_000


def test_what_does_not_fit_fails_under_the_limit_and_not_without() -> None:
    with workplace() as place:
        script = place.folder / "copy.py"
        script.write_text("import numpy as np; np.zeros(10**9, np.uint8)", encoding="utf-8")
        place.run(sys.executable, str(script), at=place.folder)
        with pytest.raises(RuntimeError, match="Unable to allocate"):
            place.run(sys.executable, "-c", LIMITED, "500000000", sys.executable, str(script), at=place.folder)
