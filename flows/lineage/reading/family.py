"""The trainings that were evaluated on the same validation images: the family that the best one was chosen from.

This is a command's and not the stage's: the output of `diagnose` has to follow from its inputs alone, so that the same inputs give the
same bytes, and the history of a repository is no input of it.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flows.lineage.history import WORKING_TREE, Snapshot, read_history
from flows.lineage.journal import read_journal
from flows.lineage.lock import LOCK_FILE, Locked, read_lock
from flows.lineage.objects import Objects
from flows.lineage.statement import flat
from tasks.contracts.results import PREDICTIONS
from tasks.contracts.splits import FOLDER
from tasks.contracts.statement import Statement
from tasks.contracts.trained import HISTORY
from tasks.core.errors import GoodfitError

if TYPE_CHECKING:
    import pandas as pd

TRAIN, EVALUATE, PREPROCESS = "train", "evaluate", "preprocess"
VAL, TEST = ((FOLDER / f"{name}.safetensors").as_posix() for name in ("val", "test"))
UNRECORDED = "not recorded"
COLUMNS = ("training", "date", "epochs", "exact", "best_val_accuracy", "repeats")
ANSWERS = {TRAIN: HISTORY.as_posix(), EVALUATE: PREDICTIONS.as_posix()}  # what a stage found on the images it evaluated
Cached = Callable[[str | None], str | None]  # the text of an object in DVC's cache by its MD5, or None


@dataclass(frozen=True)
class Family:
    """What was evaluated on the validation images of the current training, and on its test images, as far as there is a record.

    `trainings` has a row for each training, the oldest first; the working tree's comes after those of commits and experiments, and what
    only the journal knows comes last:

    - `training`: the commit or experiment that recorded it first, "working tree" or "not recorded"; `date`: ISO 8601, or empty
    - `epochs`, and `exact`: whether there were so many, and not only at most
    - `best_val_accuracy`: the highest of its epochs, a fraction; NaN where DVC's cache lacks its history
    - `repeats`: the training of a row above whose history is the same bit for bit, or empty
    """

    trainings: "pd.DataFrame"
    test_evaluations: int  # distinct predictions of the stage `evaluate` on the current test images
    current_epochs: int
    elsewhere: int  # recorded trainings with other validation images
    lost: list[str]  # the times at which runs of `train` began that only the journal of this folder knows
    uncounted: int  # recorded trainings whose epochs nothing says
    failed: int  # runs of `train` in this folder that failed or were interrupted
    unreadable: list[str]  # commits whose dvc.lock is not what DVC writes
    shallow: bool

    @property
    def validation_evaluations(self) -> int:
        """Epochs of all trainings. One that repeats another is left out: equal answers offer nothing to choose from.

        Trainings that only begin alike, such as those with more and fewer epochs, count in full.
        """
        return int(self.trainings["epochs"][self.trainings["repeats"] == ""].sum())

    @property
    def exact(self) -> bool:
        return bool(self.trainings["exact"].all())


def find_family(root: Path) -> Family:
    """Collect the family from Git's history, DVC's experiments, the working tree and this folder's journal.

    Trainings differ where their outputs, parameters or inputs do; the images are the same where the MD5 of the processed split is.
    Epochs are the rows of a training's history with a validation accuracy, or, where DVC's cache lacks it, `train.epochs`, which early
    stopping may not have used up.

    Raises:
        GoodfitError: there is no Git repository, or the current dvc.lock records no training with validation images, or not how many
            epochs it had.
    """
    stages = (PREPROCESS, TRAIN, EVALUATE)
    now, history = read_lock(root, stages), read_history(root, stages)
    val = now[TRAIN].deps.get(VAL) if TRAIN in now else None
    if val is None:
        raise GoodfitError(
            f"{LOCK_FILE} records no training that reads {VAL}, so that no validation images are the current ones: "
            "`dvc repro train` or `goodfit run train`"
        )
    tested = now[EVALUATE].deps if EVALUATE in now else now[PREPROCESS].outs if PREPROCESS in now else {}
    cached = Objects(root).text
    recorded = [*history.snapshots, Snapshot(WORKING_TREE, "", now)]
    unrecorded, lost = _unrecorded(root, recorded, cached)
    snapshots = [*recorded, *unrecorded]
    current = _epochs(now[TRAIN], cached)
    if current is None:
        raise GoodfitError(
            f"the current training has no {HISTORY.as_posix()} in DVC's cache and states no train.epochs, so that its epochs cannot be "
            "counted: `dvc repro train` or `goodfit run train`"
        )
    on_these = [one for one in _entries(snapshots, TRAIN) if val in one.deps.values()]
    return Family(
        trainings=trainings(snapshots, val, cached),
        test_evaluations=len(
            {_answers(EVALUATE, one) for one in _entries(snapshots, EVALUATE) if tested.get(TEST) in one.deps.values()}
        ),
        current_epochs=current[0],
        elsewhere=len({_identity(one) for one in _entries(snapshots, TRAIN) if val not in one.deps.values()}),
        lost=lost,
        uncounted=len({_identity(one) for one in on_these if _epochs(one, cached) is None}),
        failed=sum(line["stage"] == TRAIN and line["outcome"] == "failed" for line in read_journal(root)),
        unreadable=history.unreadable,
        shallow=history.shallow,
    )


def trainings(snapshots: Iterable[Snapshot], val: str, cached: Cached) -> "pd.DataFrame":
    """The rows of `Family.trainings`: the snapshots whose training read a file with the MD5 `val`, and of which something says how
    many epochs they had.
    """
    import pandas as pd

    rows: dict[str, tuple[object, ...]] = {}
    first: dict[str, str] = {}  # by its answers
    for snapshot in snapshots:
        locked = snapshot.stages.get(TRAIN)
        if locked is None or val not in locked.deps.values() or _identity(locked) in rows:
            continue
        epochs = _epochs(locked, cached)
        if epochs is None:
            continue
        answers = _answers(TRAIN, locked)
        repeats = first.get(answers, "")
        first.setdefault(answers, snapshot.name)
        rows[_identity(locked)] = (snapshot.name, snapshot.date, *epochs, repeats)
    return pd.DataFrame(list(rows.values()), columns=list(COLUMNS))


def _entries(snapshots: Iterable[Snapshot], stage: str) -> Iterator[Locked]:
    return (snapshot.stages[stage] for snapshot in snapshots if stage in snapshot.stages)


def _identity(locked: Locked) -> str:
    return json.dumps([locked.outs, locked.deps, locked.params], sort_keys=True, default=str)


def _answers(stage: str, locked: Locked) -> str:
    """The same for runs that found the same on every image; other outputs differ with every edit of the code that writes them."""
    return locked.outs.get(ANSWERS[stage]) or _identity(locked)


def _epochs(locked: Locked, cached: Cached) -> tuple[int, bool, float] | None:
    """Epochs that validation looked at, whether that is exact, and the highest validation accuracy among them.

    None where neither a history nor `train.epochs` says how many.
    """
    accuracies = _accuracies(cached(locked.outs.get(HISTORY.as_posix())))
    if accuracies is not None:
        return len(accuracies), True, max(accuracies, default=float("nan"))
    stated = flat(locked.params).get("train.epochs")
    return (stated, False, float("nan")) if isinstance(stated, int) else None


def _accuracies(history: str | None) -> list[float] | None:
    """The validation accuracy of each epoch that has one; None where this is not a history."""
    if not history:
        return None
    try:
        return [float(line["val_accuracy"]) for line in csv.DictReader(history.splitlines()) if line["val_accuracy"]]
    except (KeyError, ValueError):
        return None


def _unrecorded(root: Path, recorded: Iterable[Snapshot], cached: Cached) -> tuple[list[Snapshot], list[str]]:
    """The runs that the journal saw in this folder and no dvc.lock has: those whose statement is in DVC's cache, and the others.

    The others are known by the time when they began; only trainings are among them.
    """
    known = {md5 for snapshot in recorded for locked in snapshot.stages.values() for md5 in locked.outs.values()}
    found, lost = [], []
    for line in read_journal(root):
        stage, md5 = line["stage"], line.get("statement_md5")
        if stage not in (TRAIN, EVALUATE) or not md5 or md5 in known:  # a run that failed has no statement
            continue
        known.add(md5)
        locked = _from_statement(cached(md5))
        if locked is not None:
            found.append(Snapshot(UNRECORDED, line["started"], {stage: locked}))
        elif stage == TRAIN:
            lost.append(line["started"])
    return found, lost


def _from_statement(text: str | None) -> Locked | None:
    """The entry that dvc.lock would have, without the statement itself; None where this is not a statement."""
    try:
        statement = Statement.model_validate_json(text or "")
    except ValueError:
        return None
    deps, outs = ({path: digest.md5 for path, digest in files.items()} for files in (statement.inputs, statement.outputs))
    return Locked(statement.command, deps, outs, statement.params)
