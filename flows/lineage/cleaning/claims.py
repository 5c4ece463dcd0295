"""What an object of the cache was: its names, and what would lose its proof without it.

Nothing reaches the object any more; what is left to say so is what Git has not thrown away yet, DVC's run-cache, statements, and lists
of folders.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.lineage.blobs import contents
from flows.lineage.cleaning.reached import TOKEN, is_statement, unreachable_commits, versions
from flows.lineage.listing import read_listing
from flows.lineage.lock import LockFileError, parse_lock
from tasks.contracts.statement import FOLDER, Statement
from tasks.core.errors import ParamsError
from tasks.core.settings import load_yaml

STAGE = re.compile(r"python -m flows\.stage ([\w.-]+)")


@dataclass(frozen=True, order=True)
class Claim:
    """That a stage wrote an output, and who still says so."""

    stage: str
    output: str
    by: str  # "commit 1a2b3c4, which nothing leads to any more", "DVC's run-cache", "a statement in DVC's cache"


def claims(
    root: Path, cache: Path, unreached: Mapping[str, Path], *, reflogs: bool
) -> tuple[dict[str, set[str]], dict[str, set[Claim]]]:
    """The names of unreached objects, and the claims that rest on them, each by MD5."""
    names: dict[str, set[str]] = defaultdict(set)
    found: dict[str, set[Claim]] = defaultdict(set)
    for claim, md5 in (*_of_commits(root, reflogs), *_of_runs(cache, unreached), *_of_statements(unreached)):
        if md5 in unreached:
            names[md5].add(claim.output)
            found[md5].add(claim)
    for md5, file in unreached.items():
        if md5.endswith(".dir"):
            for name, member in (read_listing(file) or {}).items():
                names[member] |= {f"{folder}/{name}" for folder in names[md5] or {f"a folder ({md5[:8]}…)"}}
                found[member] |= found[md5]
    return names, found


def _of_commits(root: Path, reflogs: bool) -> Iterator[tuple[Claim, str]]:
    blobs = versions(root, "\n".join(unreachable_commits(root, reflogs=reflogs)))
    for blob, content in contents(root, blobs):
        try:
            stages = parse_lock(content.decode(errors="replace"))
        except LockFileError:  # a .dvc file, or a lock that a conflict left
            continue
        for name, entry in stages.items():
            for path, md5 in entry.outs.items():
                yield Claim(name, path, f"commit {blobs[blob][:7]}, which nothing leads to any more"), md5


def _of_runs(cache: Path, unreached: Mapping[str, Path]) -> Iterator[tuple[Claim, str]]:
    for entry in sorted((cache / "runs").glob("*/*/*")):
        if not entry.is_file() or not any(token.decode() in unreached for token in TOKEN.findall(entry.read_bytes())):
            continue
        try:
            run = load_yaml(entry)
        except ParamsError:
            continue
        for path, md5 in _outs(run):
            yield Claim(_stage(str(run.get("cmd"))), path, "DVC's run-cache"), md5


def _outs(run: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    outs = run.get("outs")
    for out in outs if isinstance(outs, list) else []:
        if isinstance(out, dict) and isinstance(out.get("path"), str) and isinstance(out.get("md5"), str):
            yield out["path"], out["md5"]


def _stage(command: str) -> str:
    match = STAGE.fullmatch(command)
    return match[1] if match else command


def _of_statements(unreached: Mapping[str, Path]) -> Iterator[tuple[Claim, str]]:
    for md5, file in unreached.items():
        if md5.endswith(".dir") or not is_statement(file):
            continue
        try:
            statement = Statement.model_validate_json(file.read_bytes())
        except ValueError:
            continue
        yield Claim(statement.stage, f"{FOLDER}/{statement.stage}.json", "a statement in DVC's cache"), md5
        for path, digest in statement.outputs.items():
            yield Claim(statement.stage, path, "a statement in DVC's cache"), digest.md5
