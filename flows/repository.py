"""The folder that goodfit works in: that of dvc.yaml, which is a DVC repository of its own."""

import re
from pathlib import Path

from tasks.core.errors import GoodfitError

PIPELINE_FILE = "dvc.yaml"  # read by flows/declaration.py, whose import takes longer
CACHE = Path(".dvc/cache")
OBJECTS = Path("files/md5")  # below the cache
MD5 = re.compile(r"[0-9a-f]{32}(?:\.dir)?")  # as DVC writes it, a folder's with `.dir` behind it


def find_project() -> Path:
    """The nearest folder, this one or above, with dvc.yaml and .dvc; without one that has both, the nearest with dvc.yaml.

    Raises:
        GoodfitError: there is none.
    """
    here = Path.cwd()
    found = [folder for folder in (here, *here.parents) if (folder / PIPELINE_FILE).exists()]
    for folder in found:
        if (folder / ".dvc").is_dir():
            return folder
    if found:
        return found[0]
    raise GoodfitError(f"no dvc.yaml in {here} or in a folder above it; change to the folder of a project")


def require_project(root: Path) -> None:
    """Refuse a folder that is not that of the pipeline, where a stage would leave files that belong elsewhere.

    DVC's temporary files, which ours stand beside, are those of `root`: in a repository further up they would be others.

    Raises:
        GoodfitError: there is no dvc.yaml here, or DVC's repository begins in a folder above.
    """
    if not (root / PIPELINE_FILE).exists():
        above = next((folder for folder in root.parents if (folder / PIPELINE_FILE).exists()), None)
        cure = f"run this in {above}" if above else f"`git checkout {PIPELINE_FILE}` brings back the committed one"
        raise GoodfitError(f"{root / PIPELINE_FILE} is missing: {cure}")
    above = next((folder for folder in root.parents if (folder / ".dvc").is_dir()), None)
    if above is not None and not (root / ".dvc").is_dir():
        raise GoodfitError(
            f"{root} lies inside the DVC repository {above}; goodfit needs .dvc and dvc.yaml in the same folder: "
            f"run `dvc init --subdir` in {root}, which makes it a repository of its own within the same Git repository"
        )


def require_dvc(root: Path) -> None:
    """Refuse a folder in which DVC would not work.

    Raises:
        GoodfitError: it is no DVC repository, or no Git repository; the message has the command that makes it one.
    """
    require_project(root)
    above = (root, *root.parents)
    in_git = any((folder / ".git").exists() for folder in above)
    if not (root / ".dvc").is_dir():
        fix = "`dvc init`" if in_git else "`git init` and then `dvc init`"
        raise GoodfitError(f"{root} is not a DVC repository; run {fix} there")
    if not in_git and not _is_without_git(root):
        raise GoodfitError(
            f"{root} is not a Git repository; run `git init` there, or `dvc config core.no_scm true` to use DVC without Git"
        )


def _is_without_git(root: Path) -> bool:
    files = [root / ".dvc" / name for name in ("config", "config.local")]
    return any("no_scm = true" in file.read_text(encoding="utf-8").lower() for file in files if file.is_file())


def cache_folder(root: Path) -> Path:
    """Where DVC's cache is: `dvc cache dir` may have moved it out of the repository.

    DVC's configuration says so without opening its databases, which may be damaged.
    """
    from dvc.config import Config

    return Path(Config(str(root / ".dvc"))["cache"].get("dir") or root / CACHE)


def object_path(cache: Path, md5: str) -> Path:
    """Where DVC's cache keeps the file with this MD5.

    Raises:
        GoodfitError: it is no MD5; such a text from a record could name a file anywhere.
    """
    if not MD5.fullmatch(md5):
        raise GoodfitError(
            f"found {md5!r} as the MD5 of a file; expected 32 hexadecimal digits, and for a folder `.dir` after them: neither DVC nor "
            "goodfit wrote this record; restore it from a commit that you trust"
        )
    return cache / OBJECTS / md5[:2] / md5[2:]
