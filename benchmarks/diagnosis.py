"""What the diagnosis of the recipe mnist-cnn costs, as a share of its training, and the memory of its stages.

What counts: the whole process of the stage, with the start of Python, imports, reading and writing, for both. The memory is the largest
resident set of any stage's process, as the operating system counts it; without the stage `report`, which reads statements that only a
recorded run writes.
"""

from collections.abc import Iterator

from benchmarks.mnist import IMAGE_BYTES, configured, missing, run_stage
from benchmarks.side_by_side import Comparison, Figure, NotMeasured, Single, in_turns
from benchmarks.workplace import ROOT, workplace
from flows.declaration import read_declarations

GOAL_SHARE = 0.25
MEMORY_GOAL = (1.0e9 + 1.5 * IMAGE_BYTES) / 1e9
ROUNDS = 2
RECIPE = "mnist-cnn"
WITHOUT = "report"


def measure() -> Iterator[Figure | str]:
    """Run the stages, then train and diagnose in turns; yields the share, then the memory."""
    if why := missing():
        yield NotMeasured("cost of the diagnosis", why)
        return
    with workplace() as place:
        folder = configured(place, RECIPE)
        ran = {name: run_stage(place, folder, name) for name in read_declarations(ROOT) if name != WITHOUT}
        diagnosis, training = in_turns(
            lambda: run_stage(place, folder, "diagnose").process,
            lambda: run_stage(place, folder, "train").process,
            rounds=ROUNDS,
            warm_up=False,
        )
    yield Comparison(f"diagnosis of {RECIPE}", "its training", GOAL_SHARE, diagnosis, training)
    most = max(ran, key=lambda name: ran[name].peak_bytes)
    yield Single(f"peak resident set of {RECIPE}'s stages, {most}", "GB", MEMORY_GOAL, (ran[most].peak_bytes / 1e9,))
