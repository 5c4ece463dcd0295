"""The `goodfit` command."""

import argparse
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

from tasks.core.errors import GoodfitError


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"goodfit {version('goodfit')}")
        parser.exit()


def parser() -> argparse.ArgumentParser:
    goodfit = argparse.ArgumentParser(
        prog="goodfit", description="A PyTorch training pipeline for people who must trust their models."
    )
    goodfit.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = goodfit.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run the pipeline as a Prefect flow: only what changed")
    run.add_argument("stages", nargs="*", metavar="STAGE", help="these stages and what they depend on (default: all)")
    run.add_argument("-f", "--force", action="store_true", help="run them though nothing changed")
    run.add_argument(
        "-S", "--set-param", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="change params.yaml first"
    )
    run.set_defaults(call=_run)

    use = commands.add_parser("use", help="put a recipe into params.yaml")
    use.add_argument("name", metavar="NAME", nargs="?", help="a file of recipes/ without its ending (default: list them)")
    use.add_argument("-f", "--force", action="store_true", help="overwrite changes that are not committed")
    use.set_defaults(call=_use)

    verdict = commands.add_parser("verdict", help="the diagnosis in one sentence; exit 1 where it is out of date")
    verdict.set_defaults(call=_verdict)

    lineage = commands.add_parser("lineage", help="where a number comes from, and the proof")
    verbs = lineage.add_subparsers(dest="verb", required=True, metavar="VERB")
    show = verbs.add_parser("show", help="the tree from a file back to raw data, code, parameters and environment")
    show.add_argument(
        "path", metavar="PATH", nargs="?", default="report/index.html", help="a file that a stage writes (default: the report)"
    )
    show.add_argument("--json", action="store_true", help="as JSON, with whole digests")
    show.set_defaults(call=_show)
    verify = verbs.add_parser(
        "verify", help="hash everything again: exit 0 proven, 1 mismatch, 2 missing, 3 no statement, 4 not checked"
    )
    verify.add_argument("path", metavar="PATH", nargs="?", help="a file that a stage writes (default: everything)")
    verify.add_argument("--json", action="store_true", help="as JSON")
    verify.set_defaults(call=_verify)
    return goodfit


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 for done, 1 with a message for a failure (`lineage verify` has its own), 2 for a wrong call."""
    options = parser().parse_args(arguments)
    try:
        code = int(options.call(options, repository()))
        sys.stdout.flush()
    except BrokenPipeError:  # `goodfit lineage show | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's own last flush
        return 141  # as of a program that SIGPIPE ended
    except (GoodfitError, OSError) as error:
        from flows.lineage.verify import ExitCode

        print(f"error: {error}", file=sys.stderr)
        return ExitCode.NOT_CHECKED if options.call is _verify else 1  # of `lineage verify` 1 is a mismatch
    return code


def repository() -> Path:
    """The folder of dvc.yaml: this one or the nearest above.

    Raises:
        GoodfitError: there is none.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").exists():
            return folder
    raise GoodfitError(f"no dvc.yaml in {here} or above; go to a goodfit project")


def _run(options: argparse.Namespace, root: Path) -> int:
    from flows.terminal import run

    os.chdir(root)  # the flow's tasks work where it was started, as a worker's do
    return run(stages=options.stages or None, force=options.force, overrides=options.overrides)


def _use(options: argparse.Namespace, root: Path) -> int:
    from flows.recipes import recipe_names, use_recipe

    if options.name is None:
        print("\n".join(recipe_names(root)))
        return 0
    use_recipe(options.name, root, force=options.force)
    print(f"params.yaml is now recipes/{options.name}.yaml; `dvc repro` or `goodfit run` runs what that changes")
    return 0


def _verdict(_: argparse.Namespace, root: Path) -> int:
    from flows.lineage.verify import ExitCode, verify
    from tasks.contracts.findings import DIAGNOSIS, read_diagnosis

    diagnosis = read_diagnosis(root)
    print(f"\nVerdict: {diagnosis.verdict}\n{diagnosis.headline}\nRead on: report/index.html", flush=True)
    mismatches = verify(root, DIAGNOSIS.as_posix()).mismatches
    if mismatches:
        first = min(mismatches, key=lambda mismatch: mismatch.kind)
        known = (
            "this verdict is out of date" if first.kind is ExitCode.MISMATCH else "whether this is up to date cannot be told"
        )
        print(f"error: {known}: {first}", file=sys.stderr)
    return int(len(mismatches) > 0)


def _show(options: argparse.Namespace, root: Path) -> int:
    from flows.lineage.show import render, show

    node = show(root, _relative(options.path, root))
    if options.json:
        print(json.dumps(node, indent=2))
    else:
        from rich.console import Console

        console = Console(highlight=False)
        with console.capture() as captured:
            console.print(render(node), width=None if console.is_terminal else 400)  # a pipe's reader wants whole lines
        print(captured.get(), end="")
    return 0


def _verify(options: argparse.Namespace, root: Path) -> int:
    from flows.lineage.verify import verify

    result = verify(root, _relative(options.path, root) if options.path else None)
    if options.json:
        mismatches = [vars(mismatch) | {"kind": mismatch.kind.name.lower()} for mismatch in result.mismatches]
        summary = {
            "outcome": result.exit_code.name.lower(),
            "stages": result.stages,
            "files": result.files,
            "mismatches": mismatches,
        }
        print(json.dumps(summary, indent=2))
        return result.exit_code
    for mismatch in result.mismatches:
        print(mismatch, file=sys.stderr)
    print(
        f"{result.exit_code.name.lower().replace('_', ' ')}: {result.files} files of {len(result.stages)} stages hashed again"
    )
    return result.exit_code


def _relative(path: str, root: Path) -> str:
    """A path as dvc.yaml writes it, from one as the user wrote it."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() follows a link into DVC's cache
    outside = not absolute.is_relative_to(root)
    found = absolute.parent.resolve() / absolute.name if outside else absolute  # the project may be reached through a link
    return found.relative_to(root).as_posix() if found.is_relative_to(root) else path


if __name__ == "__main__":
    sys.exit(main())
