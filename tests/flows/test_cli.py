"""The `goodfit` command: its words, its exit codes, and that it changes nothing that it was not asked to."""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from flows.cli import parser
from tests.conftest import ROOT, STAGES, Project
from tests.flows.conftest import InProcess

GOODFIT = ("python", "-m", "flows.cli")


def commands(parser: argparse.ArgumentParser, before: str = "") -> Iterator[str]:
    """Every command that can be called, in words: `run`, `lineage show`."""
    added = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for name, inner in added[0].choices.items() if added else ():
        yield from commands(inner, f"{before}{name} ")
    if not added:
        yield before.strip()


COMMANDS = tuple(commands(parser()))


def goodfit(project: Project, *arguments: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
    done = project.run(*GOODFIT, *arguments, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def refusal(project: Project, *arguments: str, code: int = 1) -> str:
    """What a command that is refused says; all of it is one message on standard error."""
    done = goodfit(project, *arguments, code=code)
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    return done.stderr.removeprefix("error: ").strip()


# The command itself.


@pytest.mark.parametrize(("arguments", "code"), [((), 2), (("lineage",), 2), (("nothing",), 2), (("--help",), 0)])
def test_a_call_without_a_command_shows_help(fresh: Project, arguments: tuple[str, ...], code: int) -> None:
    done = goodfit(fresh, *arguments, code=code)
    assert "usage: goodfit" in done.stdout + done.stderr


def test_help_lists_every_command_with_one_line(fresh: Project) -> None:
    printed = goodfit(fresh, "--help").stdout
    assert all(command.partition(" ")[0] in printed for command in COMMANDS)
    assert "exit codes" not in printed


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_shows_an_example(tmp_path: Path, in_process: InProcess, command: str) -> None:
    done = in_process(tmp_path, *command.split(), "--help")
    assert (done.returncode, done.stderr) == (0, b"")
    assert f"example:\n  goodfit {command}" in done.stdout.decode()


def test_the_version_is_that_of_the_package(fresh: Project) -> None:
    assert goodfit(fresh, "--version").stdout == f"goodfit {version('goodfit')}\n"


def test_importing_the_command_loads_nothing_heavy() -> None:
    code = "import sys, flows.cli; print({'torch', 'prefect', 'dvc', 'pydantic', 'pandas', 'numpy', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_outside_a_project_it_says_where_to_go(fresh: Project) -> None:
    done = fresh.run("sh", "-c", "cd / && goodfit use digits", check=False)
    assert done.returncode == 1
    assert done.stderr == "error: no dvc.yaml in / or in a folder above it; change to the folder of a project\n"


@pytest.mark.parametrize(
    ("removed", "message"),
    [
        ((".dvc", ".git"), "is not a DVC repository; run `git init` and then `dvc init` there"),
        ((".dvc",), "is not a DVC repository; run `dvc init` there"),
        ((".git",), "is not a Git repository; run `git init` there, or `dvc config core.no_scm true` to use DVC without Git"),
    ],
)
def test_a_folder_in_which_dvc_cannot_work_is_told_how_it_can(fresh: Project, removed: tuple[str, ...], message: str) -> None:
    for folder in removed:
        fresh.run("rm", "-rf", folder)
    assert refusal(fresh, "run") == f"{fresh.root} {message}"


def test_without_git_it_works_where_dvc_is_told_so(fresh: Project) -> None:
    fresh.run("rm", "-rf", ".git")
    fresh.run("dvc", "config", "core.no_scm", "true")
    assert "train" in goodfit(fresh, "run", "--dry-run").stdout


def test_it_works_on_the_project_above_a_sub_folder(fresh: Project) -> None:
    done = fresh.run("sh", "-c", "cd tasks/core && goodfit run --dry-run", check=False)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines() if not line.startswith(" ")] == list(STAGES)


def test_a_project_below_its_dvc_repository_is_told_how_to_become_one(fresh: Project) -> None:
    inner = fresh.root / "inner"
    inner.mkdir()
    (inner / "dvc.yaml").write_text("stages: {only: {cmd: echo}}\n")
    planned = fresh.run("sh", "-c", "cd inner && goodfit run --dry-run").stdout  # a file of the pipeline above
    assert [line.split()[0] for line in planned.splitlines() if not line.startswith(" ")] == [*STAGES, "inner/dvc.yaml:only"]
    (fresh.root / "dvc.yaml").unlink()
    for command in (["run"], ["run", "--dry-run"], ["doctor"]):
        done = fresh.run("sh", "-c", f"cd inner && goodfit {' '.join(command)}", check=False)
        assert done.returncode == 1
        assert f"{inner} lies inside the DVC repository {fresh.root}" in done.stderr
        assert "run `dvc init --subdir` in" in done.stderr
    assert sorted(path.name for path in inner.iterdir()) == ["dvc.yaml"]
    fresh.run("sh", "-c", "cd inner && dvc init -q --subdir && goodfit run --dry-run && goodfit doctor")


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_completion_script_is_valid_and_knows_the_commands(fresh: Project, shell: str) -> None:
    printed = fresh.run("sh", "-c", f"cd / && goodfit completion {shell}").stdout
    assert all(command.partition(" ")[0] in printed for command in COMMANDS)
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=printed, text=True, check=True)


def test_bash_completes_commands_and_options(fresh: Project) -> None:
    script = fresh.run(*GOODFIT, "completion", "bash").stdout
    asked = "COMP_WORDS=(goodfit ve); COMP_CWORD=1; _shtab_goodfit 'goodfit' 've' ''; echo ${COMPREPLY[@]}"
    done = subprocess.run(["bash", "-c", f"{script}\n{asked}"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["verdict"]


# run


def test_a_misspelt_stage_names_the_nearest(fresh: Project) -> None:
    assert refusal(fresh, "run", "trian", code=2).endswith("did you mean 'train'?")


@pytest.mark.slow
def test_a_dry_run_says_what_would_run_and_why_and_changes_nothing(ran: Project) -> None:
    status = ran.run("git", "status", "--short").stdout
    assert goodfit(ran, "run", "-n").stdout.splitlines() == [f"{name:<10}  unchanged" for name in STAGES]
    planned = goodfit(ran, "run", "-n", "-S", "train.epochs=4").stdout.splitlines()
    assert planned[:4] == [
        "download    unchanged",
        "preprocess  unchanged",
        "train       would run",
        "              params.yaml: train.epochs 3 → 4",
    ]
    assert planned[4] == "compress    would run if the outputs of train change"
    assert goodfit(ran, "run", "preprocess", "--force", "-n").stdout.splitlines() == [
        "download    would run: forced",
        "preprocess  would run: forced",
    ]
    assert ran.run("git", "status", "--short").stdout == status
    assert not (ran.root / ".dvc/tmp/goodfit-params.json").exists()

    ran.edit("params.yaml", "epochs: 3 ", "epochs: 4 ")
    ran.edit("tasks/report.py", "from pathlib import Path\n", "from pathlib import Path  # edited\n")
    planned = goodfit(ran, "run", "-n").stdout.splitlines()
    assert "              params.yaml: train.epochs 3 → 4" in planned
    assert any(line.startswith("              tasks/report.py: modified, md5 ") for line in planned)


# use


def test_use_refuses_to_lose_changes_that_are_not_committed(fresh: Project) -> None:
    fresh.edit("params.yaml", "epochs: 3 ", "epochs: 7 ")
    edited = fresh.text("params.yaml")
    assert "commit them" in refusal(fresh, "use", "digits")
    assert fresh.text("params.yaml") == edited
    goodfit(fresh, "use", "digits", "--force")
    assert fresh.text("params.yaml") != edited


def test_use_goes_from_recipe_to_recipe_without_force(fresh: Project) -> None:
    for name in ("mnist-linear", "mnist-mlp", "digits"):
        assert f"now holds the recipe {name}" in goodfit(fresh, "use", name).stdout
        goodfit(fresh, "check")


def test_use_without_a_name_lists_the_recipes_with_a_line_each(fresh: Project) -> None:
    lines = goodfit(fresh, "use").stdout.splitlines()
    assert [line.split()[0] for line in lines] == sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))
    assert "mnist-mlp     A multi-layer perceptron with dropout on MNIST, stopped early." in lines


def test_an_unknown_recipe_names_the_nearest(fresh: Project) -> None:
    assert "did you mean 'mnist-linear'?" in refusal(fresh, "use", "mnist-lienar", code=2)


# list and schema


def test_list_shows_the_components_of_a_kind_with_their_options(fresh: Project) -> None:
    printed = goodfit(fresh, "list", "optimizers").stdout
    assert printed.startswith("optimizers\n")
    adam = printed.partition("  adam: ")[2].splitlines()
    assert adam[0].startswith("Adam (Kingma & Ba 2015)")
    assert adam[1] == "      learning_rate=0.001, beta1=0.9, beta2=0.999, epsilon=1e-08"
    assert "\nmodels\n" not in printed


def test_list_tells_an_option_that_is_required_from_one_whose_default_is_null(fresh: Project) -> None:
    source = (
        '"""An optimizer of one\'s own."""\n\nfrom tasks.core.settings import Section\n\n\n'
        "class Settings(Section):\n    steps: int\n    scale: float | None = None\n"
    )
    (fresh.root / "tasks/learning/optimizers/mine.py").write_text(source)
    assert "      steps (required), scale=null\n" in goodfit(fresh, "list", "optimizers").stdout
    listed = json.loads(goodfit(fresh, "list", "optimizers", "--json").stdout)["optimizers"]
    mine = next(item for item in listed if item["name"] == "mine")
    assert (mine["options"], mine["required"]) == ({"steps": None, "scale": None}, ["steps"])


def test_list_finds_every_component_and_check(fresh: Project) -> None:
    found = json.loads(goodfit(fresh, "list", "--json").stdout)
    assert {"datasets", "models", "losses", "optimizers", "schedules", "checks"} <= set(found)
    for components in found.values():
        assert all((fresh.root / item["file"]).is_file() and item["description"] for item in components)
    models = {path.stem for path in (ROOT / "tasks/models").glob("*.py")} - {"__init__"}
    assert {item["name"] for item in found["models"]} == models


def test_a_new_component_is_listed_and_in_the_schema_by_its_file_alone(fresh: Project) -> None:
    source = (fresh.root / "tasks/learning/optimizers/sgd.py").read_text()
    (fresh.root / "tasks/learning/optimizers/mine.py").write_text(source)
    listed = json.loads(goodfit(fresh, "list", "optimizers", "--json").stdout)["optimizers"]
    assert "mine" in {item["name"] for item in listed}
    assert '"const": "mine"' in goodfit(fresh, "schema").stdout


def test_an_unknown_kind_names_the_nearest(fresh: Project) -> None:
    assert "did you mean 'models'?" in refusal(fresh, "list", "modls", code=2)


def test_the_schema_has_every_key_of_params_yaml(fresh: Project) -> None:
    from tasks.core.settings import load_yaml

    schema = json.loads(goodfit(fresh, "schema").stdout)
    assert set(load_yaml(ROOT / "params.yaml")) <= set(schema["properties"])
    assert schema["additionalProperties"] is False
    download = schema["properties"]["download"]
    assert {"dataset", "path"} <= set(download["properties"]), "two stages read different parts of it"
    optimizers = schema["properties"]["train"]["properties"]["optimizer"]["oneOf"]
    adam = next(item for item in optimizers if item["properties"]["name"] == {"const": "adam"})
    assert adam["properties"]["learning_rate"]["default"] == 0.001
    assert adam["additionalProperties"] is False
    assert "$ref" not in json.dumps(schema)


# check


def test_check_accepts_what_is_committed_and_refuses_a_typo_before_anything_is_touched(fresh: Project) -> None:
    assert goodfit(fresh, "check").stdout == "params.yaml and dvc.yaml are valid\n"
    fresh.edit("params.yaml", "epochs: 3 ", "epoch: 3 ")
    assert "did you mean 'epochs'?" in refusal(fresh, "check")


def test_make_run_checks_before_dvc_repro() -> None:
    recipe = (ROOT / "Makefile").read_text().partition("\nrun: ")[2].partition("\n\n")[0].splitlines()[1:]
    assert [line.strip().lstrip("@") for line in recipe] == ["goodfit check", "dvc repro", "goodfit verdict"]


# verdict


def test_the_verdict_of_nothing_says_what_to_run(fresh: Project) -> None:
    assert "dvc repro diagnose" in refusal(fresh, "verdict")


@pytest.mark.slow
def test_the_verdict_is_a_word_a_sentence_and_where_to_read_on(ran: Project) -> None:
    lines = goodfit(ran, "verdict").stdout.splitlines()
    assert lines[1].startswith("Verdict: ")
    assert lines[-1] == "Report: report/index.html"


@pytest.mark.slow
def test_the_verdict_as_json_says_whether_it_is_up_to_date(ran: Project) -> None:
    stored = json.loads(ran.text("results/diagnosis.json"))
    found = json.loads(goodfit(ran, "verdict", "--json").stdout)
    assert {key: found[key] for key in ("verdict", "headline", "flags")} == {
        key: stored[key] for key in ("verdict", "headline", "flags")
    }
    assert (found["up_to_date"], found["problems"]) == (True, [])
    ran.edit("params.yaml", "epochs: 3 ", "epochs: 4 ")
    stale = json.loads(goodfit(ran, "verdict", "--json", code=1).stdout)
    assert stale["up_to_date"] is False
    assert "train.epochs" in stale["problems"][0]


@pytest.mark.slow
def test_a_verdict_of_other_parameters_is_said_to_be_out_of_date(ran: Project) -> None:
    ran.edit("params.yaml", "epochs: 3 ", "epochs: 4 ")
    done = goodfit(ran, "verdict", code=1)
    assert "Verdict: " in done.stdout
    assert "error: this verdict is out of date: train: params.yaml: train.epochs: statement has 3" in done.stderr


@pytest.mark.slow
def test_a_raised_and_an_unanswered_flag_of_fail_on_fail_and_no_other(ran: Project) -> None:
    diagnosis = json.loads(ran.text("results/diagnosis.json"))
    goodfit(ran, "verdict", "--fail-on", ",".join(sorted(set(diagnosis["answered"]) - set(diagnosis["flags"]))))
    unlisted = goodfit(ran, "verdict", "--fail-on", "memorised", code=1)
    assert "error: --fail-on memorised: no check had the data to tell" in unlisted.stderr
    assert "did you mean 'overconfident'?" in refusal(ran, "verdict", "--fail-on", "overconfidnet", code=2)

    text = ran.text("results/diagnosis.json").replace('"flags": []', '"flags": ["overconfident"]')
    (ran.root / "results/diagnosis.json").unlink()  # a link into DVC's cache on some systems
    (ran.root / "results/diagnosis.json").write_text(text)
    for flags in ("overconfident", "integrity,overconfident", "any"):
        done = goodfit(ran, "verdict", "--fail-on", flags, code=1)
        assert f"error: raised: overconfident (--fail-on {flags})" in done.stderr


@pytest.mark.slow
def test_the_verdict_finds_a_record_that_is_not_what_the_stages_sealed(ran: Project) -> None:
    lock = ran.text("dvc.lock")
    entry = lock.partition("\n  train:")[2].partition("path: results/history.csv")[2]
    md5 = entry.partition("md5: ")[2][:32]
    (ran.root / "dvc.lock").write_text(lock.replace(md5, "0" * 32))
    done = goodfit(ran, "verdict", code=1)
    assert "results/history.csv" in done.stderr


# lineage


@pytest.mark.parametrize(("verb", "code"), [("show", 1), ("verify", 4)])
def test_a_wrong_path_names_the_nearest_outputs(fresh: Project, verb: str, code: int) -> None:
    message = refusal(fresh, "lineage", verb, "metrics/evaluatoin.json", code=code)
    assert message.startswith("no stage writes 'metrics/evaluatoin.json'; did you mean metrics/evaluation.json")
    assert len(message.splitlines()) == 1
    assert "did you mean report/index.html?" in refusal(fresh, "lineage", verb, "index.html", code=code)


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_error(ran: Project) -> None:
    for command in ("lineage show", "use"):  # a long output and a short one
        done = ran.run("sh", "-c", f"(sleep 1; goodfit {command}; echo ended with $? >&2) | true", PYTHONUNBUFFERED="")
        assert done.stderr == "ended with 141\n"


def test_a_closed_standard_output_is_no_error(fresh: Project) -> None:
    for command in ("use", "lineage list"):
        done = fresh.run("sh", "-c", f"python -m flows.cli {command} >&-", check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


# doctor


def test_the_doctor_restores_params_that_a_killed_run_had_overridden(fresh: Project) -> None:
    before = fresh.text("params.yaml")
    killed = (
        "import os, signal; from pathlib import Path; from flows.parameters.temporary import temporary_overrides\n"
        "with temporary_overrides(Path(), ['train.epochs=7'], print): os.kill(os.getpid(), signal.SIGKILL)"
    )
    fresh.run(sys.executable, "-c", killed, check=False)
    assert fresh.text("params.yaml") != before
    assert "params.yaml: restored" in goodfit(fresh, "doctor").stdout
    assert fresh.text("params.yaml") == before
    assert goodfit(fresh, "doctor").stdout == "nothing to repair\n"
