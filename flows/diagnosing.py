"""What `goodfit diagnose` does: one of four jobs, each of which imports what it alone needs."""

import argparse
import json
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from flows.repository import find_project, require_dvc
from tasks.core.errors import UnknownNameError

if TYPE_CHECKING:
    from tasks.contracts.splits import SplitName

FILES = ("history", "predictions", "test", "train")
FILES_JOB = "the checks on files"
SEED = 0
SPLIT: "SplitName" = "test"
# Options that belong to one job. Their defaults stand here, not in flows/cli.py, where a default cannot be told from what was typed.
OWNERS = {
    "--fail-on": FILES_JOB,
    "--metadata": FILES_JOB,
    "--saved-epoch": FILES_JOB,
    "--seed": FILES_JOB,
    "--pictures": "--label-candidates",
    "--split": "--label-candidates",
    "--pilot-epochs": "--pilot",
}
PARAMETERS = "A name such as train.epochs is a parameter of goodfit's own pipeline: change its counterpart in your code."


def diagnose(options: argparse.Namespace, _: Path) -> int:
    """Run the checks on numbers from files, list suspicious labels, try remedies, or count evaluations.

    Exit code 1 if a flag of --fail-on is raised, or no check could tell.
    """
    files = [f"--{name}" for name in FILES if getattr(options, name)]
    jobs = {"--label-candidates": _label_candidates, "--pilot": _pilot, "--evaluations": _evaluations}
    asked = [name for name in jobs if getattr(options, name[2:].replace("-", "_")) not in (None, False)]
    if len(asked) + bool(files) > 1:
        raise UnknownNameError(f"found {' and '.join([*asked, *files])}; expected one of them: drop it or the others")
    if not asked and not files:
        raise UnknownNameError(
            f"nothing to diagnose; expected {', '.join(f'--{name}' for name in FILES)} with a file, or {', '.join(jobs)}"
        )
    job = asked[0] if asked else FILES_JOB
    for name, owner in OWNERS.items():
        if owner != job and getattr(options, name[2:].replace("-", "_")) not in (None, []):
            raise UnknownNameError(f"{name} is an option of {owner}, not of {job}; drop it")
    return jobs[job](options) if asked else _files(options)


def _files(options: argparse.Namespace) -> int:
    """Run the checks on numbers of anybody's."""
    from flows.flags import check_flags, fails
    from tasks.diagnostics.frames import chosen, diagnose_numbers
    from tasks.diagnostics.numbers import gather
    from tasks.diagnostics.verdict import as_text

    check_flags(options.fail_on)
    numbers = gather(
        options.history,
        options.predictions,
        options.test,
        options.train,
        saved_epoch=options.saved_epoch,
        metadata=options.metadata,
    )
    diagnosis = diagnose_numbers(numbers, chosen(None), seed=options.seed or SEED)
    if options.json:
        print(
            json.dumps({"read": numbers.described(), **json.loads(diagnosis.model_dump_json())}, indent=2, ensure_ascii=False)
        )
    else:
        text = as_text(diagnosis)
        named = ["", PARAMETERS] if re.search(r"\b(train|preprocess)\.[a-z]", text) else []
        print(*numbers.described(), "", text, *named, sep="\n", flush=True)
    return int(fails(options.fail_on, diagnosis))


def _label_candidates(options: argparse.Namespace) -> int:
    """List the most suspicious labels of the last run."""
    from flows.candidates import candidates, write_sheet

    root = find_project()
    table = candidates(root, options.split or SPLIT, options.label_candidates)
    if options.pictures is not None:
        write_sheet(root, table, options.pictures)
    table = table.drop(columns="position")
    if options.json:
        print(table.to_json(orient="records", indent=2))
    else:
        shown = table if table["path"].any() else table.drop(columns="path")
        print(shown.to_string(index=False, float_format="{:.3f}".format))
    return 0


def _pilot(options: argparse.Namespace) -> int:
    """Try the remedies."""
    from flows.pilot import as_json, as_text, run_pilot

    with redirect_stdout(sys.stderr):  # progress, where nobody sees a bar: the result alone goes to standard output
        pilot = run_pilot(find_project(), options.pilot, options.pilot_epochs)
    print(json.dumps(as_json(pilot), indent=2) if options.json else as_text(pilot))
    return 0


def _evaluations(options: argparse.Namespace) -> int:
    """Count what was evaluated on the validation images of the current training."""
    from flows.evaluations import as_json, as_text
    from flows.lineage.reading.family import find_family

    root = find_project()
    require_dvc(root)
    family = find_family(root)
    print(json.dumps(as_json(family, root), indent=2, ensure_ascii=False) if options.json else as_text(family, root))
    return 0
