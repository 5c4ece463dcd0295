"""A set of images larger than the memory, through the whole pipeline: `python -m benchmarks.large_data`.

Each stage runs as it always does, `python -m flows.stage NAME`, under a limit that the operating system keeps (RLIMIT_DATA): the
private memory that a process may write to, counted when it is asked for, so that a copy of the set fails at once. Mapped files that
are only read are left out: the system reads them in, and gives their pages back, as it needs the memory for others. What a library
writes to only in part counts in full: `import torch` alone takes about 0.8 GB of the limit, and about 0.3 GB of memory.

The figures are the largest that were seen in /proc/PID/status, every 50 ms: VmData, what the limit counts, and RssAnon, the memory
that was really used. The folder needs room for three times the set, and for its files.
"""

import argparse
import json
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.workplace import Workplace, isolated
from flows.declaration import read_declarations
from tasks.core.settings import PARAMS_FILE, load_yaml

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GIGABYTE = 1e9
CLASSES = 4
COARSE = 8  # an image is noise in squares of so many pixels: not too slow to compress, and no two are equal
LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_DATA, 2 * (int(sys.argv[1]),))
os.execv(sys.argv[2], sys.argv[2:])
"""
SAMPLE_SECONDS = 0.05


@dataclass(frozen=True)
class Images:
    """A set to be made: the kind of its files, how many images, and the pixels along a side."""

    name: str
    count: int
    side: int


@dataclass(frozen=True)
class Peak:
    """The most that a command used, in bytes, and how long it took."""

    counted: int  # against the limit
    anonymous: int
    seconds: float


def pictures(count: int, side: int) -> "Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]":
    """Blocks of images (n, side, side, 3) uint8 and their labels; the brightness of a quarter of the image tells the class."""
    import numpy as np

    random = np.random.default_rng(0)
    block = max(1, 2**24 // (side * side * 3))
    half = side // COARSE // 2
    for start in range(0, count, block):
        labels = np.arange(start, min(start + block, count)) % CLASSES
        coarse = random.integers(0, 200, (len(labels), side // COARSE, side // COARSE, 3), dtype=np.uint8)
        for label in range(CLASSES):
            top, left = half * (label // 2), half * (label % 2)
            coarse[labels == label, top : top + half, left : left + half] += 55
        yield coarse.repeat(COARSE, axis=1).repeat(COARSE, axis=2), labels


def arrays(folder: Path, count: int, side: int, compression: int = zipfile.ZIP_STORED) -> Path:
    """The set as an .npz, written block by block."""
    import numpy as np

    path = folder / "set.npz"
    with zipfile.ZipFile(path, "w", compression, compresslevel=1) as archive:
        with archive.open("x_train.npy", "w", force_zip64=True) as member:
            header = {"descr": "|u1", "fortran_order": False, "shape": (count, side, side, 3)}
            np.lib.format.write_array_header_1_0(member, header)
            for images, _ in pictures(count, side):
                member.write(images.tobytes())
        with archive.open("y_train.npy", "w") as member:
            np.lib.format.write_array(member, np.arange(count) % CLASSES)
    return path


def compressed(folder: Path, count: int, side: int) -> Path:
    """The set as `numpy.savez_compressed` writes it."""
    return arrays(folder, count, side, zipfile.ZIP_DEFLATED)


def image_folder(folder: Path, count: int, side: int) -> Path:
    """The set as JPEG files, a folder for each class."""
    from PIL import Image

    path = folder / "set"
    for label in range(CLASSES):
        (path / str(label)).mkdir(parents=True)
    number = 0
    for images, labels in pictures(count, side):
        for image, label in zip(images, labels.tolist(), strict=True):
            Image.fromarray(image).save(path / str(label) / f"{number:07}.jpg", quality=90)
            number += 1
    return path


def csv(folder: Path, count: int, side: int) -> Path:
    """The set as JPEG files and a table that lists them."""
    path = image_folder(folder, count, side)
    rows = [f"{file.relative_to(path)},{file.parent.name}" for file in sorted(path.rglob("*.jpg"))]
    (path / "table.csv").write_text("\n".join(["path,label", *rows]) + "\n", encoding="utf-8")
    return path


SETS: dict[str, tuple[str, Callable[[Path, int, int], Path]]] = {
    "image_folder": ("image_folder", image_folder),
    "csv": ("csv", csv),
    "arrays": ("arrays", arrays),
    "compressed": ("arrays", compressed),
}


@contextmanager
def project(images: Images, train: dict[str, Any], at: Path | None) -> "Iterator[tuple[Workplace, Path]]":
    """A repository whose parameters name the set, which lies beside it; both are removed after the block."""
    with TemporaryDirectory(prefix="goodfit-large-", dir=at, ignore_cleanup_errors=True) as folder:
        place = Workplace(Path(folder), isolated(Path(folder)))
        root = place.fresh_clone("project")
        dataset, make = SETS[images.name]
        params = load_yaml(root / PARAMS_FILE)
        source = make(Path(folder), images.count, images.side)
        params["download"] = {"dataset": {"name": dataset}, "path": str(source)}
        params["preprocess"] |= {"val_fraction": 0.2, "test_fraction": 0.2}
        params["train"] |= train
        (root / PARAMS_FILE).write_text(json.dumps(params), encoding="utf-8")  # JSON is YAML
        yield place, root


def limited(place: Workplace, root: Path, limit: int, *arguments: str) -> Peak:
    """Run Python with these arguments under the limit of so many bytes.

    Raises:
        RuntimeError: it did not end with 0; the message holds what it printed.
    """
    peak = {"VmData": 0, "RssAnon": 0}
    ended = threading.Event()
    command = (sys.executable, "-c", LIMITED, str(limit), sys.executable, *arguments)
    begin = time.perf_counter()
    with place.started(*command, at=root, environment=place.environment) as process:
        watch = threading.Thread(target=_watch, args=(process.pid, peak, ended))
        watch.start()
        try:
            printed, _ = process.communicate()
        finally:
            ended.set()
            watch.join()
    if process.returncode:
        size = f"{limit / GIGABYTE:.2f} GB"
        raise RuntimeError(f"{' '.join(arguments)} ended with {process.returncode} under a limit of {size}:\n{printed}")
    return Peak(peak["VmData"], peak["RssAnon"], time.perf_counter() - begin)


def _watch(process: int, peak: dict[str, int], ended: threading.Event) -> None:
    while not ended.wait(SAMPLE_SECONDS):
        try:
            lines = Path(f"/proc/{process}/status").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            return
        for line in lines:
            name, _, value = line.partition(":")
            if name in peak:
                peak[name] = max(peak[name], 1024 * int(value.split()[0]))


def through(images: Images, train: dict[str, Any], limit: int, at: Path | None = None) -> "Iterator[tuple[str, Peak]]":
    """Make the set and run stage after stage under the limit, with these changes to `train` in params.yaml; yields what each used."""
    with project(images, train, at) as (place, root):
        for stage in read_declarations(root):
            yield stage, limited(place, root, limit, "-m", "flows.stage", stage)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_data", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="SET", default=list(SETS), help=f"of {', '.join(SETS)} (default: all)")
    parser.add_argument("--gigabytes", type=float, default=4.0, help="of the images as uint8 (default: 4)")
    parser.add_argument("--limit", type=float, default=1.5, help="of each stage's process, in gigabytes (default: 1.5)")
    parser.add_argument("--side", type=int, default=224, help="of an image, in pixels (default: 224)")
    parser.add_argument("--model", default="linear", help="of tasks/models, with its default options (default: linear)")
    parser.add_argument("--batch-size", type=int, default=32, help="of training (default: 32)")
    parser.add_argument("--at", type=Path, default=None, help="the folder to work in (default: the system's temporary folder)")
    stated = parser.parse_args()
    if unknown := [name for name in stated.names if name not in SETS]:
        parser.error(f"unknown set '{unknown[0]}'; expected {', '.join(SETS)}")
    count = int(stated.gigabytes * GIGABYTE / (stated.side**2 * 3))
    print(f"{count} images of {stated.side} x {stated.side} pixels, {stated.gigabytes:g} GB; a limit of {stated.limit:g} GB")
    print("| set | stage | counted by the limit | memory used | time |\n| --- | --- | --- | --- | --- |", flush=True)
    train = {"epochs": 2, "batch_size": stated.batch_size, "model": {"name": stated.model}}
    for name in stated.names:
        for stage, peak in through(Images(name, count, stated.side), train, int(stated.limit * GIGABYTE), stated.at):
            memory = f"{peak.counted / GIGABYTE:.2f} GB | {peak.anonymous / GIGABYTE:.2f} GB"
            print(f"| {name} | {stage} | {memory} | {peak.seconds:.0f} s |", flush=True)


if __name__ == "__main__":
    main()
