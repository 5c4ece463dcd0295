"""Every recorded run as a table."""

import hashlib
import json
import resource
import subprocess
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flows.lineage.history import WORKING_TREE
from flows.lineage.lock import parse_lock
from flows.lineage.reading.list import collect, fitted, runs
from tests.conftest import ROOT, Project
from tests.flows.lineage.world import World

EVALUATION, DIAGNOSIS = "metrics/evaluation.json", "metrics/diagnosis.json"


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def metrics(accuracy: float, verdict: str = "good") -> dict[str, str]:
    """The two files of metrics."""
    return {
        EVALUATION: json.dumps({"n": 10, "accuracy": accuracy, "log_loss": 1 - accuracy}),
        DIAGNOSIS: json.dumps({"verdict": verdict, "flags": 1}),
    }


def lock(files: dict[str, str], epochs: int = 3, results: str = "d" * 32) -> str:
    """A dvc.lock that records these files of metrics."""

    def outs(**paths: str) -> list[dict[str, str]]:
        return [{"path": path, "md5": digest} for path, digest in paths.items()]

    stages = {
        "download": {"cmd": "a", "outs": outs(**{"data/raw": f"{'a' * 32}.dir"})},
        "train": {
            "cmd": "b",
            "params": {"params.yaml": {"seed": 0, "train": {"epochs": epochs}}},
            "outs": outs(**{"models/model.safetensors": f"{epochs:032}"}),
        },
        "evaluate": {"cmd": "c", "outs": outs(**{path: md5(text) for path, text in files.items()})},
        "diagnose": {"cmd": "d", "outs": outs(**{"results/diagnosis.json": results})},
    }
    return json.dumps({"schema": "2.0", "stages": stages})


def commit(world: World, files: dict[str, str], **options: Any) -> str:
    for path, text in files.items():
        world.put(path, text)
    return world.commit(lock(files, **options))


def test_metrics_verdict_parameters_and_digests_are_those_of_each_commit(world: World) -> None:
    first = commit(world, metrics(0.5), epochs=1)
    second = commit(world, metrics(0.75, "overfit"), epochs=2)
    table = runs(world.root)
    assert list(table["revision"]) == [second, first]
    assert list(table["metrics.evaluation.accuracy"]) == [0.75, 0.5]
    assert list(table["verdict"]) == ["overfit", "good"]
    assert list(table["params.train.epochs"]) == [2, 1]
    assert "params.seed" not in table  # all runs have the same
    assert list(table["data"]) == [f"{'a' * 32}.dir"] * 2
    assert list(table["model"]) == [f"{2:032}", f"{1:032}"]
    assert list(table["author"]) == ["t", "t"]
    assert list(table["commit"].str.startswith((first, second))) == [True, True]
    assert str(table["date"].dtype).startswith("datetime64")


def test_a_metric_that_is_not_the_one_of_the_lock_is_left_out(world: World) -> None:
    forged = metrics(0.5)
    forged[EVALUATION] = forged[EVALUATION].replace("0.5", "0.9")
    for path, text in forged.items():
        world.put(path, text)
    world.commit(lock(metrics(0.5)))
    (run,) = collect(world.root).runs
    assert "evaluation.accuracy" not in run.metrics
    assert run.metrics["diagnosis.flags"] == 1


def test_metrics_and_verdict_of_an_earlier_run_are_left_out(world: World) -> None:
    files = metrics(0.5)
    for path, text in files.items():
        world.put(path, text)
    stages = json.loads(lock(files))["stages"]
    stages["evaluate"]["deps"] = [{"path": "models/model.safetensors", "md5": f"{3:032}"}]
    world.commit(json.dumps({"stages": stages}))
    assert collect(world.root).runs[0].metrics["evaluation.accuracy"] == 0.5
    stages["train"]["outs"][0]["md5"] = "e" * 32  # trained again, and not evaluated
    world.commit(json.dumps({"stages": stages}))
    newest = collect(world.root).runs[0]
    assert (newest.metrics, newest.verdict, newest.model) == ({}, None, "e" * 32)


def test_the_verdict_comes_from_the_cache_where_the_commit_lacks_its_metrics(world: World) -> None:
    stored = world.cache(json.dumps({"verdict": "leakage"}))
    world.commit(lock(metrics(0.5), results=stored))
    (run,) = collect(world.root).runs
    assert (run.verdict, run.metrics) == ("leakage", {})


def test_metrics_nested_without_end_are_left_out(world: World) -> None:
    text = "[" * 100_000
    world.put(EVALUATION, text)
    world.commit(lock({EVALUATION: text}))
    (run,) = collect(world.root).runs
    assert run.metrics == {}


def test_an_unknown_name_is_repeated_without_what_acts_on_a_terminal(world: World) -> None:
    commit(world, {})
    done = world.goodfit("lineage", "list", "--sort-by", "\x1b[2J", check=False)
    assert done.returncode == 2
    assert r"unknown column '\x1b[2J'" in done.stderr
    assert "\x1b" not in done.stderr


def test_a_date_among_the_parameters_is_shown_as_its_text(world: World) -> None:
    for day in (1, 2):
        world.commit(lock({}).replace('"seed": 0', f'"seed": 2020-01-0{day}, "days": [2020-01-0{day}]'))
    done = world.goodfit("lineage", "list", "--sort-by", "seed")
    assert [line.split()[-4:-2] for line in done.stdout.splitlines()[1:]] == [
        [f"2020-01-0{day}", f'["2020-01-0{day}"]'] for day in (1, 2)
    ]
    for arguments in (("list", "--json"), ("diff", "HEAD~", "HEAD", "--json")):
        assert '"2020-01-01"' in world.goodfit("lineage", *arguments).stdout


def test_an_experiment_has_its_name_and_the_working_tree_is_a_run_where_it_differs(world: World) -> None:
    first = commit(world, metrics(0.5), epochs=1)
    commit(world, metrics(0.6), epochs=2)
    world.run("git", "update-ref", f"refs/exps/ab/{'c' * 38}/slow-owl", "HEAD")
    world.run("git", "reset", "-q", "--hard", "HEAD~")
    assert [run.revision for run in collect(world.root).runs] == ["slow-owl", first]
    for path, text in metrics(0.7).items():
        world.put(path, text)
    world.write(lock(metrics(0.7), epochs=4))
    here, owl, _ = collect(world.root).runs
    assert (here.revision, here.metrics["evaluation.accuracy"], here.params["train.epochs"]) == (WORKING_TREE, 0.7, 4)
    assert (owl.experiment, here.experiment) == (True, False)


def test_runs_of_several_time_zones_are_in_the_order_of_time(world: World) -> None:
    def dated(when: str, epochs: int) -> str:
        world.write(lock({}, epochs=epochs))
        world.run("git", "add", "dvc.lock")
        world.run("git", "commit", "-qm", "Run", GIT_COMMITTER_DATE=when)
        return world.run("git", "rev-parse", "--short", "HEAD").stdout.strip()

    early = dated("2026-01-01T10:00:00+05:00", 1)  # 05:00 UTC
    world.run("git", "checkout", "-q", "--orphan", "side")
    late = dated("2026-01-01T06:00:00+00:00", 2)
    assert [run.revision for run in collect(world.root).runs] == [late, early]
    listed = json.loads(world.goodfit("lineage", "list", "--json", "--sort-by", "date").stdout)["runs"]
    assert [run["revision"] for run in listed] == [early, late]


def test_sorts_by_metric_and_parameter_and_says_which_columns_there_are(world: World) -> None:
    for accuracy, epochs in ((0.5, 3), (0.9, 1), (0.7, 2)):
        commit(world, metrics(accuracy), epochs=epochs)
    world.commit(lock(metrics(0.99), epochs=9))  # without its metrics

    def listed(*options: str) -> list[Any]:
        printed = world.goodfit("lineage", "list", "--json", *options).stdout
        return [run["params"].get("train.epochs") for run in json.loads(printed)["runs"]]

    assert listed("--sort-by", "accuracy") == [3, 2, 1, 9]
    assert listed("--sort-by", "accuracy", "--reverse") == [1, 2, 3, 9]
    assert listed("--sort-by", "train.epochs", "-n", "2") == [1, 2]
    unknown = world.goodfit("lineage", "list", "--sort-by", "acuracy", check=False)
    assert unknown.returncode == 2
    assert "unknown column 'acuracy'" in unknown.stderr
    assert "did you mean 'accuracy'?" in unknown.stderr


def test_the_table_has_one_line_for_each_run_and_names_cannot_break_it(world: World) -> None:
    first = commit(world, metrics(0.5), epochs=1)
    world.run("git", "config", "user.name", "x")
    second = commit(world, metrics(0.25, "under\u202efit"), epochs=2)
    header, *lines = world.goodfit("lineage", "list").stdout.splitlines()
    assert header.split() == ["revision", "date", "author", "verdict", "accuracy", "log_loss", "train.epochs", "data", "model"]
    assert [line.split()[0] for line in lines] == [second, first]
    assert "under\\u202efit" in lines[0]
    assert lines[1].split()[4:] == ["good", "0.5000", "0.5000", "1", "a" * 8, "0" * 8]


def test_says_what_is_missing(world: World, tmp_path: Path) -> None:
    nothing = world.goodfit("lineage", "list")
    assert "No run is recorded yet" in nothing.stderr
    commit(world, metrics(0.5), epochs=1)
    torn = world.commit(lock({})[:-20])
    commit(world, metrics(0.6), epochs=2)
    assert f"The dvc.lock of {torn} is not what DVC writes" in world.goodfit("lineage", "list").stderr
    world.run("git", "clone", "-q", "--depth", "1", f"file://{world.root}", str(tmp_path / "shallow"))
    shallow = World(tmp_path / "shallow")
    (shallow.root / ".dvc").mkdir()
    assert "This clone is shallow" in shallow.goodfit("lineage", "list").stderr
    assert len(collect(shallow.root).runs) == 1
    (world.root / ".git").rename(world.root / "git")
    without = world.goodfit("lineage", "list", check=False)
    assert (without.returncode, "is not in a Git repository" in without.stderr) == (1, True)


@pytest.mark.slow
def test_real_runs_and_experiments_have_the_metrics_that_they_wrote(ran: Project) -> None:
    ran.run("dvc", "exp", "run", "-n", "narrower", "-S", "evaluate.confidence=0.9", "evaluate")
    wrote = json.loads(ran.text(EVALUATION))
    verdict = json.loads(ran.text(DIAGNOSIS))["verdict"]
    ran.run("git", "checkout", "-q", "params.yaml", "dvc.lock", "metrics")
    before = json.loads(ran.text(EVALUATION))
    table = runs(ran.root).set_index("revision")
    assert wrote["accuracy_ci_low"] > before["accuracy_ci_low"]
    assert list(table["metrics.evaluation.accuracy_ci_low"]) == [wrote["accuracy_ci_low"], before["accuracy_ci_low"]]
    assert table.loc["narrower", "params.evaluate.confidence"] == 0.9
    assert table.loc["narrower", "verdict"] == verdict
    assert list(table["experiment"]) == [True, False]


@pytest.mark.slow
def test_a_thousand_commits_and_two_hundred_experiments_take_a_few_seconds(world: World) -> None:
    """Of this project's dvc.lock: each commit has other parameters, models, results and metrics, as a long search has them."""
    _import_history(world, commits=1000, experiments=200)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    printed = json.loads(world.goodfit("lineage", "list", "--json").stdout)["runs"]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime  # others may use the cores meanwhile
    assert len(printed) == 1200
    assert sum(run["experiment"] for run in printed) == 200
    assert {run["metrics"]["evaluation.accuracy"] for run in printed} == {number / 1200 for number in range(1200)}
    assert seconds < 9, "3 s of a core were seen"


def _import_history(world: World, commits: int, experiments: int) -> None:
    """Commits on one branch, and DVC's experiments on the last of them."""
    template = (ROOT / "dvc.lock").read_text()
    recorded = json.loads((ROOT / EVALUATION).read_text())
    later = [out for stage in list(parse_lock(template).values())[2:] for out in stage.outs.items()]
    stream = []
    for number in range(commits + experiments):
        evaluation = json.dumps(recorded | {"accuracy": number / (commits + experiments)})
        files = {EVALUATION: evaluation, DIAGNOSIS: json.dumps({"verdict": "good", "flags": number})}
        text = template.replace("epochs: 150", f"epochs: {number}")
        for path, digest in later:  # where they are written and where they are read
            text = text.replace(digest, md5(files.get(path, f"{digest}{number}")) + digest[32:])
        reference = "refs/heads/main" if number < commits else f"refs/exps/ab/{'c' * 38}/exp-{number}"
        parent = "from refs/heads/main\n" if number >= commits else ""
        stream.append(f"commit {reference}\ncommitter t <t@t> {1_700_000_000 + number} +0000\ndata 1\nx\n{parent}")
        for path, content in {"dvc.lock": text, **files}.items():
            stream.append(f"M 644 inline {path}\ndata {len(content.encode())}\n{content}\n")
    given = "".join(stream).encode()
    subprocess.run(["git", "fast-import", "--quiet"], cwd=world.root, input=given, check=True)
    world.run("git", "reset", "-q", "--hard", "main")


def test_the_screen_shows_the_parameters_that_fit_and_names_the_others(world: World) -> None:
    for epochs in (1, 2):
        params = {"seed": epochs, "train": {f"option_with_a_long_name_{number}": epochs * number for number in range(1, 31)}}
        entry = {"cmd": "b", "params": {"params.yaml": params | ({"only_here": 1} if epochs == 2 else {})}}
        world.commit(json.dumps({"schema": "2.0", "stages": {"train": entry}}))
    for width, shown_params in ((100, 2), (400, 8)):
        made, left_out = fitted(collect(world.root), width)
        headers = [str(column.header) for column in made.columns]
        assert len([header for header in headers if header == "seed" or header.startswith("train.")]) == shown_params
        target = Console(width=width)
        with target.capture() as captured:
            target.print(made)
        assert len(captured.get().splitlines()) == 3  # nothing is broken into several lines
        assert left_out.endswith(f"and {32 - shown_params - 8} more parameters differ too: --json has them.")
        assert "only_here" not in headers


def test_on_a_narrow_screen_authors_are_cut_and_dates_stay_whole(world: World) -> None:
    world.run("git", "config", "user.name", "x")
    world.write(json.dumps({"schema": "2.0", "stages": {"train": {"cmd": "b"}}}))
    world.run("git", "add", "dvc.lock")
    author = "A Person With Quite A Long Name Of Many Words <a@b.example>"
    world.run("git", "commit", "-qm", "Run", "--author", author, GIT_AUTHOR_NAME=author.partition(" <")[0])
    listing = collect(world.root)
    (run,) = listing.runs
    assert run.author == author.partition(" <")[0]
    target = Console(width=80)
    with target.capture() as captured:
        target.print(fitted(listing, 80)[0])
    lines = captured.get().splitlines()
    assert len(lines) == 2
    assert run.date[:16].replace("T", " ") in lines[1]
    assert "A Person" in lines[1]
    assert "…" in lines[1]
