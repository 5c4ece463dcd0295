"""The rule for modes and sizes, on images with known pixels, and what is said of files that are none."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from threading import get_ident
from time import sleep
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tasks.core.errors import DataError, ParamsError
from tasks.core.settings import validate
from tasks.sources import images as module
from tasks.sources.images import ImageError, ImageForm, decode, in_order, is_coloured, pixels, shape_of, upright_size

ALL = ImageForm()


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def values(image: Image.Image) -> Any:
    return np.asarray(image).tolist()


def grey(rows: list[list[int]]) -> Image.Image:
    return Image.fromarray(np.array(rows, dtype=np.uint8))


RED = (255, 0, 0)


def painted(mode: str, colour: Any) -> Image.Image:
    return Image.new(mode, (1, 1), colour)


def transparent_palette() -> bytes:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    return saved(image, transparency=1)


@pytest.mark.parametrize(
    ("content", "mode", "expected"),
    [
        pytest.param(saved(painted("L", 77)), "L", [[77]], id="grey"),
        pytest.param(saved(painted("RGB", (1, 2, 3))), "RGB", [[[1, 2, 3]]], id="colour"),
        pytest.param(saved(painted("1", 1)), "L", [[255]], id="one bit"),
        pytest.param(
            saved(Image.fromarray(np.array([[0, 257, 32767, 65535]], np.uint16))), "L", [[0, 1, 127, 255]], id="16 bits"
        ),
        pytest.param(
            saved(Image.fromarray(np.array([[0, 70, 65535]], np.int32)), "TIFF"), "L", [[0, 0, 255]], id="32-bit integers"
        ),
        pytest.param(saved(Image.fromarray(np.array([[0, 0.5, 1]], np.float32)), "TIFF"), "L", [[0, 128, 255]], id="floats"),
        pytest.param(saved(painted("RGBA", (*RED, 255))), "RGB", [[[255, 0, 0]]], id="opaque"),
        pytest.param(saved(painted("RGBA", (*RED, 0))), "RGB", [[[255, 255, 255]]], id="transparent"),
        pytest.param(saved(painted("RGBA", (0, 0, 0, 51))), "RGB", [[[204, 204, 204]]], id="a fifth of black"),
        pytest.param(saved(painted("LA", (0, 51))), "L", [[204]], id="grey with alpha"),
        pytest.param(saved(painted("RGB", RED), transparency=RED), "RGB", [[[255, 255, 255]]], id="transparent colour"),
        pytest.param(transparent_palette(), "RGB", [[[255, 0, 0], [255, 255, 255]]], id="palette"),
        pytest.param(saved(painted("CMYK", (0, 255, 255, 0)), "TIFF"), "RGB", [[[255, 0, 0]]], id="CMYK"),
    ],
)
def test_converts_every_mode_by_the_rule(content: bytes, mode: str, expected: Any, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(content)

    for file in (content, tmp_path / "image"):
        found = decode(file)
        assert found.image.mode == mode
        assert values(found.image) == expected
        assert found.frames == 1
    assert is_coloured(tmp_path / "image") == (mode == "RGB")


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, [[10, 20, 30], [40, 50, 60]]),
        (3, [[60, 50, 40], [30, 20, 10]]),
        (6, [[40, 10], [50, 20], [60, 30]]),
        (8, [[30, 60], [20, 50], [10, 40]]),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_applies_the_exif_orientation(tmp_path: Path, kind: str, orientation: int, expected: Any) -> None:
    exif = Image.Exif()
    exif[module.ORIENTATION] = orientation
    content = saved(grey([[10, 20, 30], [40, 50, 60]]), kind, exif=exif)
    (tmp_path / "image").write_bytes(content)

    assert values(decode(tmp_path / "image").image) == values(decode(content).image) == expected
    assert upright_size(tmp_path / "image") == (len(expected), len(expected[0]))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP"])
def test_takes_the_first_of_several_frames(kind: str) -> None:
    first, second = Image.new("RGB", (2, 2), "white"), Image.new("RGB", (2, 2), "black")
    found = decode(saved(first, kind, save_all=True, append_images=[second]))

    assert found.frames == 2
    assert values(found.image) == [[[255, 255, 255]] * 2] * 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"woof", "not an image in one of the formats .*PNG", id="text"),
        pytest.param(b"", "not an image", id="empty"),
        pytest.param(saved(grey([[1, 2], [3, 4]]))[:-25], r"corrupt or unsupported image \(", id="truncated PNG"),
        pytest.param(saved(Image.effect_noise((64, 64), 90), "JPEG")[:-300], r"corrupt .*truncated", id="truncated JPEG"),
        pytest.param(
            saved(Image.fromarray(np.array([[-1, 0]], np.int32)), "TIFF"),
            "integer values from -1 to 0; expected 0 to 65535",
            id="I",
        ),
        pytest.param(
            saved(Image.fromarray(np.array([[0, 2.5]], np.float32)), "TIFF"), "values from 0.0 to 2.5; expected 0 to 1", id="F"
        ),
        pytest.param(saved(Image.fromarray(np.array([[0, np.nan]], np.float32)), "TIFF"), "values from nan to nan", id="NaN"),
        pytest.param(saved(painted("RGB", RED), "EPS"), "not an image in one of the formats", id="a program"),
    ],
)
def test_names_the_reason_why_a_file_is_no_image(content: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        decode(content)


def as_array(images: "np.ndarray[Any, Any] | Sequence[Path]", form: ImageForm, index: list[int] | None = None) -> Any:
    shape = shape_of([images], form)
    chosen = np.arange(len(images)) if index is None else np.array(index)
    return np.concatenate(list(pixels(images, chosen, form, shape)))


WIDE = grey([[0, 0, 100, 100, 200, 200, 0, 0]] * 4)  # 4 x 8


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        pytest.param({"size": [4, 4], "resize": "crop"}, [[100, 100, 200, 200]] * 4, id="crop"),
        pytest.param({"size": [8, 8], "resize": "pad"}, [[0] * 8] * 2 + values(WIDE) + [[0] * 8] * 2, id="pad"),
        pytest.param({"size": [4, 8], "resize": "crop"}, values(WIDE), id="as it is"),
        pytest.param({}, values(WIDE), id="not stated"),
    ],
)
def test_brings_an_image_to_the_size(tmp_path: Path, form: dict[str, Any], expected: Any) -> None:
    WIDE.save(tmp_path / "a.png")
    found = as_array([tmp_path / "a.png"], ImageForm(**form))

    assert found.dtype == np.uint8
    assert found.tolist() == [[expected]]


def test_stretching_keeps_both_edges(tmp_path: Path) -> None:
    grey([[0, 0, 0, 0, 255, 255, 255, 255]] * 2).save(tmp_path / "a.png")
    found = as_array([tmp_path / "a.png"], ImageForm(size=[4, 4], resize="stretch"))

    assert found.shape == (1, 1, 4, 4)
    assert found[0, 0, :, 0].tolist() == [0] * 4
    assert found[0, 0, :, 3].tolist() == [255] * 4


def test_scaling_down_averages_and_does_not_pick(tmp_path: Path) -> None:
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    Image.fromarray(board).save(tmp_path / "a.png")

    assert np.abs(as_array([tmp_path / "a.png"], ImageForm(size=[8, 8])).astype(int) - 127).max() <= 2


def test_a_large_jpeg_is_decoded_at_a_reduced_scale_with_the_same_content(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 800).astype(np.uint8), (800, 800))
    Image.fromarray(ramp).save(tmp_path / "a.jpg", quality=95)

    assert decode(tmp_path / "a.jpg", [10, 10]).image.size == (100, 100)
    assert decode(tmp_path / "a.jpg", [300, 20]).image.size == (800, 800)
    found = as_array([tmp_path / "a.jpg"], ImageForm(size=[10, 10]))[0, 0].astype(int)
    assert np.abs(found - np.linspace(12, 243, 10)).max() < 4


def test_grey_images_become_colour_beside_coloured_ones(tmp_path: Path) -> None:
    painted("L", 9).save(tmp_path / "a.png")
    painted("RGB", (1, 2, 3)).save(tmp_path / "b.png")
    files = [tmp_path / "a.png", tmp_path / "b.png"]

    assert as_array(files, ALL)[:, :, 0, 0].tolist() == [[9, 9, 9], [1, 2, 3]]
    assert as_array(files[:1], ALL)[:, :, 0, 0].tolist() == [[9]]
    assert as_array(files, ImageForm(channels=1))[:, :, 0, 0].tolist() == [[9], [2]]
    assert as_array(files[:1], ImageForm(channels=3))[:, :, 0, 0].tolist() == [[9, 9, 9]]


def test_says_what_to_state_where_sizes_differ(tmp_path: Path) -> None:
    for name, size in (("a", (5, 4)), ("b", (7, 6)), ("c", (7, 6))):
        Image.new("L", size).save(tmp_path / f"{name}.png")

    with pytest.raises(DataError) as caught:
        as_array(sorted(tmp_path.iterdir()), ALL)
    assert str(caught.value).splitlines() == [
        "the images are not all of one size (height x width):",
        "  6 x 7 pixels: 2 of 3 images",
        "  4 x 5 pixels: 1 of 3 images",
        "expected 4 x 5, as the first; state in params.yaml the size that all are brought to, such as",
        "  preprocess:",
        "    image: {size: [6, 7], resize: crop}    # crop, pad or stretch",
    ]
    assert as_array(sorted(tmp_path.iterdir()), ImageForm(size=[6, 7])).shape == (3, 1, 6, 7)


def test_suggests_a_size_in_multiples_of_16(tmp_path: Path) -> None:
    for name, size in (("a", (129, 128)), ("b", (129, 128)), ("c", (90, 100))):
        Image.new("L", size).save(tmp_path / f"{name}.png")

    with pytest.raises(DataError, match=r"size: \[128, 128\]"):
        as_array(sorted(tmp_path.iterdir()), ALL)


def test_names_all_files_that_were_damaged_since(tmp_path: Path) -> None:
    for number in range(30):
        painted("L", number).save(tmp_path / f"{number:02}.png")
    for number in range(5, 30):
        (tmp_path / f"{number:02}.png").write_bytes(b"woof")

    with pytest.raises(DataError) as caught:
        as_array(sorted(tmp_path.iterdir()), ALL)
    message = str(caught.value)
    assert message.startswith("files that can no longer be read as images (25):\n")
    assert "05.png: not an image" in message
    assert "24.png: not an image" in message
    assert "25.png" not in message
    assert "… and 5 more" in message


def test_arrays_take_the_form_too_and_keep_their_bytes_without_one() -> None:
    images = np.random.default_rng(0).integers(256, size=(300, 3, 6, 4), dtype=np.uint8)

    assert np.array_equal(as_array(images, ALL, [7, 2, 299]), images[[7, 2, 299]])
    assert np.array_equal(as_array(images, ImageForm(size=[6, 4], channels=3)), images)
    cropped = as_array(images, ImageForm(size=[3, 2], channels=1))
    assert cropped.shape == (300, 1, 3, 2)
    by_hand = Image.fromarray(images[41].transpose(1, 2, 0)).convert("L").resize((2, 3), Image.Resampling.BILINEAR)
    assert np.array_equal(cropped[41, 0], np.asarray(by_hand))


def test_images_come_in_their_order_however_long_each_takes(tmp_path: Path) -> None:
    threads = set()

    def slow(number: int) -> int:
        threads.add(get_ident())
        sleep(0.02 if number % 3 else 0.001)
        return number

    assert list(in_order(slow, range(80))) == list(range(80))
    assert len(threads) > 1  # this thread, which timed the first, and others


def test_an_error_ends_the_work_and_reaches_the_caller() -> None:
    done = []

    def fails(number: int) -> int:
        sleep(0.003)
        done.append(number)
        if number == 60:
            raise ValueError(number)
        return number

    with pytest.raises(ValueError, match="60"):
        list(in_order(fails, range(100_000)))
    assert len(done) < 1000


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"size": [28]}, "size: found"),
        ({"size": [28, 0]}, r"size\.1: found 0"),
        ({"size": 28}, r"size: expected a list such as \[28\], found 28"),
        ({"resize": "fit"}, "resize: unknown name 'fit'; expected one of crop, pad, stretch"),
        ({"channels": 4}, "channels: unknown name 4; expected one of auto, 1, 3"),
        ({"width": 4}, "width: unknown key"),
    ],
)
def test_rejects_a_form_that_cannot_be(stated: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        validate(ImageForm, stated)
