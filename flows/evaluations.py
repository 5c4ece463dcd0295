"""`goodfit diagnose --evaluations`: how often the validation images were looked at, and what the check `selection` has to be told."""

import json
from io import StringIO
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.lineage.journal import JOURNAL
from flows.lineage.reading.family import UNRECORDED, Family
from flows.parameters.checking import check_params
from tasks.core.settings import PARAMS_FILE, load_yaml
from tasks.diagnostics.catalogue import CHECKS

if TYPE_CHECKING:
    import pandas as pd

CHECK = "selection"
SHOWN = 5  # times of lost runs


def as_text(family: Family, root: Path) -> str:
    """The table of trainings, both totals, what is not seen, and what to set in params.yaml."""
    number, at_most = family.validation_evaluations, "" if family.exact else "at most "
    return "\n".join(
        [
            "Trainings that were evaluated on the validation images of the current one:",
            "",
            _table(family.trainings),
            "",
            f"Validation images: {at_most}{_count(number, 'evaluation')}, one for each epoch.",
            f"Test images: {_count(family.test_evaluations, 'evaluation')}, one for each distinct result of the stage evaluate.",
            *_seen(family),
            "",
            "What this cannot see:",
            *(f"- {sentence}" for sentence in not_seen(family)),
            "",
            advice(family, root),
        ]
    )


def as_json(family: Family, root: Path) -> dict[str, Any]:
    """The same as numbers; `params` is the YAML to set, or None where the check counts enough."""
    return {
        "trainings": json.loads(family.trainings.to_json(orient="records", double_precision=15)),
        "validation_evaluations": family.validation_evaluations,
        "exact": family.exact,
        "test_evaluations": family.test_evaluations,
        "counted_by_the_check": _configured(family, root),
        "not_seen": not_seen(family),
        "params": setting(family, root),
    }


def _seen(family: Family) -> list[str]:
    """A sentence on the trainings that only the journal knows, where there are any."""
    number = int((family.trainings["training"] == UNRECORDED).sum())
    if not number:
        return []
    return [
        f"Not recorded in any commit or experiment: {_count(number, 'training')} that the journal of this folder saw, and whose "
        "statement is still in DVC's cache."
    ]


def not_seen(family: Family) -> list[str]:
    """What may have been evaluated on these images beyond what is counted, in sentences."""
    sentences = [
        "Runs that were neither committed nor kept as an experiment, unless the journal of this folder saw them "
        f"({JOURNAL.as_posix()}); experiments that were removed; older stashes, and commits that no branch or tag leads to.",
        "Runs in other clones, whatever notebooks or other programs evaluated, and on test what the stage compress measured.",
    ]
    if family.lost:
        times = ", ".join(started[:19] for started in family.lost[:SHOWN])
        more = f", and {len(family.lost) - SHOWN} more" if len(family.lost) > SHOWN else ""
        sentences.append(
            f"{_count(len(family.lost), 'run')} of train in this folder, begun at {times}{more} (UTC): no dvc.lock in Git has them, "
            "and DVC's cache no longer holds what they read and wrote. They are not counted."
        )
    if family.uncounted:
        sentences.append(
            f"{_count(family.uncounted, 'recorded training')} whose history is not in DVC's cache and whose parameters state no "
            "train.epochs: `dvc fetch --all-commits` brings the files of a remote."
        )
    if family.failed:
        sentences.append(
            f"{_count(family.failed, 'run')} of train in this folder that failed or were interrupted: the epochs before that are not "
            "counted."
        )
    if family.elsewhere:
        sentences.append(
            f"{_count(family.elsewhere, 'training')} with other validation images, from another seed, fraction, dataset or code of "
            "preprocess: where those images are partly the same, the number is larger."
        )
    if family.unreadable:
        sentences.append(f"What dvc.lock records at {', '.join(family.unreadable)}: it cannot be read there.")
    if family.shallow:
        sentences.append("Commits that this shallow clone lacks: `git fetch --unshallow` brings them.")
    return sentences


def advice(family: Family, root: Path) -> str:
    """Whether the check `selection` counts all of them, and if not, what to set."""
    yaml, configured = setting(family, root), _configured(family, root)
    if yaml is None:
        return f"The check {CHECK} counts {_count(configured or 0, 'evaluation')}: there is nothing to set."
    counts = (
        f"is not among diagnose.checks in {PARAMS_FILE}" if configured is None else f"counts {_count(configured, 'evaluation')}"
    )
    return f"The check {CHECK} {counts}. Set this in {PARAMS_FILE}, so that it counts all that is known:\n\n{yaml}"


def setting(family: Family, root: Path) -> str | None:
    """The YAML with which the check counts all evaluations, beside the checks that run already; None where it does."""
    from ruamel.yaml import YAML

    configured, number = _configured(family, root), family.validation_evaluations
    if number <= (configured or 0):
        return None
    stated = {"name": CHECK, "evaluations": number}
    checks = [{**_named(check), **stated} if _named(check)["name"] == CHECK else check for check in _checks(root)]
    yaml, text = YAML(), StringIO()
    yaml.default_flow_style, yaml.width = True, 10_000  # one line, as params.yaml writes lists
    yaml.dump(checks if configured is not None else [*checks, stated], text)
    return f"diagnose:\n  checks: {text.getvalue().strip()}"


def _configured(family: Family, root: Path) -> int | None:
    """How many evaluations the check counts: as stated, or else the epochs of the current training; None where it does not run."""
    for check in map(_named, _checks(root)):
        if check["name"] == CHECK:
            return max(int(check.get("evaluations") or 0), family.current_epochs or 0)
    return None


def _checks(root: Path) -> list[Any]:
    """`diagnose.checks` as params.yaml states it.

    Raises:
        ParamsError: params.yaml is not valid.
    """
    check_params(root)
    return list(load_yaml(root / PARAMS_FILE).get("diagnose", {}).get("checks", CHECKS))


def _named(check: Any) -> dict[str, Any]:
    return check if isinstance(check, dict) else {"name": check}


def _table(trainings: "pd.DataFrame") -> str:
    import pandas as pd

    rows = [
        (
            name,
            date[:10],
            f"{epochs}" if exact else f"at most {epochs}",
            "" if isnan(accuracy) else f"{accuracy:.4f}",
            f"same results as {repeats}, counted once" if repeats else "",
        )
        for name, date, epochs, exact, accuracy, repeats in trainings.itertuples(index=False, name=None)
    ]
    return pd.DataFrame(rows, columns=["training", "date", "epochs", "best val_accuracy", ""]).to_string(index=False)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
