"""The inputs that no stage writes, brought into a clean clone: what Git has is there already, the rest is fetched and checked."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from flows.lineage.digest import digest_paths, directory_md5, files_below
from flows.lineage.listing import read_listing
from flows.lineage.lock import LOCK_FILE, Locked
from flows.repository import cache_folder, object_path
from tasks.core.errors import GoodfitError

SHOWN = 20  # inputs in a message
IN_PLACE, FROM_CACHE, FROM_TREE = "read in place", "DVC's cache", "the working tree"


@dataclass(frozen=True)
class Brought:
    """An input that Git does not have, or not in full, and where it came from; all of it is as dvc.lock records."""

    path: str
    origin: str
    files: int


def sources(stages: Mapping[str, Locked], made: Iterable[str]) -> dict[str, str]:
    """The inputs of `stages` that are none of the outputs `made`, nor lie in one, with the MD5 that is recorded."""
    outputs = tuple(made)
    found = {path: md5 for stage in stages.values() for path, md5 in stage.deps.items()}
    return {path: md5 for path, md5 in found.items() if not any(path == out or path.startswith(f"{out}/") for out in outputs)}


def bring_sources(root: Path, clone: Path, wanted: Mapping[str, str]) -> list[Brought]:
    """Complete the inputs `wanted` (path to MD5) in the project `clone` from the original at `root`, and check every one.

    What Git does not have comes from DVC's cache, by the MD5 that is recorded, or else from where it lies in the working tree. A path
    that does not lie below the project's own folders (an absolute one) is read where it is. No file of the commit is replaced.

    Raises:
        GoodfitError: an input is missing or is not what is recorded; all are named, with both digests.
    """
    brought: list[Brought] = []
    wrong: list[str] = []
    for path, md5 in wanted.items():
        found = md5_of(clone, path)
        if PurePosixPath(path).is_absolute():
            brought += [Brought(path, IN_PLACE, sum(1 for _ in files_below(clone, path)))] if found == md5 else []
        elif found != md5 and (found is None or found.endswith(".dir")):
            taken, found = _complete(root, clone, path, md5, found)
            brought += [taken] if taken else []
        if found != md5:
            wrong.append(f"  {path}: {LOCK_FILE} has md5 {md5}, found {f'md5 {found}' if found else 'nothing'}")
    if wrong:
        more = f"\n  and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise GoodfitError(
            "nothing was run: inputs are not those that were recorded:\n"
            + "\n".join(wrong[:SHOWN])
            + more
            + "\nA file of Git's "
            "differs where the commit's code or data is not what its dvc.lock was made from; for other data, `dvc fetch` or `dvc "
            "pull` brings what a remote has, or put them back where they were"
        )
    return brought


def md5_of(root: Path, path: str) -> str | None:
    """What dvc.lock would hold for a path: of the file, or of the folder's listing; None where nothing is there."""
    if (root / path).is_dir():
        return directory_md5(digest_paths(root, [path]), PurePosixPath(path).as_posix())
    return digest_paths(root, [path])[path].md5 if (root / path).is_file() else None


def _complete(root: Path, clone: Path, path: str, md5: str, found: str | None) -> tuple[Brought | None, str | None]:
    """Add the files that are missing; those that were added are removed again where they do not make the input whole.

    Raises:
        GoodfitError: a file would lie outside of the clone's folder: what a commit names may be anybody's.
    """
    around = _around(root, clone)
    for origin, offered in ((FROM_CACHE, _in_cache(root, path, md5)), (FROM_TREE, _in_tree(root, path))):
        added: list[Path] = []
        for name, source in offered():
            target = Path(os.path.realpath(clone / name))  # a committed link may lead anywhere
            if not target.exists() and source.is_file():
                if not target.is_relative_to(around):
                    raise GoodfitError(
                        f"nothing was run: {name}, an input, leads to {target}, outside of the temporary folder, and would be written "
                        "there; expected a path within the repository, or an absolute one, which is read where it is"
                    )
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
                added.append(target)
        found = md5_of(clone, path) if added else found
        if found == md5:
            return Brought(path, origin, len(added)), found
        for file in added:
            file.unlink()
    return None, found


def _around(root: Path, clone: Path) -> Path:
    """The folder that stands for `/`, as deep below which the clone lies as the original: `../images` is in it."""
    original, copied = root.resolve().parts[1:], clone.resolve()
    return copied.parents[len(original) - 1] if original and copied.parts[-len(original) :] == original else copied


def _in_cache(root: Path, path: str, md5: str) -> Callable[[], Iterator[tuple[str, Path]]]:
    cache = cache_folder(root)

    def offered() -> Iterator[tuple[str, Path]]:
        if not md5.endswith(".dir"):
            yield path, object_path(cache, md5)
            return
        for name, file in (read_listing(object_path(cache, md5)) or {}).items():
            yield f"{path}/{name}", object_path(cache, file)

    return offered


def _in_tree(root: Path, path: str) -> Callable[[], Iterator[tuple[str, Path]]]:
    return lambda: ((name, root / name) for name in files_below(root, path) if (root / name).exists())
