"""`goodfit lineage verify`: every byte is hashed again."""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.lineage.arguments import given, given_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from flows.lineage.verify import Verification

TEXT = (
    "Hash every file again and compare with the record.\n\n"
    "The outputs, their inputs back to the raw data, and DVC's copies of them are compared with the statements, dvc.lock and\n"
    "dvc.yaml. The result is `proven` if a commit or a signature, which the first line names, pins dvc.lock, and otherwise\n"
    "`consistent`.\n\n"
    "exit codes: 0 consistent or proven, 1 mismatch, 2 missing (also a usage error), 3 no statement, 4 could not be checked"
)
EXAMPLE = "  goodfit lineage verify report/index.html --deep"
FAILURE = 4  # 1 is a mismatch
LINES = 20  # on the terminal: where a folder is gone, each of its files is a mismatch
SHOW_AFTER_SECONDS = 2.0


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("path", metavar="PATH", nargs="?", type=given, help="a file that a stage writes (default: everything)")
    command.add_argument(
        "--rev",
        metavar="REV",
        type=given,
        help="verify a commit, a tag or an experiment instead: its files from Git and from DVC's cache",
    )
    command.add_argument("--no-cache", dest="cache", action="store_false", help="leave out DVC's cache and run-cache")
    command.add_argument(
        "--deep",
        action="store_true",
        help="recompute what follows from the stored files without training: splits, predictions, metrics, diagnosis, report",
    )
    command.add_argument(
        "--environment",
        action="store_true",
        help="compare the installed packages with what the statements, requirements.lock and the packages' own lists of files say",
    )
    command.add_argument(
        "--public-key",
        metavar="KEY",
        type=given_path,
        action="append",
        default=[],
        help="this key must have signed the record (`goodfit lineage sign`); may be repeated",
    )
    command.add_argument("--json", action="store_true", help="print JSON")


def call(options: argparse.Namespace, root: Path) -> int:
    """Verify a file, or everything; the exit code is the gravest of what was found."""
    from flows.lineage.paths import output_path, relative_path
    from flows.lineage.verify import Checks, verify

    checks = Checks(
        cache=options.cache, deep=options.deep, environment=options.environment, public_keys=tuple(options.public_key)
    )
    with nullcontext() if options.deep else _uncollected(), _progress() as advance:
        if options.rev is not None:
            from flows.lineage.verification.revision import verify_revision

            path = relative_path(options.path, root) if options.path is not None else None
            result = verify_revision(root, options.rev, path, checks, advance)
        else:
            path = output_path(options.path, root) if options.path is not None else None
            result = verify(root, path, checks, advance)
    if options.json:
        print(json.dumps(as_json(result), indent=2))
    else:
        _print(result)
    return result.exit_code


def as_json(result: "Verification") -> dict[str, Any]:
    """All of it."""
    return {
        "outcome": result.outcome,
        "results": result.results,
        "anchors": [vars(anchor) for anchor in result.anchors],
        "unanchored": result.unanchored,
        "stages": result.stages,
        "files": result.files,
        "bytes": result.bytes,
        "mismatches": [vars(mismatch) | {"kind": mismatch.kind.name.lower()} for mismatch in result.mismatches],
        "notes": [vars(note) for note in result.notes],
    }


def _print(result: "Verification") -> None:
    from flows.lineage.printed import escaped

    print(escaped(summary(result)), flush=True)
    for mismatch in result.mismatches[:LINES]:
        print(mismatch, file=sys.stderr)
    if len(result.mismatches) > LINES:
        print(f"and {len(result.mismatches) - LINES} more; --json lists them all", file=sys.stderr, flush=True)
    for note in result.notes[:LINES]:
        print(f"note: {note}")
    if len(result.notes) > LINES:
        print(f"and {len(result.notes) - LINES} more notes; --json lists them all")
    if result.outcome == "consistent":
        print(
            "note: not proven: who can write here can forge outputs, statements and dvc.lock together. What finds that: dvc.lock in a "
            "commit that others have, better a signed one; metrics and predictions, `--deep`; a model, training it again from a clone"
        )


def summary(result: "Verification") -> str:
    """The first line: outcome, verdict and metrics, what holds the record fast, how much was read."""
    from flows.lineage.printed import file_size

    stages = f"{len(result.stages)} stage{'' if len(result.stages) == 1 else 's'}"
    read = f"{result.files} files of {stages} hashed again ({file_size(result.bytes)})"
    wrong = len({mismatch.path for mismatch in result.mismatches})
    if wrong:
        read = f"{wrong} {'item does' if wrong == 1 else 'items do'} not match what was recorded: {read}"
    lock = "; ".join(f"dvc.lock is that of {anchor.text}" for anchor in result.anchors) or result.unanchored
    return f"{result.outcome.replace('_', ' ')}: " + "; ".join(filter(None, [result.results, read, lock]))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Python looks for cycles whenever many objects were made: with 100,000 files a fifth of the time, and there are none.

    Not where torch computes, whose cycles hold large arrays. What is there at the end is not looked through either: the process ends.
    """
    import gc

    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def _progress() -> "Iterator[Callable[[int, int], object] | None]":
    """A bar of bytes on a terminal, where it takes longer than two seconds."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    with tqdm(desc="verify", unit="B", unit_scale=True, delay=SHOW_AFTER_SECONDS, leave=False, dynamic_ncols=True) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield advance
