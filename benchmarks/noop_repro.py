"""`dvc repro` with nothing to do, against the same in a bare repository of five chained `cp` stages: whole processes."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.side_by_side import Comparison, Figure, in_turns
from benchmarks.workplace import Workplace, workplace

GOAL = 1.5
ROUNDS = 8
STAGES = 5


def measure() -> Iterator[Figure | str]:
    """Time both; yields one figure."""
    with workplace() as place:
        clone, bare = place.fresh_clone("goodfit"), bare_repository(place)
        for repository in (clone, bare):
            place.run("dvc", "repro", at=repository)
            place.commit(repository)
        ours, peer = in_turns(lambda: repro_of_nothing(place, clone), lambda: repro_of_nothing(place, bare), rounds=ROUNDS)
        yield Comparison("dvc repro with nothing to do", f"{STAGES} chained cp stages", GOAL, ours, peer)


def repro_of_nothing(place: Workplace, repository: Path) -> float:
    """Seconds of a `dvc repro` that says it had nothing to do.

    Raises:
        RuntimeError: it did something.
    """
    done = place.run("dvc", "repro", at=repository)
    if "Data and pipelines are up to date." not in done.printed:
        raise RuntimeError(f"dvc repro had something to do in {repository.name}:\n{done.printed}")
    return done.seconds


def bare_repository(place: Workplace) -> Path:
    """Git and DVC as `init` makes them, and stages that each copy the file of the one before."""
    bare = place.folder / "bare"
    bare.mkdir()
    (bare / "0.txt").write_text("data\n")
    stages = (
        f"  copy{n}:\n    cmd: cp {n - 1}.txt {n}.txt\n    deps: [{n - 1}.txt]\n    outs: [{n}.txt]\n"
        for n in range(1, STAGES + 1)
    )
    (bare / "dvc.yaml").write_text("stages:\n" + "".join(stages))
    place.run("git", "init", "-q", at=bare)
    place.run("dvc", "init", "-q", at=bare)
    return bare
