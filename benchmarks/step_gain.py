"""Measure again, on this machine, what the trained form of the step gains: `python -m benchmarks.step_gain`."""

import sys
from pathlib import Path

from benchmarks.stages import params_of
from tasks.contracts.splits import read_split
from tasks.contracts.trained import read_model
from tasks.core.errors import GoodfitError
from tasks.learning.assembly import with_rate
from tasks.learning.inference import use_threads
from tasks.learning.learning_rate import is_auto
from tasks.train import measure_gain


def main(root: Path) -> None:
    """Write `results/step_gain.csv` and print it; for the parameters in params.yaml and the trained model.

    Raises:
        GoodfitError: there is no trained model, or the parameters are those of a plain step.
    """
    params = params_of("train", root)
    if is_auto(getattr(params.train.optimizer.settings, "learning_rate", None)):
        params = with_rate(params, 0.001)  # the time of a step does not depend on it
    use_threads(params.threads)
    form = (params.train.precision, params.train.channels_last, params.train.compile)
    if form == ("32-true", False, False):
        raise GoodfitError("train.precision, channels_last and compile are those of a plain step: there is nothing to compare")
    described, weights = read_model(root)
    measure_gain(params, described, weights, (read_split(root, "train"), read_split(root, "val")), root=root)


if __name__ == "__main__":
    try:
        main(Path())
    except GoodfitError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
