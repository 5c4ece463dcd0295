"""Images at their own size, pixel for pixel; the page enlarges them without blurring."""

from base64 import b64encode
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def picture(image: "NDArray[np.uint8]") -> str:
    """An image (C, H, W) uint8 as a PNG data URI: grey or colour, and of any other number of channels than 1 or 3 the first."""
    from PIL import Image

    pixels = image.transpose(1, 2, 0) if len(image) == 3 else image[0]
    buffer = BytesIO()
    Image.fromarray(pixels.copy()).save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{b64encode(buffer.getvalue()).decode('ascii')}"
