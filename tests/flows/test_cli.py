"""The `goodfit` command."""

from importlib.metadata import version

import pytest

from tests.conftest import ROOT, Project

GOODFIT = ("python", "-m", "flows.cli")


def test_use_puts_a_recipe_into_params_yaml(fresh: Project) -> None:
    fresh.run(*GOODFIT, "use", "mnist-cnn")
    assert (fresh.root / "params.yaml").read_bytes() == (ROOT / "recipes/mnist-cnn.yaml").read_bytes()


def test_use_refuses_to_lose_changes_that_are_not_committed(fresh: Project) -> None:
    fresh.edit("params.yaml", "epochs: 3 ", "epochs: 7 ")
    edited = fresh.text("params.yaml")
    refused = fresh.run(*GOODFIT, "use", "digits", check=False)
    assert refused.returncode == 1
    assert "params.yaml has changes that are not committed; commit them, or lose them with --force" in refused.stderr
    assert fresh.text("params.yaml") == edited
    fresh.run(*GOODFIT, "use", "digits", "--force")
    assert (fresh.root / "params.yaml").read_bytes() == (ROOT / "recipes/digits.yaml").read_bytes()


def test_use_goes_from_recipe_to_recipe_without_force(fresh: Project) -> None:
    for name in ("mnist-linear", "mnist-mlp", "digits"):
        fresh.run(*GOODFIT, "use", name)


def test_use_without_a_name_lists_the_recipes(fresh: Project) -> None:
    assert fresh.run(*GOODFIT, "use").stdout.split() == ["digits", "mnist-cnn", "mnist-linear", "mnist-mlp"]


def test_an_unknown_recipe_names_the_nearest(fresh: Project) -> None:
    refused = fresh.run(*GOODFIT, "use", "mnist-lienar", check=False)
    assert refused.returncode == 1
    assert "did you mean 'mnist-linear'?" in refused.stderr


@pytest.mark.parametrize(("arguments", "code"), [((), 2), (("lineage",), 2), (("nothing",), 2), (("--help",), 0)])
def test_a_wrong_call_shows_the_usage(fresh: Project, arguments: tuple[str, ...], code: int) -> None:
    done = fresh.run(*GOODFIT, *arguments, check=False)
    assert done.returncode == code
    assert "usage: goodfit" in done.stdout + done.stderr


def test_outside_a_project_it_says_where_to_go(fresh: Project) -> None:
    done = fresh.run("sh", "-c", "cd / && goodfit use digits", check=False)
    assert done.returncode == 1
    assert "no dvc.yaml in / or above" in done.stderr


def test_the_verdict_of_nothing_says_what_to_run(fresh: Project) -> None:
    done = fresh.run(*GOODFIT, "verdict", check=False)
    assert done.returncode == 1
    assert "dvc repro diagnose" in done.stderr


@pytest.mark.slow
def test_the_verdict_is_one_word_and_one_sentence(ran: Project) -> None:
    printed = ran.run(*GOODFIT, "verdict").stdout
    assert printed.splitlines()[1].startswith("Verdict: ")
    assert "report/index.html" in printed


@pytest.mark.slow
def test_a_verdict_of_other_parameters_is_said_to_be_out_of_date(ran: Project) -> None:
    ran.edit("params.yaml", "epochs: 3 ", "epochs: 4 ")
    done = ran.run(*GOODFIT, "verdict", check=False)
    assert done.returncode == 1
    assert "Verdict: " in done.stdout
    assert "error: this verdict is out of date: train: params.yaml: train.epochs: statement has 3" in done.stderr


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_error(ran: Project) -> None:
    for command in ("lineage show", "use"):  # a long output and a short one
        done = ran.run("sh", "-c", f"(sleep 1; goodfit {command}; echo ended with $? >&2) | true", PYTHONUNBUFFERED="")
        assert done.stderr == "ended with 141\n"


def test_the_version_is_that_of_the_package(fresh: Project) -> None:
    assert fresh.run(*GOODFIT, "--version").stdout == f"goodfit {version('goodfit')}\n"
