"""How alike two pictures are."""

import numpy as np

from tasks.statistics.arrays import Floats

WINDOW = 7  # pixels along each side


def rank_correlation(one: Floats, other: Floats) -> float | None:
    """Spearman's rank correlation of two arrays of the same size; equal values share their mean rank. None where one is constant."""
    first, second = _ranks(one), _ranks(other)
    first, second = first - first.mean(), second - second.mean()
    size = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / size) if size else None


def structural_similarity(one: Floats, other: Floats) -> float | None:
    """SSIM of two pictures (H, W) with values in [0, 1]: the mean over all windows of 7 x 7 pixels, equally weighted.

    A smaller picture is compared with the largest odd window that fits. None where that would be a single pixel.
    Wang, Bovik, Sheikh and Simoncelli 2004, Image Quality Assessment, equation 13, with its constants K1 = 0.01 and K2 = 0.03.
    """
    side = min(WINDOW, *one.shape)
    side -= 1 - side % 2
    if side < 3:
        return None

    def mean(values: Floats) -> Floats:
        windows = np.lib.stride_tricks.sliding_window_view(values, (side, side))
        return np.asarray(windows.mean(axis=(2, 3)))

    first, second, c1, c2 = mean(one), mean(other), 0.01**2, 0.03**2
    variances = mean(one**2) - first**2 + mean(other**2) - second**2
    covariance = mean(one * other) - first * second
    similar = (2 * first * second + c1) * (2 * covariance + c2) / ((first**2 + second**2 + c1) * (variances + c2))
    return float(similar.mean())


def _ranks(values: Floats) -> Floats:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place.ravel()])
