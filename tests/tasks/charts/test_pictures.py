"""Pixels arrive as they left."""

from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tasks.charts.pictures import picture


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_keeps_every_pixel(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (channels, 5, 7), np.uint8)
    kind, _, data = picture(image).partition(",")
    assert kind == "data:image/png;base64"
    with Image.open(BytesIO(b64decode(data))) as opened:
        expected = image.transpose(1, 2, 0) if channels == 3 else image[0]
        assert (np.asarray(opened) == expected).all()
