"""The `goodfit` command: its words and options. What each command does stands in flows/commands.py."""

import argparse
import os
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, TypeAlias

from flows import commands, diagnosing
from flows.lineage import verbs
from flows.lineage.arguments import given, given_path
from flows.lineage.printed import escaped_lines
from flows.repository import find_project
from tasks.core.errors import GoodfitError, UnknownNameError

USAGE_ERROR = 2
SHELLS = ("bash", "zsh", "tcsh")


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"goodfit {version('goodfit')}")
        parser.exit()


class _Parser(argparse.ArgumentParser):
    """Refuses `--option=--`: argparse would hand over an empty list in place of the value, unchecked."""

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        if action.option_strings and "--" in arg_strings:
            raise argparse.ArgumentError(action, "found '--', which only separates options from names; expected a value")
        return super()._get_values(action, arg_strings)


def parser() -> argparse.ArgumentParser:
    """Every command with its options and an example."""
    goodfit: argparse.ArgumentParser = _Parser(
        prog="goodfit",
        description="Reproducible image-classifier training with automatic overfitting, calibration and leakage checks.",
        epilog="Every command works from any sub-folder of a project. `goodfit COMMAND --help` shows an example.",
    )
    goodfit.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    goodfit.set_defaults(call=None, incomplete=goodfit)
    added = goodfit.add_subparsers(dest="command", metavar="COMMAND")
    _add_run(added)
    _add_use(added)
    _add_list(added)
    _add_check(added)
    _add_verdict(added)
    _add_diagnose(added)
    _add_lineage(added)
    _add_predict(added)
    _add_doctor(added)
    _add_schema(added)
    _add_completion(added)
    return goodfit


Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _command(added: Commands, name: str, call: Callable[..., int], text: str, example: str) -> argparse.ArgumentParser:
    command = added.add_parser(
        name,
        help=text.partition("\n")[0].partition(". ")[0].rstrip("."),
        description=text,
        epilog=f"example:\n{example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(call=call)
    return command


def _add_run(added: Commands) -> None:
    run = _command(
        added,
        "run",
        commands.run,
        "Run the pipeline as a Prefect flow: only what changed runs.",
        "  goodfit run train -S train.epochs=20      train for 20 epochs, after the stages that training depends on",
    )
    run.add_argument("stages", nargs="*", metavar="STAGE", help="run these stages and those they depend on (default: all)")
    run.add_argument("-f", "--force", action="store_true", help="run the stages even if nothing changed")
    run.add_argument(
        "-S",
        "--set-param",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change params.yaml first, as `dvc exp run -S` does: checked before anything is written, and kept in the file even if a "
        "stage then fails; a path such as download.path=../images is relative to the project's root, not to the current folder",
    )
    run.add_argument("-n", "--dry-run", action="store_true", help="show which stages would run and why; change nothing")


def _add_use(added: Commands) -> None:
    use = _command(
        added,
        "use",
        commands.use,
        "Write a recipe into params.yaml. Without a name, list the recipes.",
        "  goodfit use mnist-cnn",
    )
    use.add_argument("name", metavar="NAME", nargs="?", help="the recipe: a file of recipes/ without its ending")
    use.add_argument("-f", "--force", action="store_true", help="overwrite changes of params.yaml that are not committed")


def _add_list(added: Commands) -> None:
    listed = _command(
        added,
        "list",
        commands.list_components,
        "List what params.yaml can choose from. Models, losses, optimizers, schedules, datasets, checks, attributions, with options.",
        "  goodfit list optimizers",
    )
    listed.add_argument("kind", metavar="KIND", nargs="?", help="only this kind, such as `models` (default: all)")
    listed.add_argument("--json", action="store_true", help="print JSON")


def _add_check(added: Commands) -> None:
    _command(
        added,
        "check",
        commands.check,
        "Check params.yaml and dvc.yaml. Nothing runs and nothing is changed; `make run` does it before `dvc repro`.\n\n"
        "exit codes: 0 valid, 1 not valid",
        "  goodfit check && dvc repro",
    )


def _add_verdict(added: Commands) -> None:
    verdict = _command(
        added,
        "verdict",
        commands.verdict,
        "Show the verdict on the model and whether it is up to date.\n\n"
        "exit codes: 0 up to date, and no flag of --fail-on is raised; 1 out of date, missing, such a flag is raised, or\n"
        "no check had the data to tell; 2 usage error",
        "  goodfit verdict --fail-on overconfident,integrity      in CI: fail when one of these flags is raised",
    )
    verdict.add_argument("--json", action="store_true", help="print JSON: verdict, headline, flags, whether it is up to date")
    _add_fail_on(verdict)


def _add_fail_on(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--fail-on",
        metavar="FLAG[,FLAG]",
        type=_names,
        default=[],
        help="exit with 1 if one of these flags is raised or no check had the data to tell; named by its verdict or its check, "
        "or `any`, or the verdict `inconclusive`",
    )


def _add_diagnose(added: Commands) -> None:
    diagnose = _command(
        added,
        "diagnose",
        diagnosing.diagnose,
        "Run the checks on numbers of your own, list suspicious labels, try remedies, or count evaluations.\n\n"
        "Numbers of your own need only tables, no pipeline. The format of a file is recognised by its content: CSV,\n"
        "TSV, Parquet or JSON. A check whose numbers are not given is not run, and says what is missing. A history alone\n"
        "is only described: it cannot tell what is chance.\n\n"
        "exit codes: 0 done, whatever the verdict; 1 a file cannot be used, a flag of --fail-on is raised, or no check had\n"
        "the data to tell; 2 usage error",
        "  goodfit diagnose --history lightning_logs/version_0/metrics.csv\n"
        "  goodfit diagnose --history history.csv --predictions val.parquet --test test.parquet --train train.parquet\n"
        "  goodfit diagnose --label-candidates 20 --split train --pictures labels.html\n"
        "  goodfit diagnose --pilot                  what weight decay, dropout, augmentation … would bring\n"
        "  goodfit diagnose --evaluations            how often these validation images were used",
    )
    _add_own_numbers(diagnose)
    _add_labels(diagnose)
    _add_remedies(diagnose)
    history = diagnose.add_argument_group("the project's history")
    history.add_argument(
        "--evaluations",
        action="store_true",
        help="list every training in Git's history and DVC's experiments that was evaluated on the validation images of the current "
        "one, and count the evaluations for the check `selection`",
    )
    diagnose.add_argument(
        "--json", action="store_true", help="print JSON, of the checks: what was read, verdict, headline, flags, findings"
    )
    _add_fail_on(diagnose)
    diagnose.set_defaults(anywhere=True)


def _add_own_numbers(diagnose: argparse.ArgumentParser) -> None:
    own = diagnose.add_argument_group(
        "numbers of your own",
        "predictions are tables with row, label, and probability_0, probability_1, ... or logit_0, logit_1, ...",
    )
    own.add_argument(
        "--history",
        metavar="FILE",
        type=given_path,
        help="one row for each epoch (epoch, train_loss, val_loss, train_accuracy, val_accuracy, learning_rate), or what Lightning's "
        "CSVLogger, Hugging Face's Trainer (trainer_state.json) or DVCLive (its folder) wrote",
    )
    own.add_argument(
        "--predictions",
        metavar="FILE",
        type=given_path,
        help="the predictions of every epoch on validation, with a column epoch; loss and correct may stand for probabilities",
    )
    own.add_argument("--test", metavar="FILE", type=given_path, help="the predictions of the saved epoch on test")
    own.add_argument(
        "--train", metavar="FILE", type=given_path, help="the same on train; or row and label alone, for the majority class"
    )
    own.add_argument(
        "--saved-epoch",
        metavar="N",
        type=float,
        help="the epoch whose weights are used, as the files count it (default: the last)",
    )
    own.add_argument(
        "--metadata",
        metavar="COLUMN[,COLUMN]",
        type=_names,
        default=[],
        help="columns of the table of --test, such as camera,site, by whose values the check slices compares the rows",
    )
    own.add_argument(
        "--seed", metavar="N", type=_at_least(0), help="seed that divides the validation set into halves (default: 0)"
    )


def _add_labels(diagnose: argparse.ArgumentParser) -> None:
    last = diagnose.add_argument_group("labels of the last run of the pipeline")
    last.add_argument(
        "--label-candidates",
        metavar="N",
        type=_at_least(1),
        help="list the N rows of a split whose labels are the most suspicious: row, given and suggested class, margin",
    )
    last.add_argument("--split", choices=("train", "val", "test"), help="of these rows (default: test)")
    last.add_argument("--pictures", metavar="FILE", type=given_path, help="write their pictures into an HTML file as well")


def _add_remedies(diagnose: argparse.ArgumentParser) -> None:
    remedies = diagnose.add_argument_group("remedies for the recipe of params.yaml")
    remedies.add_argument(
        "--pilot",
        metavar="SEEDS",
        nargs="?",
        type=_at_least(3, ", as fewer give no interval that can be trusted"),
        const=3,
        help="train the recipe, the recipe with each remedy, and the recipe on parts of the data; train each variant with this many "
        "seeds (default: 3, the minimum), and show what each remedy gains on validation; takes about five trainings per seed, writes "
        "nothing and reads no test image",
    )
    remedies.add_argument(
        "--pilot-epochs",
        metavar="N",
        type=_at_least(1),
        help="epochs of each of these trainings (default: those of params.yaml)",
    )


def _add_lineage(added: Commands) -> None:
    text = "Inspect and verify provenance: the data, code, parameters and environment behind a result."
    lineage = added.add_parser("lineage", help=text.partition(":")[0], description=text)
    lineage.set_defaults(incomplete=lineage)
    listed = lineage.add_subparsers(dest="verb", metavar="VERB")
    for name in sorted(module.name for module in iter_modules(verbs.__path__)):
        verb = import_module(f"{verbs.__name__}.{name}")
        command = _command(listed, name.replace("_", "-"), verb.call, verb.TEXT, verb.EXAMPLE)
        command.set_defaults(failure=getattr(verb, "FAILURE", 1))
        verb.add_options(command)


def _add_predict(added: Commands) -> None:
    predict = _command(
        added,
        "predict",
        commands.predict,
        "Classify image files with a stored model. It needs only the model's folder, no pipeline.",
        "  goodfit predict models photo.png more_photos/ --calibrated --output predictions.csv",
    )
    predict.usage = "goodfit predict [-h] [--calibrated] [--format FORMAT] [-o FILE] [--threads N] [MODEL] IMAGE [IMAGE ...]"
    predict.add_argument(
        "paths",
        nargs="+",
        type=given,
        metavar="[MODEL] IMAGE",
        help="the folder with model.json and model.safetensors (default: models/ here or of the project around), then image files, or "
        "folders of them",
    )
    predict.add_argument(
        "--calibrated",
        action="store_true",
        help="divide the logits by the temperature that the diagnosis left beside the model",
    )
    predict.add_argument(
        "--format",
        choices=commands.PREDICTION_FORMATS,
        help="one of %(choices)s (default: the ending of --output, or else csv)",
    )
    predict.add_argument("-o", "--output", metavar="FILE", type=given_path, help="write this file (default: standard output)")
    predict.add_argument(
        "--threads",
        metavar="N",
        type=_at_least(1),
        default=1,
        help="CPU threads; another number can change the last digit (default: 1)",
    )
    predict.set_defaults(anywhere=True)


def _add_doctor(added: Commands) -> None:
    _command(
        added,
        "doctor",
        commands.doctor,
        "Find and repair what killed runs left behind. Stale locks, incomplete files and stages that still run.",
        "  goodfit doctor",
    )


def _add_schema(added: Commands) -> None:
    _command(
        added,
        "schema",
        commands.schema,
        "Print the JSON schema of params.yaml. An editor completes and checks the file with it.",
        "  goodfit schema > .params.schema.json",
    )


def _add_completion(added: Commands) -> None:
    completion = _command(
        added,
        "completion",
        _completion,
        "Print a completion script for a shell.",
        "  goodfit completion bash > ~/.local/share/bash-completion/completions/goodfit",
    )
    completion.add_argument("shell", metavar="SHELL", choices=SHELLS, help="one of %(choices)s")
    completion.set_defaults(anywhere=True)


def _completion(options: argparse.Namespace, _: Path) -> int:
    import shtab

    print(shtab.complete(parser(), options.shell))
    return 0


def _at_least(smallest: int, why: str = "") -> Callable[[str], int]:
    """A whole number, as an option takes it."""

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < smallest:
            raise argparse.ArgumentTypeError(f"found '{text}'; expected a whole number of at least {smallest}{why}")
        return int(text)

    return number


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0: done; 1 with a message: a failure; 2: a usage error or an unknown name; `lineage verify` has its own codes.

    130: ended by Ctrl-C; 141: the program reading the output, such as `head`, closed it.
    """
    options = parser().parse_args(arguments)
    if options.call is None:
        options.incomplete.print_help(sys.stderr)
        return USAGE_ERROR
    try:
        root = Path.cwd() if getattr(options, "anywhere", False) else find_project()
        code = int(options.call(options, root))
        if sys.stdout:  # Python has none where it was closed (`>&-`)
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130  # as of a program that SIGINT ended
    except EOFError:
        print("\nerror: nothing was done: the question was not answered", file=sys.stderr)
        code = 1
    except BrokenPipeError:  # `goodfit lineage show | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's own last flush
        code = 141  # as of a program that SIGPIPE ended
    except UnknownNameError as error:
        print(f"error: {escaped_lines(str(error))}", file=sys.stderr)
        code = USAGE_ERROR
    except (GoodfitError, OSError) as error:
        print(f"error: {escaped_lines(str(error))}", file=sys.stderr)
        code = int(getattr(options, "failure", 1))
    return code


if __name__ == "__main__":
    sys.exit(main())
