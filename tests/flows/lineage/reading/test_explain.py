"""Why stages ran last and would run now; that the forecast is what `dvc repro` does stands in test_forecast.py."""

import json
from typing import Any

import pytest

from flows.lineage.reading.causes import Cause
from flows.lineage.reading.explain import Explained, Explanation, as_lines, explain
from flows.lineage.reading.forecast import Forecast, Outcome
from flows.lineage.reading.past import Past
from tests.conftest import Project
from tests.flows.lineage.small import Small

pytestmark = pytest.mark.slow
COMMAND = ("python", "-m", "flows.cli", "lineage", "explain")


def one(small: Small, stage: str) -> Explained:
    (found,) = explain(small.root, [stage]).stages
    return found


def last(small: Small, stage: str) -> Any:
    found = one(small, stage).last
    assert found is not None
    return found


def texts(causes: list[Any]) -> list[str]:
    return [str(cause) for cause in causes]


def test_the_last_run_has_old_and_new_values_and_the_root_behind_them(small: Small) -> None:
    first = small.run("git", "rev-parse", "--short", "HEAD").stdout.strip()
    small.edit("params.yaml", "rate: 0.5", "rate: 0.25")
    small.run("dvc", "repro")
    here = last(small, "fit")
    assert (here.recorded_by, here.before) == ("working tree", first)
    commit = small.commit()
    fit, score, split = (last(small, stage) for stage in ("fit", "score", "split"))
    assert (fit.recorded_by, fit.before, fit.author) == (commit, first, "t")
    assert texts(fit.causes) == ["params.yaml: fit.rate 0.5 → 0.25"]
    (model,) = score.causes
    assert (model.name, model.made_by, model.state) == ("model", "fit", "modified")
    assert [(stage, str(cause)) for stage, cause in score.roots] == [("fit", "params.yaml: fit.rate 0.5 → 0.25")]
    assert (split.recorded_by, texts(split.causes)) == (first, ["first run: dvc.lock has no entry for it"])

    small.edit("params.yaml", "rate: 0.25", "rate: 0.5")
    assert small.outcomes() == {"split": "unchanged", "fit": "restored", "score": "restored"}
    small.commit()
    assert texts(last(small, "fit").causes) == ["params.yaml: fit.rate 0.25 → 0.5"]  # dvc.lock is the first one again


def test_the_root_is_found_where_the_earlier_stage_was_committed_before(small: Small) -> None:
    small.edit("data.txt", "one", "uno")
    small.run("dvc", "repro", "-s", "split")
    small.commit()
    small.run("dvc", "repro")
    small.commit()
    fit = last(small, "fit")
    assert [cause.name for cause in fit.causes] == ["part.txt"]
    assert [(stage, cause.name) for stage, cause in fit.roots] == [("split", "data.txt")]
    assert [(stage, cause.name) for stage, cause in last(small, "score").roots] == [("split", "data.txt")]


def test_the_same_outputs_and_inputs_that_came_and_went_are_said(small: Small) -> None:
    small.edit("fit.sh", "mkdir -p model", "mkdir -p model  # edited")
    small.edit("dvc.yaml", "    deps: [fit.sh, part.txt]", "    deps: [fit.sh, part.txt, data.txt]")
    small.run("dvc", "repro")
    commit = small.commit()
    fit = last(small, "fit")
    assert fit.same_outputs
    assert {cause.name: cause.state for cause in fit.causes} == {"data.txt": "new", "fit.sh": "modified"}
    assert last(small, "score").recorded_by != commit  # it was not run


def test_what_would_run_now_has_its_root_through_the_chain(small: Small) -> None:
    small.edit("params.yaml", "lines: 2", "lines: 3")
    found = one(small, "score")
    assert str(found.now) == "would run if the outputs of fit change"
    assert [(stage, str(cause)) for stage, cause in found.roots] == [("split", "params.yaml: lines 2 → 3")]
    printed = small.run(*COMMAND, "fit").stdout
    assert "now: would run if the outputs of split change\n    because of split: params.yaml: lines 2 → 3" in printed


def test_json_has_values_as_they_are_and_leaves_out_what_is_not_stated(small: Small) -> None:
    small.edit("params.yaml", "  names: [a, b]", "  rates: [null]")
    found = json.loads(small.run(*COMMAND, "fit", "--json").stdout)
    (fit,) = found["stages"]
    assert fit["now"]["outcome"] == "runs"
    assert fit["now"]["causes"] == [
        {"kind": "parameter", "name": "params.yaml: fit.rates", "after": [None]},
        {"kind": "parameter", "name": "params.yaml: fit.names", "before": ["a", "b"]},
    ]
    assert fit["last"]["causes"][0]["kind"] == "first run"


def test_the_run_of_a_commit_or_an_experiment_is_explained_without_what_came_later(small: Small) -> None:
    first = small.run("git", "rev-parse", "--short", "HEAD").stdout.strip()
    small.edit("params.yaml", "rate: 0.5", "rate: 0.25")
    small.run("dvc", "repro")
    second = small.commit()
    small.run("git", "tag", "kept")
    small.run("dvc", "exp", "run", "-q", "-n", "tried", "-S", "fit.rate=0.125")
    small.run("git", "checkout", "-q", ".")
    small.edit("params.yaml", "rate: 0.25", "rate: 2.5")
    small.run("dvc", "repro")
    small.commit()
    for revision, before, causes in (
        ("kept", first, ["params.yaml: fit.rate 0.5 → 0.25"]),
        ("tried", second, ["params.yaml: fit.rate 0.25 → 0.125"]),
    ):
        (found,) = explain(small.root, ["fit"], revision).stages
        assert found.last is not None
        assert (found.last.before, texts(found.last.causes), found.now) == (before, causes, None)
    printed = small.run(*COMMAND, "--rev", "kept").stdout
    assert [line for line in printed.splitlines() if line and not line.startswith(" ")] == ["split", "fit", "score"]
    assert f"last: recorded by {second}" in printed
    assert "now:" not in printed
    assert "now" not in json.loads(small.run(*COMMAND, "--rev", "kept", "fit", "--json").stdout)["stages"][0]
    unknown = small.run(*COMMAND, "--rev", "kept", "fitt", check=False)
    assert unknown.returncode == 2
    assert "unknown stage 'fitt' at kept; expected one of split, fit, score; did you mean 'fit'?" in unknown.stderr
    nowhere = small.run(*COMMAND, "--rev", "none", check=False)
    assert (nowhere.returncode, "there is no revision 'none'" in nowhere.stderr) == (1, True)
    (small.root / "dvc.lock").write_text("<<<<<<< HEAD\n")
    small.run("git", "commit", "-qam", "Conflict")
    damaged = small.run(*COMMAND, "--rev", "HEAD", check=False)
    assert (damaged.returncode, "dvc.lock" in damaged.stderr) == (1, True)


def test_all_stages_are_explained_and_errors_say_what_to_do(small: Small, tmp_path: Any) -> None:
    lines = small.run(*COMMAND).stdout.splitlines()
    assert [line for line in lines if line and not line.startswith(" ")] == ["split", "fit", "score"]
    unknown = small.run(*COMMAND, "fitt", check=False)
    assert unknown.returncode == 2
    assert "did you mean 'fit'?" in unknown.stderr
    small.edit("params.yaml", "rate: 0.5", "rate: 0.25")
    small.run("dvc", "repro")
    small.commit()
    small.run("git", "clone", "-q", "--depth", "1", f"file://{small.root}", str(tmp_path / "shallow"))
    shallow = Small(tmp_path / "shallow").run(*COMMAND, "fit")
    assert "This clone is shallow" in shallow.stderr
    assert "first run: no commit before it that can be seen has an entry" in shallow.stdout
    lock = small.text("dvc.lock")
    (small.root / "dvc.lock").write_text("[" * 100_000)
    deep = small.run(*COMMAND, check=False)
    assert (deep.returncode, "lists and mappings lie more than 100 deep" in deep.stderr) == (1, True)
    (small.root / "dvc.lock").write_text(lock)
    (small.root / ".git").rename(small.root / "git")
    without = small.run(*COMMAND, check=False)
    assert without.returncode == 1
    assert "is not a Git repository; run `git init` there" in without.stderr


def test_before_the_first_run_and_before_the_first_commit_nothing_is_recorded(small: Small) -> None:
    small.run("rm", "-rf", ".git", "dvc.lock")
    small.run("git", "init", "-q")
    printed = small.run(*COMMAND, "split").stdout
    assert "last: nothing is recorded" in printed
    assert "now: would be restored from DVC's cache\n    first run: dvc.lock has no entry for it" in printed


def test_the_files_of_a_folder_that_differ_are_named(small: Small) -> None:
    small.edit("fit.sh", "model/weights.txt\n", "model/weights.txt\ncp fit.sh model/code.sh\n")
    small.run("dvc", "repro")
    commit = small.commit()
    (model,) = last(small, "score").causes
    assert (last(small, "score").recorded_by, model.files) == (commit, ("model/code.sh",))
    assert str(model).endswith(", written by fit (model/code.sh)")


def test_a_real_stage_has_its_line_of_the_journal(ran: Project) -> None:
    ran.repro("-f", "-s", "preprocess")
    printed = ran.run(*COMMAND, "preprocess").stdout
    assert "journal: ran " in printed
    assert " UTC through dvc" in printed
    assert "journal: it had run with the same inputs before: it was forced, or an output was missing or changed" in printed
    ran.edit(
        "tasks/core/hints.py", "from difflib import get_close_matches\n", "from difflib import get_close_matches  # edited\n"
    )
    assert "(tasks/core/hints.py)" in ran.run(*COMMAND, "download").stdout  # its statement names the files of code
    ran.run("git", "checkout", "-q", "tasks")
    ran.edit("params.yaml", "epochs: 3 ", "epochs: 4 ")
    found = json.loads(ran.run(*COMMAND, "evaluate", "train", "--json").stdout)
    by_name = {stage["stage"]: stage["now"] for stage in found["stages"]}
    assert by_name["train"]["outcome"] == "runs"
    change = {"kind": "parameter", "name": "params.yaml: train.epochs", "before": 3, "after": 4}
    assert by_name["train"]["causes"] == [change]
    assert by_name["evaluate"]["roots"] == [{"stage": "train"} | change]
    assert "train" in ran.repro("evaluate")
    found = json.loads(ran.run(*COMMAND, "evaluate", "train", "--json").stdout)
    by_name = {stage["stage"]: stage for stage in found["stages"]}
    assert {name: stage["now"]["outcome"] for name, stage in by_name.items()} == {"train": "unchanged", "evaluate": "unchanged"}
    assert by_name["train"]["last"]["causes"] == [change]
    assert {"stage": "train"} | change in by_name["evaluate"]["last"]["roots"]


@pytest.mark.parametrize("outcome", [Outcome.CHANGED, Outcome.DEPENDS])
def test_the_name_of_a_stage_cannot_add_a_line_or_clear_the_screen(outcome: Outcome) -> None:
    name = "\x1b[2Jfit\nproven"
    cause = Cause("input", "part.txt", state="modified", made_by=name)
    past = Past(name, "working tree", "", "", "", [cause], [(name, cause)], False, None, False)
    told = Explained(name, past, Forecast(name, outcome, [cause], [name, name]), [(name, cause)])
    text = "\n".join(as_lines(Explanation([told], [])))
    assert text.count(r"\x1b[2Jfit\nproven") == 9
    assert "\x1b" not in text
    assert not any(line.startswith("proven") for line in text.splitlines())
