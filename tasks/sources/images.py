"""Image files and arrays into pixels of one size and mode.

**The rule for modes.** Every file becomes grey (one channel) or colour (three), 8 bits each:

- 1-bit and 8-bit grey stay grey; 16-bit grey is divided by 257 and rounded, so that 65535 becomes 255 and nothing is clipped.
  Pillow's 32-bit integers are taken for 16-bit values, which is what it makes of 16-bit PGM; a value outside 0..65535 is refused.
- Floating-point values must lie in [0, 1] and are multiplied by 255; other ranges are refused, because nothing states their scale.
- Alpha, and the transparent colour of a PNG or GIF, is composited on white.
- Palettes, CMYK, YCbCr and all else become RGB by Pillow's own conversion. 16-bit colour is cut to 8 bits by Pillow's decoder.
- EXIF orientation is applied. Of a file with several frames or pages the first is used.

**The rule for sizes.** `crop` scales the image until it covers the size and cuts off what stands over, equally on both sides; `pad`
scales it until it fits inside and fills the rest with black; `stretch` scales each axis alone. Scaling is bilinear with antialiasing.
A JPEG is decoded at a reduced scale where that still has twice the pixels that are wanted along each side.
"""

import math
import struct
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from statistics import median_low
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from pydantic import Field

from tasks.core.cores import cores
from tasks.core.errors import DataError
from tasks.core.settings import Section

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

# Formats that hold pixels. Others are left alone: EPS, for one, would be handed to another program.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")
ORIENTATION = 0x0112  # EXIF; 5 to 8 swap width and height
GREY_MODES = ("1", "L", "LA", "La", "I", "F")
BATCH_BYTES = 1 << 22  # of the images that are written at once
TIMED = 32  # images at the start, which show whether threads are worth it
WORTH_A_THREAD_SECONDS = 0.002
AHEAD = 4  # images per thread that are computed before they are asked for
Item = TypeVar("Item")
Result = TypeVar("Result")


class ImageForm(Section):
    """The form in which images are stored. What is not stated stays as the images have it: they must then agree in it."""

    size: Annotated[list[Annotated[int, Field(ge=1, le=8192)]], Field(min_length=2, max_length=2)] | None = (
        None  # height, width
    )
    resize: Literal["crop", "pad", "stretch"] = (
        "crop"  # what is done where the ratio of height to width differs from that of size
    )
    channels: Literal["auto", 1, 3] = "auto"  # 1: grey, 3: colour; auto: grey if all images are grey, else colour


class ImageError(Exception):
    """A file is not an image that can be used; the message is the reason alone."""


@dataclass(frozen=True)
class Decoded:
    """An image in mode L or RGB, and how many frames its file has."""

    image: "Image"
    frames: int


def decode(file: Path | bytes, at_least: Sequence[int] | None = None) -> Decoded:
    """Decode the first frame of a file, or of its bytes, by the rule of this module.

    Args:
        file: where it is, or what it holds.
        at_least: height and width; a JPEG may be decoded at a reduced scale that still has twice as much.

    Raises:
        ImageError: it cannot be decoded or has no place in the rule.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        # From memory: Pillow 13 maps an uncompressed TIFF's file, and then scrambles the pixels where EXIF swaps width and height.
        content = file if isinstance(file, bytes) else file.read_bytes()
    except OSError as error:
        raise ImageError(error.strerror or type(error).__name__) from None
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as opened:
            frames = getattr(opened, "n_frames", 1)
            if at_least:
                opened.draft(None, (2 * max(at_least), 2 * max(at_least)))  # EXIF may swap the sides
            return Decoded(_plain(ImageOps.exif_transpose(opened)), frames)
    except UnidentifiedImageError:
        raise ImageError(f"not an image in one of the formats {', '.join(FORMATS)}") from None
    # Pillow's decoders raise each of these for a damaged file.
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise ImageError(f"corrupt or unsupported image ({error})") from None


def is_coloured(path: Path) -> bool:
    """Whether a file becomes colour; only its header is read.

    Raises:
        ImageError: it is not an image.
    """
    from PIL import Image

    try:
        with Image.open(path, formats=FORMATS) as image:
            return image.mode not in GREY_MODES and not image.mode.startswith("I;16")
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise ImageError(f"corrupt or unsupported image ({error})") from None


def upright_size(path: Path) -> tuple[int, int]:
    """Height and width of a file after EXIF orientation."""
    from PIL import Image

    with Image.open(path, formats=FORMATS) as image:
        # Of a TIFF, Pillow states the upright size.
        swapped = image.format != "TIFF" and image.getexif().get(ORIENTATION, 1) >= 5
        return image.size if swapped else image.size[::-1]


def read_image(path: Path, form: ImageForm, shape: tuple[int, int, int]) -> "NDArray[np.uint8]":
    """An image file with the channels of `shape` and the size that `form` states, or else its own: (C, H, W) uint8.

    Raises:
        ImageError: it is not an image.
    """
    return _as_array(_shaped(decode(path, form.size).image, form, shape))


def shape_of(splits: Sequence["NDArray[np.uint8] | Sequence[Path]"], form: ImageForm) -> tuple[int, int, int]:
    """(C, H, W) of the images once they have `form`; what it does not state is taken from the images.

    Raises:
        DataError: a file is not an image.
    """
    first = splits[0]
    if not isinstance(first, Sequence):
        channels, height, width = first.shape[1:]
    else:
        paths = [path for split in splits if isinstance(split, Sequence) for path in split]
        try:
            height, width = form.size or decode(paths[0]).image.size[::-1]
            channels = 3 if form.channels == "auto" and any(map(is_coloured, paths)) else 1
        except ImageError:
            raise _damaged(paths) from None
    height, width = form.size or (height, width)
    return channels if form.channels == "auto" else form.channels, height, width


def pixels(
    images: "NDArray[np.uint8] | Sequence[Path]", index: "NDArray[np.int64]", form: ImageForm, shape: tuple[int, int, int]
) -> "Iterator[NDArray[np.uint8]]":
    """The images of these indices in their order, in batches (n, C, H, W) uint8 of a few megabytes.

    Threads rather than processes: Pillow lets go of the interpreter while it decodes and scales, and nothing has to be sent back,
    started anew, or ended when a run is killed.

    Raises:
        DataError: files cannot be read, or images have another shape and `form` does not say what to make of them; all are named.
    """
    import numpy as np

    size = max(1, BATCH_BYTES // math.prod(shape))
    if not isinstance(images, Sequence) and images.shape[1:] == shape:
        yield from (images[index[start : start + size]] for start in range(0, len(index), size))
    else:
        single = (
            _of_files(images, index, form, shape) if isinstance(images, Sequence) else _of_arrays(images, index, form, shape)
        )
        while batch := list(islice(single, size)):
            yield np.stack(batch)


def in_order(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`function` of each item, in the order of the items, and only a little ahead; by a thread for each core, if that pays.

    The first items are timed: of small images (64x64 JPEG: 0.08 ms) most of the work is Python's, and threads that take turns at it
    are slower than one.
    """
    waiting = iter(items)
    start, timed = perf_counter(), 0
    for item in islice(waiting, TIMED):
        yield function(item)
        timed += 1
    if timed == TIMED and (perf_counter() - start) / TIMED < WORTH_A_THREAD_SECONDS:
        yield from map(function, waiting)
        return
    workers = cores()
    pool = ThreadPoolExecutor(workers)
    try:
        ahead = deque(pool.submit(function, item) for item in islice(waiting, AHEAD * workers))
        while ahead:
            yield ahead.popleft().result()
            ahead.extend(pool.submit(function, item) for item in islice(waiting, 1))
    finally:
        pool.shutdown(cancel_futures=True)


def named(offences: Sequence[str], limit: int = 20) -> str:
    """The first of them, a line each, and how many more there are."""
    more = [f"… and {len(offences) - limit} more"] if len(offences) > limit else []
    return "\n".join(f"  {line}" for line in [*offences[:limit], *more])


def _of_arrays(
    images: "NDArray[np.uint8]", index: "NDArray[np.int64]", form: ImageForm, shape: tuple[int, int, int]
) -> "Iterator[NDArray[np.uint8]]":
    return in_order(lambda number: _as_array(_shaped(_of_array(images[number]), form, shape)), index.tolist())


def _of_files(
    files: Sequence[Path], index: "NDArray[np.int64]", form: ImageForm, shape: tuple[int, int, int]
) -> "Iterator[NDArray[np.uint8]]":
    paths = [files[number] for number in index.tolist()]

    def read(path: Path) -> "NDArray[np.uint8] | None":
        try:
            return read_image(path, form, shape)
        except ImageError:
            return None

    for array in in_order(read, paths):
        if array is None:
            raise _damaged(list(files))
        if array.shape != shape:
            raise _of_many_sizes(list(files), shape)
        yield array


def _damaged(paths: list[Path]) -> DataError:
    """The error for image files that were readable when they were copied."""

    def reason(path: Path) -> str | None:
        try:
            decode(path)
        except ImageError as error:
            return f"{path}: {error}"
        return None

    offences = [found for found in in_order(reason, paths) if found]
    return DataError(f"files that can no longer be read as images ({len(offences)}):\n{named(offences)}\nfetch the data again")


def _of_many_sizes(paths: list[Path], shape: tuple[int, int, int]) -> DataError:
    sizes = Counter(in_order(upright_size, paths))
    listed = [f"{height} x {width} pixels: {count} of {len(paths)} images" for (height, width), count in sizes.most_common()]
    height, width = (_round_side(median_low(side)) for side in zip(*sizes.elements(), strict=True))
    return DataError(
        f"the images are not all of one size (height x width):\n{named(listed, 5)}\n"
        f"expected {shape[1]} x {shape[2]}, as the first; state in params.yaml the size that all are brought to, such as\n"
        f"  preprocess:\n    image: {{size: [{height}, {width}], resize: crop}}    # crop, pad or stretch"
    )


def _round_side(pixels: int) -> int:
    """The nearest multiple of 16, which halves well in a network; a side below 16 pixels stays as it is."""
    return pixels if pixels < 16 else (pixels + 8) // 16 * 16


def _plain(image: "Image") -> "Image":
    """An upright image in mode L or RGB."""
    from PIL import Image

    if image.mode == "I" or image.mode.startswith("I;16"):
        return _from_wide(image)
    if image.mode == "F":
        return _from_floats(image)
    if image.has_transparency_data:
        grey = image.mode in GREY_MODES
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("L" if grey else "RGB")
    if image.mode in ("1", "L"):
        return image.convert("L")
    return image.convert("RGB")


def _from_wide(image: "Image") -> "Image":
    import numpy as np
    from PIL import Image

    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError(
            f"integer values from {values.min()} to {values.max()}; expected 0 to 65535: save it with 8 or 16 bits"
        )
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def _from_floats(image: "Image") -> "Image":
    import numpy as np
    from PIL import Image

    values = np.asarray(image)
    if not (values.min() >= 0 and values.max() <= 1):  # NaN is in no range
        raise ImageError(f"floating-point values from {values.min()} to {values.max()}; expected 0 to 1: save it with 8 bits")
    return Image.fromarray(np.rint(values * 255).astype(np.uint8))


def _shaped(image: "Image", form: ImageForm, shape: tuple[int, int, int]) -> "Image":
    """The image with the stated size, where one is stated, and the channels of `shape`."""
    from PIL import Image, ImageOps

    image = image.convert("L" if shape[0] == 1 else "RGB")
    if form.size is None or image.size == (shape[2], shape[1]):
        return image
    size, bilinear = (shape[2], shape[1]), Image.Resampling.BILINEAR
    match form.resize:
        case "crop":
            return ImageOps.fit(image, size, bilinear)
        case "pad":
            return ImageOps.pad(image, size, bilinear, color=0)
        case "stretch":
            return image.resize(size, bilinear)


def _as_array(image: "Image") -> "NDArray[np.uint8]":
    """(C, H, W) uint8."""
    import numpy as np

    values = np.asarray(image)
    return values[None] if values.ndim == 2 else values.transpose(2, 0, 1)


def _of_array(array: "NDArray[np.uint8]") -> "Image":
    """The image of an array (C, H, W) uint8 with C 1 or 3."""
    import numpy as np
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(array[0] if len(array) == 1 else array.transpose(1, 2, 0)))
