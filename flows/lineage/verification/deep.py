"""Compute again, from the stored files, what follows from them without training, and compare.

Files, statements and dvc.lock that were forged together agree with each other; numbers that do not follow from the stored predictions,
or predictions that do not follow from the stored model, do not agree with the code. Left out are `download` and the stages that train:
training the model again is a reproduction.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flows.lineage.digest import digest_file, files_below
from flows.lineage.statement import environment
from flows.lineage.variables import fix_threads, threads_are_fixed, variables
from flows.lineage.verification.comparing import EXACT, ROUNDED, Tolerance, differences, values
from flows.lineage.verification.environment import installed
from flows.lineage.verification.outcome import ExitCode, Mismatch, Note
from flows.lineage.verification.subject import Subject
from flows.parameters.checking import COMMAND, stage_params
from flows.repository import PIPELINE_FILE
from flows.sources import compiled
from tasks.contracts.results import CALIBRATION, CONFUSION, EVALUATION, PER_CLASS, PREDICTIONS, read_table
from tasks.contracts.statement import FOLDER as STATEMENTS
from tasks.contracts.statement import Statement
from tasks.core.errors import GoodfitError
from tasks.core.settings import Section

# They fetch, or they train: a result of theirs is found by reproduction.
LEFT_OUT = frozenset({"download", "train", "compress"})
INPUTS, FROM_PREDICTIONS = "the recomputation from the stored inputs", "the recomputation from the stored predictions"
SHOWN = 5  # values of a file
PACKAGE = "tasks"


def check_deep(subject: Subject) -> Iterator[Mismatch]:
    """Every value that computing again gives otherwise.

    Raises:
        GoodfitError: the code of this process is not that of the repository.
    """
    for name in subject.chain:
        statement = subject.statements.get(name)
        if statement is None:
            continue
        if subject.declarations[name].command != f"{COMMAND}{name}":
            yield from _of_another_command(subject, name)
            continue
        if name in LEFT_OUT:
            continue
        tolerance = _tolerance(subject, name, statement)
        try:
            params = stage_params(subject.declarations[name], subject.params)
            if name == "evaluate":
                yield from _from_predictions(subject, params, tolerance)
            yield from _again(subject, name, params, tolerance)
        except Exception as error:  # of any kind: a forged model or table can break the code anywhere
            path = next(iter(subject.declarations[name].outs), name)
            said = str(error) if isinstance(error, GoodfitError) else f"{type(error).__name__}: {error}"
            yield Mismatch(name, path, ExitCode.MISMATCH, f"an error ({said})", "a result", INPUTS)
        _require_same_code(subject.root)


def _of_another_command(subject: Subject, name: str) -> Iterator[Mismatch]:
    """Tell of a stage that this code cannot compute again.

    Another DVC pipeline has commands of its own. In a repository with goodfit's code of the stage, another command lets a forged result
    escape the recomputation.
    """
    own, recorded = f"{COMMAND}{name}", subject.declarations[name].command
    if name not in LEFT_OUT and (subject.root / PACKAGE / f"{name}.py").is_file():
        found = (
            f"{recorded!r}: not computed again; write the command so, or give a stage with a command of its own another name"
        )
        yield Mismatch(name, f"{PIPELINE_FILE}: cmd", ExitCode.MISMATCH, repr(own), found, "goodfit's pipeline")
    else:
        said = f"was not computed again: its command is {recorded!r}, and only that of a goodfit stage, {own!r}, can be"
        subject.notes.append(Note(name, said))


def _tolerance(subject: Subject, name: str, statement: Statement) -> Tolerance:
    """Exact where the environment is that of the run: there the same inputs give the same bits."""
    fixed = _threads_are_fixed(subject)  # before a library is loaded
    stated, now = statement.environment, environment(statement.resolved, {}, computes=_computes(statement.environment))
    other = [key for key, value in stated.items() if key in now and now[key] != value]
    if statement.builder:  # version 1 of the statement did not name the variables
        ran, here = statement.variables, variables()
        other += sorted(key for key in ran.keys() | here.keys() if ran.get(key) != here.get(key))
    other += [package for package, uri in statement.packages.items() if installed(package) != uri.rpartition("@")[2]]
    if not fixed:
        other.append("number of threads")
    if not other:
        return EXACT
    subject.notes.append(
        Note(
            name,
            f"ran with another {', '.join(other)} than this: computed numbers may differ by {ROUNDED.relative:g} of their value",
        )
    )
    return ROUNDED


def _threads_are_fixed(subject: Subject) -> bool:
    """Let libraries compute in as many threads as the stage had, which decides the last bit; only before they are loaded that works."""
    threads = subject.params.get("threads")
    if not isinstance(threads, int):
        return True
    if not subject.fixed and "numpy" not in sys.modules:
        fix_threads(threads)
        subject.fixed = True
    return subject.fixed or threads_are_fixed(threads)


def _computes(stated: dict[str, Any]) -> bool:
    if "cpu_capability" in stated:
        import torch  # noqa: F401 - what it says of the CPU is compared

        return True
    return False


def _again(subject: Subject, name: str, params: Section, tolerance: Tolerance) -> Iterator[Mismatch]:
    """Run the stage's function in a folder in which its inputs are links, and compare what it wrote."""
    declared = subject.declarations[name]
    with TemporaryDirectory(prefix="goodfit-verify-") as folder:
        there = Path(folder)
        for dep in declared.deps:
            if not dep.startswith(("tasks/", "flows/")) and (subject.root / dep).exists():
                (there / dep).parent.mkdir(parents=True, exist_ok=True)
                (there / dep).symlink_to((subject.root / dep).resolve())
        with redirect_stdout(StringIO()), _threads():
            getattr(import_module(f"{PACKAGE}.{name}"), name)(params, there)
        for out in declared.outs:
            if Path(out).parent != STATEMENTS:
                for file in sorted({*_files(there, out), *_files(subject.root, out)}):
                    yield from _compared(subject, name, file, there, tolerance)


def _files(root: Path, out: str) -> Iterable[str]:
    return (file for file in files_below(root, out) if (root / file).is_file())


def _compared(subject: Subject, name: str, file: str, there: Path, tolerance: Tolerance) -> Iterator[Mismatch]:
    """What a file in the folder `there` and the stored one do not have in common."""
    again, stored = both = there / file, subject.root / file
    if not again.is_file() or not stored.is_file():
        made, kept = ("a file" if path.is_file() else "no file" for path in both)
        yield Mismatch(name, file, ExitCode.MISMATCH, made, kept, INPUTS)
        return
    digests = [digest_file(path).sha256 for path in both]
    if digests[0] == digests[1]:
        return
    computed, recorded = values(again), values(stored)
    if computed is None or recorded is None:
        if tolerance is EXACT or computed is not recorded:  # one of them cannot be read
            yield Mismatch(name, file, ExitCode.MISMATCH, f"sha256 {digests[0]}", f"sha256 {digests[1]}", INPUTS)
        else:  # a page of numbers that were rounded otherwise is another page
            said = "was not compared: it was made in another environment, and has no values that could be compared with a tolerance"
            subject.notes.append(Note(file, f"{said}; verify it in the environment of the run"))
        return
    mismatches = list(_mismatches(name, file, (computed, recorded), tolerance, INPUTS))
    yield from mismatches
    if not mismatches and tolerance is EXACT:  # the same values, written in another way
        yield Mismatch(name, file, ExitCode.MISMATCH, f"sha256 {digests[0]}", f"sha256 {digests[1]}", INPUTS)


def _mismatches(
    name: str, file: str, both: tuple[dict[str, Any], dict[str, Any]], tolerance: Tolerance, source: str
) -> Iterator[Mismatch]:
    found = list(differences(*both, tolerance))
    for key, expected, actual in found[:SHOWN]:
        yield Mismatch(name, f"{file}: {key}", ExitCode.MISMATCH, expected, actual, source)
    if len(found) > SHOWN:
        more = f"{len(found) - SHOWN} more values"
        yield Mismatch(name, f"{file}: and {more}", ExitCode.MISMATCH, "others", "these", source)


def _from_predictions(subject: Subject, params: Any, tolerance: Tolerance) -> Iterator[Mismatch]:
    """The metrics and tables of `evaluate`, by its own functions, from the predictions as they are stored."""
    from tasks.contracts.trained import read_description
    from tasks.evaluate import confusion, metrics, per_class, reliability
    from tasks.statistics.calibration import calibration
    from tasks.statistics.intervals import bootstrap_mean
    from tasks.statistics.random import BOOTSTRAP, generator

    root, chosen = subject.root, params.evaluate
    table, classes = read_table(root, PREDICTIONS, "evaluate"), read_description(root).classes
    labels, predicted, losses = (table[name].to_numpy() for name in ("label", "predicted", "loss"))
    probabilities = table[[f"probability_{number}" for number in range(len(classes))]].to_numpy()
    bins = calibration(probabilities.max(axis=1), predicted == labels, chosen.calibration_bins)
    interval = bootstrap_mean(losses, chosen.confidence, chosen.bootstrap_resamples, generator(params.seed, BOOTSTRAP))
    found = metrics(labels, predicted, losses, loss_interval=interval, bins=bins, confidence=chosen.confidence)
    tables = {
        PER_CLASS: per_class(classes, labels, predicted, chosen.confidence),
        CONFUSION: confusion(classes, labels, predicted),
        CALIBRATION: reliability(bins, chosen.confidence),
    }
    again = {EVALUATION: values(found)} | {path: values(computed) for path, computed in tables.items()}
    for path, computed in again.items():
        stored = values(root / path) if (root / path).is_file() else None
        if computed is not None and stored is not None:
            yield from _mismatches("evaluate", path.as_posix(), (computed, stored), tolerance, FROM_PREDICTIONS)


@contextmanager
def _threads() -> Iterator[None]:
    """A stage sets the number of torch's threads for its process; here it is put back."""
    before = sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None
    try:
        yield
    finally:
        if before is not None:
            sys.modules["torch"].set_num_threads(before)


def _require_same_code(root: Path) -> None:
    """Refuse to have computed with other code than that of the repository, whose digests were verified."""
    own = Path(os.path.abspath(str(import_module(PACKAGE).__file__))).parent.parent.resolve()  # noqa: PTH100
    for path, (sha256, _) in compiled.items():
        name = path.relative_to(own) if path.is_relative_to(own) else None
        if name is None or own == root.resolve() or name.parts[0] != PACKAGE:
            continue
        if not (root / name).is_file() or digest_file(root / name).sha256 != sha256:
            raise GoodfitError(
                f"{name.as_posix()}: the code that computed again is that of {own}, not that of the repository {root}; activate that "
                "folder's own .venv, or start it there with `python -m flows.cli`"
            )
