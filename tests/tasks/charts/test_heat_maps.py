"""Heat maps over images."""

from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tasks.charts.heat_maps import AGAINST, FOR, SIDE, heat_map, reduced


def pixels(source: str) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    return np.asarray(Image.open(BytesIO(b64decode(source.partition(",")[2]))))


def test_pixels_for_the_class_are_orange_and_those_against_it_blue() -> None:
    values = np.array([[1.0, -1.0], [0.0, 0.5]], dtype=np.float32)
    found = pixels(heat_map(np.full((1, 2, 2), 100, np.uint8), values))
    assert tuple(found[0, 0]) == FOR
    assert tuple(found[0, 1]) == AGAINST
    red, green, blue = found[1, 0].tolist()
    assert red == green == blue, "where there is no weight the image is grey"
    assert found[1, 1, 0] > found[1, 1, 2], "a weaker value is a mixture"


@pytest.mark.parametrize("channels", [1, 3])
def test_a_large_image_is_reduced_and_a_small_one_keeps_its_pixels(channels: int) -> None:
    image = np.zeros((channels, 300, 600), np.uint8)
    assert reduced(image).shape == (channels, SIDE // 2, SIDE)
    assert pixels(heat_map(image, np.ones((300, 600), np.float32))).shape == (SIDE // 2, SIDE, 3)
    small = np.arange(channels * 6, dtype=np.uint8).reshape(channels, 2, 3)
    assert np.array_equal(reduced(small), small)


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_constant_heat_map_is_drawn(value: float) -> None:
    assert pixels(heat_map(np.zeros((1, 4, 4), np.uint8), np.full((4, 4), value, np.float32))).shape == (4, 4, 3)


def test_one_strong_pixel_does_not_hide_the_others() -> None:
    values = np.ones((20, 20), np.float32)
    values[0, 0] = 1000
    assert tuple(pixels(heat_map(np.zeros((1, 20, 20), np.uint8), values))[10, 10]) == FOR
