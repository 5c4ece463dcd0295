"""`goodfit lineage verify` of many small files and of large ones, against `sha256sum` over the same bytes: whole processes.

`--files 100000` and `--gigabytes 20` are the sizes of the goal; of fewer small files, the program's start is most of the time, so that
their figure is for reference. The data are the user's own images (or one .npz), which the stage `download` has checked, copied and
recorded in a real run. What is read is the source, the stage's copy, and DVC's copy of that, unless they are links to the same bytes;
each is in the system's cache if the memory holds it.
verify computes MD5 beside SHA-256, since dvc.lock knows files by MD5, and also reads statements, dvc.yaml and Git.
"""

import argparse
import os
import resource
from collections.abc import Iterator
from pathlib import Path

from benchmarks.large_data import GIGABYTE, Images, project
from benchmarks.side_by_side import Comparison, Timed, in_turns
from benchmarks.workplace import Workplace
from flows.lineage.verification.cache import objects
from flows.lineage.verification.stages import files_of
from flows.lineage.verification.subject import read_subject
from flows.lineage.verification.surroundings import surrounding_files

GOAL, GOAL_FILES = 1.3, 100_000
ROUNDS = 5
RAW = "data/raw"
FILES, SIDE = 2_000, 64
LIMIT_SECONDS = 24 * 3600.0
LARGE_SIDE = 512


def measure(
    files: int = FILES, gigabytes: float = 0.2, side: int = SIDE, rounds: int = ROUNDS, at: Path | None = None
) -> Iterator[Comparison]:
    """Time both sets; yields two figures for each: the time of the clock, and that of the processor's cores together.

    Args:
        files: of the set of small files.
        gigabytes: of the set in one file.
        side: pixels along a side of a small image, which decides the size of its file.
        rounds: of both sides in turns, after one that is not counted.
        at: the folder to work in; the system's temporary folder without.
    """
    large = int(gigabytes * GIGABYTE / (LARGE_SIDE**2 * 3))
    for images, goal in (
        (Images("image_folder", files, side), GOAL if files >= GOAL_FILES else None),
        (Images("arrays", large, LARGE_SIDE), GOAL),
    ):
        if images.count:
            with project(images, {}, at) as (place, root):
                place.run("dvc", "repro", "--quiet", "download", at=root, limit_seconds=LIMIT_SECONDS)
                yield from compared(place, root, rounds, goal)


def compared(place: Workplace, root: Path, rounds: int, goal: float | None) -> tuple[Comparison, Comparison]:
    """Both sides over the same bytes. The processor's time says what other programs that run beside it do not change."""
    names = read_by_verify(root)
    listing = place.folder / "names"
    listing.write_bytes(b"".join(os.fsencode(name) + b"\0" for name in names))
    size = sum(Path(name).stat().st_size for name in names) / GIGABYTE

    def ours() -> float:
        done = place.run("goodfit", "lineage", "verify", RAW, at=root, limit_seconds=LIMIT_SECONDS)
        if f" {len(names)} files of 1 stage hashed again" not in done.printed:
            raise RuntimeError(f"expected that verify agrees and hashes {len(names)} files:\n{done.printed}")
        return done.seconds

    def peer() -> float:
        # Into a file: with a line for each of 300,000 files through a pipe, 6.4 s were measured in place of 5.1.
        command = f'xargs -0 -a "{listing}" sha256sum > "{place.folder / "sums"}"'
        return place.run("sh", "-c", command, at=root, limit_seconds=LIMIT_SECONDS).seconds

    spent: dict[Timed, list[float]] = {ours: [], peer: []}

    def measured(side: Timed) -> Timed:
        def timed() -> float:
            before = processor_seconds()
            seconds = side()
            spent[side].append(processor_seconds() - before)
            return seconds

        return timed

    what = f"lineage verify of {len(names)} files, {size:.3g} GB"
    wall = Comparison(what, "sha256sum", goal, *in_turns(measured(ours), measured(peer), rounds=rounds))
    counted = (tuple(spent[side][-rounds:]) for side in (ours, peer))  # without the warm-up
    return wall, Comparison(f"{what}: processor", "sha256sum", None, *counted)


def processor_seconds() -> float:
    """What all processes that this one has started and waited for, and theirs, have used so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def read_by_verify(root: Path) -> list[str]:
    """Every file that `verify data/raw` reads, each once where several names are links to it."""
    subject = read_subject(root, RAW)
    named = [name for stage in subject.chain for name in (*files_of(subject, stage), *surrounding_files(subject, stage))]
    paths = [str(root / name) for name in (*named, *(one.file for one in objects(subject)))]
    return list({(about.st_dev, about.st_ino): path for path in paths for about in [Path(path).stat()]}.values())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verify", description=__doc__)
    parser.add_argument(
        "--files", type=int, default=FILES, help=f"of the set of small files; 0 leaves it out (default: {FILES})"
    )
    parser.add_argument("--side", type=int, default=SIDE, help=f"of a small image, in pixels (default: {SIDE})")
    parser.add_argument("--gigabytes", type=float, default=0.2, help="of the set in one file; 0 leaves it out (default: 0.2)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"(default: {ROUNDS})")
    parser.add_argument("--at", type=Path, default=None, help="the folder to work in (default: the system's temporary folder)")
    stated = parser.parse_args()
    for figure in measure(stated.files, stated.gigabytes, stated.side, stated.rounds, stated.at):
        print(figure, flush=True)


if __name__ == "__main__":
    main()
