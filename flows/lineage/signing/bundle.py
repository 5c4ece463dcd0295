"""Bundle: a record with the files that it names, and a script that checks them with Python's standard library alone."""

import os
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from flows.declaration import read_declarations
from flows.lineage.digest import digest_paths
from flows.lineage.lock import LOCK_FILE, Locked, read_record
from flows.lineage.outputs import require_new
from flows.lineage.reading.source_data import bring_sources, md5_of, sources
from flows.lineage.reproduction.clean_clone import clean_clone, remove
from flows.lineage.reproduction.compare import PAGES, Recorded
from flows.lineage.reproduction.reproduce import committed_file
from flows.lineage.revisions import recorded_commit
from flows.lineage.signing import auditor
from flows.lineage.signing.keys import public_key as read_public_key
from flows.lineage.signing.signature import signature
from tasks.contracts.statement import FOLDER as STATEMENTS
from tasks.contracts.statement import REQUIREMENTS, Statement
from tasks.core.errors import GoodfitError
from tasks.core.settings import load_yaml

SCRIPT, README = "verify.py", "README.md"
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first date that a zip can hold: the same record gives the same bytes
SHOWN = 20
TEXT = """\
# A recorded run of goodfit

`files/` holds the record ({record}){content}. Check it with

    python verify.py {options}

which needs Python 3.9 or newer, and `openssl` 3 or newer for the signature. Take the public key from the signer, not from here.
"""


@dataclass(frozen=True)
class Bundled:
    """What was written."""

    target: Path
    files: int
    size: int  # bytes, before a zip compresses them
    data: bool
    signed: bool


def bundle(
    root: Path, target: Path, revision: str | None = None, *, data: bool = True, public_key: Path | None = None
) -> Bundled:
    """Write the record of the working tree, or of a revision, into the new folder or zip file `target`.

    Args:
        root: the repository.
        target: a name that ends with `.zip` is a zip file.
        revision: a commit, tag, branch or experiment; its files come from Git and from DVC's cache.
        data: include every input and output; else the record, metrics and pages alone.
        public_key: put this key beside the signature.

    Raises:
        GoodfitError: `target` exists or is in the way of what dvc.yaml declares, a recorded file is nowhere to be found, or what was
            put together does not agree with itself.
    """
    require_new(root, target)
    if public_key:
        read_public_key(public_key)
    partial = target.with_name(f".{target.name}.partial")
    if partial.exists():
        remove(partial)
    try:
        with _base(root, revision) as (base, recorded):
            chosen = _chosen(base, recorded, data=data)
            for name, source in chosen.items():
                _copy(source, partial / auditor.FILES / auditor.place(name))
        signed = (partial / auditor.FILES / auditor.SIGNATURE).exists()
        if public_key:
            shutil.copyfile(public_key, partial / auditor.KEY)
        _explain(partial, data=data, signed=signed)
        _require_consistent(partial, data=data, public_key=public_key)
        files = [file for file in sorted(partial.rglob("*")) if file.is_file()]
        done = Bundled(target, len(files), sum(file.stat().st_size for file in files), data, signed)
        _move(partial, target, files)
    finally:
        if partial.exists():
            remove(partial)
    return done


@contextmanager
def _base(root: Path, revision: str | None) -> Iterator[tuple[Path, Recorded]]:
    """Where the files lie that Git has, and where recorded bytes are found."""
    if revision is None:
        yield root, Recorded(root, root / ".dvc/tmp/goodfit/bundle", lambda path: None)
        return
    commit = recorded_commit(root, revision)
    with clean_clone(root, commit) as clone:
        yield clone.root, Recorded(root, clone.folder / "recorded", lambda path: committed_file(root, commit, path))


def _chosen(base: Path, recorded: Recorded, *, data: bool) -> dict[str, Path]:
    """The files of the bundle: path in the repository, and where its bytes are."""
    locked = read_record(base)
    _require_readable(base)
    chosen = {name: base / name for name in sorted(auditor.BESIDE) if (base / name).is_file()}
    _require_own(base, chosen)
    uncached = {out for declared in read_declarations(base).values() for out in declared.uncached}
    lost: list[str] = []
    for entry in locked.values():
        for out, md5 in entry.outs.items():
            if not (data or _always(out, uncached)):
                continue
            for name, file in _output(recorded, out, md5).items():
                if file is None:
                    lost.append(f"  {name}: md5 {md5}")
                else:
                    chosen[name] = file
    chosen |= {name: base / name for name in _beside(chosen) if (base / name).is_file()}
    if data:
        chosen |= _inputs(base, locked, recorded, lost)
    if lost:
        more = f"\n  and {len(lost) - SHOWN} more" if len(lost) > SHOWN else ""
        raise GoodfitError(
            "nothing was bundled: the bytes that dvc.lock records are neither here nor in DVC's cache:\n"
            + "\n".join(lost[:SHOWN])
            + more
            + "\n`dvc fetch` brings what a remote has; --no-data leaves them out"
        )
    return chosen


def _require_own(base: Path, names: Iterable[str]) -> None:
    """No digest in dvc.lock says which bytes these files have: a committed link could hand on any file of this machine."""
    top = Path(os.path.realpath(base))
    for name in names:
        place = Path(os.path.realpath(base / name))
        if place != top / name:
            raise GoodfitError(
                f"nothing was bundled: {name} leads to {place}, whose content would be handed on; expected a file in its place: "
                "put a copy there and commit it"
            )


def _always(out: str, uncached: set[str]) -> bool:
    """What belongs to a record without its data: statements, metrics, pages."""
    return PurePosixPath(out).parent == PurePosixPath(STATEMENTS.as_posix()) or out in uncached or out.endswith(PAGES)


def _beside(chosen: Mapping[str, Path]) -> list[str]:
    """What the chosen statements name and dvc.lock does not list: requirements.lock, and each .dvcignore."""
    names: dict[str, None] = {}
    for name, file in chosen.items():
        if PurePosixPath(name).parent == PurePosixPath(STATEMENTS.as_posix()):
            try:
                statement = Statement.model_validate_json(file.read_bytes())
            except (OSError, ValueError):
                continue  # the script says what is wrong with it before the bundle gets its name
            names |= dict.fromkeys(statement.ignore_files)
            names |= {REQUIREMENTS: None} if statement.requirements else {}
    return list(names)


def _output(recorded: Recorded, out: str, md5: str) -> dict[str, Path | None]:
    if not md5.endswith(".dir"):
        return {out: recorded.file(out, md5)}
    listed = recorded.folder(out, md5)
    return {out: None} if listed is None else {name: recorded.file(name, one) for name, one in listed.items()}


def _inputs(base: Path, locked: Mapping[str, Locked], recorded: Recorded, lost: list[str]) -> dict[str, Path]:
    """The inputs that no stage writes, code and data."""
    wanted = sources(locked, (out for entry in locked.values() for out in entry.outs))
    if recorded.root != base:
        try:
            bring_sources(recorded.root, base, wanted)
        except GoodfitError as error:  # `reproduce` brings them to run them
            raise GoodfitError(f"nothing was bundled: {str(error).removeprefix('nothing was run: ')}") from None
    found: dict[str, Path] = {}
    for path, md5 in wanted.items():
        if md5_of(base, path) == md5:
            found |= {name: base / name for name in digest_paths(base, [path])}
        else:
            lost.append(f"  {path}: md5 {md5}")
    return found


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _require_readable(base: Path) -> None:
    """The script reads dvc.lock by itself, in the part of YAML in which DVC writes it."""
    try:
        same = auditor.read_lock(base / LOCK_FILE) == load_yaml(base / LOCK_FILE)["stages"]
    except auditor.UnreadableError as error:
        raise GoodfitError(f"{error}: `dvc repro` writes it anew") from None
    if not same:
        raise GoodfitError(
            f"{LOCK_FILE} is not written as DVC writes it, and the bundle's script would misread it: `dvc repro`"
        )


def _explain(partial: Path, *, data: bool, signed: bool) -> None:
    shutil.copyfile(str(auditor.__file__), partial / SCRIPT)
    content = ", every input and every output" if data else ", metrics and pages, without the other inputs and outputs"
    record = "dvc.lock, dvc.yaml, params.yaml, the statements" + (", the signature" if signed else "")
    options = "".join([" --public-key KEY.pub" if signed else "", "" if data else " --no-data"]).strip()
    (partial / README).write_text(TEXT.format(record=record, content=content, options=options), encoding="utf-8")


def _require_consistent(partial: Path, *, data: bool, public_key: Path | None) -> None:
    made = auditor.Bundle(partial, data)
    made.check()
    signed = signature(partial / auditor.FILES, [public_key] if public_key else [])
    if public_key and not signed:
        raise GoodfitError(f"nothing was bundled: a key was given, and the record is not signed (no {auditor.SIGNATURE})")
    wrong = [str(one) for one in (*made.wrong, *(signed.wrong if signed else []))]
    if wrong:
        listed = "\n".join(f"  {one}" for one in wrong[:SHOWN])
        raise GoodfitError(
            f"nothing was bundled: the record does not agree with itself:\n{listed}\n`goodfit lineage verify` says more; a signature "
            "that is older than the run has to be made again: `goodfit lineage sign`"
        )


def _move(partial: Path, target: Path, files: list[Path]) -> None:
    if target.suffix != ".zip":
        partial.rename(target)
        return
    zipped = target.with_name(f".{target.name}.zipped")
    try:
        with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                entry = zipfile.ZipInfo(f"{target.stem}/{file.relative_to(partial).as_posix()}", ZIP_EPOCH)
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                with file.open("rb") as source, archive.open(entry, "w", force_zip64=file.stat().st_size > 1 << 30) as copy:
                    shutil.copyfileobj(source, copy, 1 << 20)
        zipped.rename(target)
    finally:
        zipped.unlink(missing_ok=True)
