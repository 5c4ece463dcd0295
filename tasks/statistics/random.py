"""Random numbers from the seed of params.yaml, a separate stream for each use."""

import numpy as np

# A new use gets a new number here, so that it does not change the numbers that the other uses draw.
BOOTSTRAP, HALVES, RANDOM_WEIGHTS = 1, 2, 3
COMPRESSION = 7
CALIBRATION, SELECTION, SCALING = 40, 41, 42
NEIGHBOURS, SHIFT = 30, 31
REFERENCES = 20
PARTS, EXTRAPOLATION = 50, 51
STUDY_ROWS, STUDY_LABELS = 60, 61


def generator(seed: int, stream: int) -> np.random.Generator:
    """The random number generator of one use."""
    return np.random.default_rng([seed, stream])
