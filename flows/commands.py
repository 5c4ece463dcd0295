"""What each `goodfit` command does; flows/cli.py has their words. What a command needs is imported by it alone."""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.repository import require_dvc
from tasks.core.errors import ArtifactError, GoodfitError

PREDICTION_FORMATS = ("csv", "json", "parquet")
PLAN_LINES = 5  # of the changes of a stage; a fresh clone has many


def run(options: argparse.Namespace, root: Path) -> int:
    """Run the flow, or show what it would do."""
    require_dvc(root)
    os.chdir(root)  # the flow's tasks work where it was started, as a worker's do
    if options.dry_run:
        return _show_plan(options, root)
    from flows.terminal import run as run_in_terminal

    def load() -> Any:
        from flows.training import training

        return training

    return run_in_terminal(load, stages=options.stages or None, force=options.force, overrides=options.overrides)


def _show_plan(options: argparse.Namespace, root: Path) -> int:
    from flows.plan import plan
    from flows.selection import check_request

    check_request(root, options.stages, options.overrides)
    planned = plan(root, options.stages, options.force, options.overrides)
    width = max((len(stage.name) for stage in planned), default=0)
    for stage in planned:
        print(f"{stage.name:<{width}}  {stage}")
        for line in _at_most([str(cause) for cause in stage.causes], PLAN_LINES):
            print(f"{'':<{width}}    {line}")
    return 0


def _at_most(lines: list[str], number: int) -> list[str]:
    return lines if len(lines) <= number else [*lines[: number - 1], f"and {len(lines) - number + 1} more changes"]


def use(options: argparse.Namespace, root: Path) -> int:
    """Write a recipe into params.yaml, or list the recipes."""
    from flows.parameters.recipes import describe_recipe, recipe_names, use_recipe

    if options.name is None:
        if not recipe_names(root):
            raise GoodfitError(f"there are no recipes: {root / 'recipes'} holds no .yaml file")
        _print_columns({name: describe_recipe(name, root) for name in recipe_names(root)})
        return 0
    use_recipe(options.name, root, force=options.force)
    print(f"params.yaml now holds the recipe {options.name}; run the pipeline with `dvc repro` or `goodfit run`")
    return 0


def list_components(options: argparse.Namespace, root: Path) -> int:
    """List the components of every folder, or of one."""
    from flows.parameters.catalogue import catalogue

    found = catalogue(root, options.kind)
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    for kind, components in found.items():
        print(kind)
        for component in components:
            print(f"  {component['name']}: {component['description']}")
            if component["options"]:
                print("      " + ", ".join(_options(component)))
        print()
    return 0


def check(_: argparse.Namespace, root: Path) -> int:
    """Check params.yaml, dvc.yaml and that the user's own data are there, without DVC."""
    from flows.declaration import read_declarations
    from flows.parameters.checking import own_stages
    from flows.selection import check_overrides

    if own_stages(root):
        check_overrides(root, [])
        read_declarations(root)
        print("params.yaml and dvc.yaml are valid")
    else:
        print("no stage of dvc.yaml is one of goodfit's: there are no parameters to check")
    return 0


def verdict(options: argparse.Namespace, root: Path) -> int:
    """Show the verdict; exit code 1 if it is out of date, or a flag of --fail-on is raised or has no answer."""
    from flows.flags import check_flags, fails
    from flows.parameters.checking import own_stages
    from tasks.contracts.findings import read_diagnosis

    if "diagnose" not in own_stages(root):
        raise GoodfitError("this pipeline has no stage `diagnose` of goodfit, so there is no verdict")
    try:
        diagnosis = read_diagnosis(root)
    except ArtifactError as error:
        raise GoodfitError(f"{error}: `dvc repro diagnose` or `goodfit run diagnose`") from None
    check_flags(options.fail_on)
    problems = _out_of_date(root)
    if options.json:
        print(json.dumps(_as_json(diagnosis, problems), indent=2))
    else:
        print(f"\nVerdict: {diagnosis.verdict.replace('_', ' ')}\n{diagnosis.headline}\nReport: report/index.html", flush=True)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    failed = fails(options.fail_on, diagnosis)
    return int(bool(problems) or failed)


def _out_of_date(root: Path) -> list[str]:
    """Why the verdict cannot be relied on: it belongs to other inputs, or dvc.lock does not record what the stages sealed."""
    from flows.lineage.journal import last_failure
    from flows.lineage.record import check_record
    from flows.lineage.verify import Checks, ExitCode, verify
    from tasks.contracts.findings import DIAGNOSIS

    problems = check_record(root)
    mismatches = verify(root, DIAGNOSIS.as_posix(), Checks(cache=False)).mismatches
    if mismatches:
        first = min(mismatches, key=lambda mismatch: mismatch.kind)
        mismatched = first.kind is ExitCode.MISMATCH
        problems.append(f"{'this verdict is out of date' if mismatched else 'this verdict cannot be checked'}: {first}")
        problems = [*filter(None, [last_failure(root)]), *problems]
    return problems


def _as_json(diagnosis: Any, problems: list[str]) -> Mapping[str, Any]:
    return {
        "verdict": diagnosis.verdict,
        "headline": diagnosis.headline,
        "flags": diagnosis.flags,
        "checks": {finding.code: finding.status for finding in diagnosis.findings},
        "up_to_date": not problems,
        "problems": problems,
    }


def predict(options: argparse.Namespace, _: Path) -> int:
    """Classify image files with the model of a folder."""
    from flows.prediction import find_model, write_predictions
    from tasks.core.progress import Progress
    from tasks.learning.prediction import image_files, predict_files

    model, paths = find_model([Path(path) for path in options.paths])
    kind = options.format or _kind_of(options.output)
    if options.output is None:
        if kind == "parquet" and sys.stdout.isatty():
            raise GoodfitError("parquet is not text; name a file for it with --output, or send standard output to one")
        table = predict_files(model, paths, calibrated=options.calibrated, threads=options.threads)
    else:
        with Progress("predict", len(image_files(paths)), "image") as progress:
            table = predict_files(
                model, paths, calibrated=options.calibrated, threads=options.threads, advance=progress.advance
            )
    write_predictions(table, kind, options.output)
    return 0


def _kind_of(output: Path | None) -> str:
    kind = output.suffix.removeprefix(".").lower() if output else "csv"
    if kind not in PREDICTION_FORMATS:
        raise GoodfitError(f"{output} does not end in .csv, .json or .parquet; say with --format what to write")
    return kind


def doctor(_: argparse.Namespace, root: Path) -> int:
    """Repair what killed runs left behind, and say what was done."""
    from flows.doctor import mend
    from flows.parameters.temporary import recover_params

    require_dvc(root)
    lines = [*filter(None, [recover_params(root)]), *mend(root)]
    print("\n".join(lines) or "nothing to repair")
    return 0


def schema(_: argparse.Namespace, root: Path) -> int:
    """Print the JSON schema of params.yaml."""
    from flows.parameters.schema import params_schema

    print(json.dumps(params_schema(root), indent=2))
    return 0


def _print_columns(rows: Mapping[str, str]) -> None:
    width = max(map(len, rows), default=0)
    for name, text in rows.items():
        print(f"{name:<{width}}  {text}".rstrip())


def _options(component: Mapping[str, Any]) -> list[str]:
    required = component["required"]
    return [
        f"{key} (required)" if key in required else f"{key}={json.dumps(value)}" for key, value in component["options"].items()
    ]
