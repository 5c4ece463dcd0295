import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.statistics.neighbours import nearest, spectra
from tasks.statistics.pooling import pooled


def pixels(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def every_distance(images: NDArray[np.uint8], among: NDArray[np.uint8]) -> NDArray[np.float64]:
    difference = images[:, None].astype(np.float64) - among[None]
    return np.asarray(np.sqrt((difference**2).mean(axis=(2, 3, 4))))


@pytest.mark.parametrize(("n", "m"), [(300, 500), (1, 16), (5, 17), (40, 3)])
def test_neighbours_of_small_images_are_those_of_every_pair_compared(n: int, m: int) -> None:
    images, among = pixels((n, 2, 5, 6)), pixels((m, 2, 5, 6), seed=1)
    found, expected = nearest(images, among), every_distance(images, among)
    assert found.distance == pytest.approx(np.sort(expected, axis=1)[:, :16], rel=1e-5)
    assert np.take_along_axis(expected, found.position, 1) == pytest.approx(found.distance, rel=1e-5)


def smallest_under_shifts(image: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """The root mean square difference, window by window."""
    middle, tall, wide = image[:, 1:-1, 1:-1].astype(np.float64), other.shape[1] - 2, other.shape[2] - 2
    windows = [other[:, top : top + tall, left : left + wide] for top in range(3) for left in range(3)]
    return float(min(np.sqrt(((middle - window) ** 2).mean()) for window in windows))


def test_distances_of_larger_images_are_the_smallest_under_shifts_to_the_last_digit() -> None:
    images, among = pixels((70, 3, 17, 32)), pixels((20, 3, 17, 32), seed=1)
    found = nearest(images, among)
    expected = [
        [smallest_under_shifts(image, among[row]) for row in rows] for image, rows in zip(images, found.position, strict=True)
    ]
    assert np.array_equal(found.distance, expected)


def test_neighbours_are_the_same_to_the_bit_however_many_cores_look_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    images, among = pixels((600, 1, 18, 18)), pixels((900, 1, 18, 18), seed=1)
    found = []
    for cores in (1, 3):
        monkeypatch.setattr("tasks.statistics.neighbours.cores", lambda cores=cores: cores)
        found.append(nearest(images, among))
    assert np.array_equal(found[0].distance, found[1].distance)
    assert np.array_equal(found[0].position, found[1].position)


@pytest.mark.parametrize("shift", [(0, 0), (0, 1), (-1, 0), (1, -1)])
def test_a_picture_is_found_among_others_where_it_was_shifted_by_a_pixel(shift: tuple[int, int]) -> None:
    among = pixels((3000, 1, 18, 18)) // 4 + 60
    images = np.roll(among[[7, 1500, 2999]], shift, axis=(2, 3))
    found = nearest(images, among)
    assert found.position[:, 0].tolist() == [7, 1500, 2999]
    assert found.distance[:, 0].tolist() == [0, 0, 0]
    assert (found.distance[:, 1] > 10).all()


def test_magnitudes_ignore_a_cyclic_shift_and_lie_no_farther_apart_than_the_pixels() -> None:
    images, others = pixels((50, 3, 20, 24)), pixels((50, 3, 20, 24), seed=1)
    assert spectra(np.roll(images, (3, -5), axis=(2, 3))) == pytest.approx(spectra(images), abs=0.01)
    apart = np.sqrt(((spectra(images) - spectra(others)) ** 2).sum(axis=1))
    assert (apart <= np.sqrt(((images.astype(float) - others) ** 2).sum(axis=(1, 2, 3)))).all()


def test_pictures_above_32_pixels_are_averaged_over_blocks_and_others_stay() -> None:
    large = pixels((3, 2, 64, 97))
    small = pooled(large, np.array([2, 0]))
    assert small.shape == (2, 2, 32, 24)
    assert small[0, 1, 3, 5] == round(large[2, 1, 6:8, 20:24].mean())
    kept = pixels((3, 1, 32, 8))
    assert np.array_equal(pooled(kept, np.array([1])), kept[[1]])
