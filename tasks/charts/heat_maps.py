"""Heat maps over the images that they belong to, as small pictures that look the same on light and dark pages."""

from typing import TYPE_CHECKING

from tasks.charts.pictures import picture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE = 112  # pixels: a larger image is reduced, so that the page stays small
FOR, AGAINST = (255, 150, 20), (40, 150, 255)  # orange and blue, which differ for colour-blind readers too
FULL = 0.99  # the quantile of the absolute values that is drawn in full colour: a single pixel must not hide the others


def reduced(image: "NDArray[np.uint8]") -> "NDArray[np.uint8]":
    """An image (C, H, W) uint8 whose sides have at most `SIDE` pixels."""
    import numpy as np

    return np.stack([np.rint(_averaged(channel)).clip(0, 255).astype(np.uint8) for channel in image])


def heat_map(image: "NDArray[np.uint8]", values: "NDArray[np.float32]") -> str:
    """`values` (H, W) over the image (C, H, W) uint8, a PNG data URI.

    Positive values are orange and negative ones blue, the stronger the more opaque; below them the image is grey.
    """
    import numpy as np

    grey = reduced(image)[:3].mean(axis=0) * 0.45 + 40
    heat = _averaged(values)
    full = float(np.quantile(np.abs(heat), FULL)) or float(np.abs(heat).max()) or 1.0
    opacity = np.minimum(np.abs(heat) / full, 1)[..., None]
    colour = np.where(heat[..., None] > 0, FOR, AGAINST)
    mixed = grey[..., None] * (1 - opacity) + colour * opacity
    return picture(np.rint(mixed).astype(np.uint8).transpose(2, 0, 1))


def _averaged(values: "NDArray[np.uint8] | NDArray[np.float32]") -> "NDArray[np.float32]":
    """Values (H, W) with sides of at most `SIDE` pixels, each the mean of those it stands for."""
    import numpy as np
    from PIL import Image

    height, width = values.shape
    scale = SIDE / max(height, width)
    plain = np.ascontiguousarray(values, dtype=np.float32)
    if scale >= 1:
        return plain
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(plain).resize(size, Image.Resampling.BOX))
