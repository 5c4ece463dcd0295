"""What an export is made of, and what it refuses."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from flows.lineage.digest import digest_file
from flows.lineage.export.formats import openlineage
from flows.lineage.export.recorded import Commit, Recorded, read_recorded
from flows.lineage.export.write import available
from tasks.contracts.statement import Statement
from tasks.core.errors import ArtifactError, GoodfitError
from tests.conftest import STAGES, Project

pytestmark = pytest.mark.slow


def test_stages_come_after_those_whose_outputs_they_read(ran: Project) -> None:
    found = read_recorded(ran.root)
    assert set(found.stages) == set(STAGES)
    places = list(found.stages)
    for name, statement in found.stages.items():
        before = {found.writers[path] for path in statement.inputs if path in found.writers}
        assert all(places.index(other) < places.index(name) for other in before)


def test_files_are_data_code_or_written_by_a_stage(ran: Project) -> None:
    found = read_recorded(ran.root)
    assert found.files.keys() == found.sources.keys() | found.code.keys() | found.writers.keys()
    assert "tasks/train.py" in found.code
    assert found.writers["models/model.safetensors"] == found.writers["lineage/train.json"] == "train"
    assert found.files["lineage/train.json"] == digest_file(ran.root / "lineage/train.json")


def test_stages_of_different_environments_keep_their_own_versions(ran: Project) -> None:
    found = read_recorded(ran.root)
    document = json.loads((ran.root / "lineage/train.json").read_text().replace("pkg:pypi/torch@", "pkg:pypi/torch@1."))
    stages = {**found.stages, "train": Statement.model_validate_json(json.dumps(document))}
    older = Recorded(ran.root, stages, found.own)
    torch = dict(found.packages)["torch"]
    assert [version for name, version in older.packages if name == "torch"] == [f"1.{torch}", torch]
    assert (dict(older.packages_of("train"))["torch"], dict(older.packages_of("evaluate"))["torch"]) == (f"1.{torch}", torch)


def test_times_are_the_journals_or_else_the_commits(ran: Project) -> None:
    journal = ran.root / ".dvc/tmp/goodfit/journal.jsonl"
    line = next(entry for entry in map(json.loads, journal.read_text().splitlines()) if entry["stage"] == "train")
    times = read_recorded(ran.root).times("train")
    assert (times.started, times.finished, times.source) == (line["started"], line["finished"], "journal")
    ran.run("dvc", "repro", "-f", "-s", "train")  # the same bytes once more: the first run stays the one that recorded them
    assert read_recorded(ran.root).times("train") == times

    journal.unlink()
    committed = ran.run("git", "log", "-1", "--format=%H %cI", "--", "dvc.lock").stdout.split()
    found = read_recorded(ran.root)
    assert found.commit == Commit(*committed)
    assert found.times("train").started == committed[1]
    assert found.times("train").source == "commit"


@pytest.mark.parametrize("started", [1, None, "yesterday", "2026-01-01T00:00:00"])
def test_a_line_of_the_journal_that_has_no_time_is_passed_over(ran: Project, started: object) -> None:
    journal = ran.root / ".dvc/tmp/goodfit/journal.jsonl"
    lines = [json.loads(line) | {"started": started} for line in journal.read_text().splitlines()]
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = read_recorded(ran.root)
    assert found.times("train").source == "commit"
    assert {event.eventTime for event in openlineage.events(found)} == {found.times("train").started}


def test_a_record_that_is_not_committed_has_no_commit_and_no_time(ran: Project) -> None:
    ran.edit("params.yaml", "most_wrong: 24 ", "most_wrong: 12 ")
    ran.repro()
    assert read_recorded(ran.root).commit is None
    (ran.root / ".dvc/tmp/goodfit/journal.jsonl").unlink()
    with pytest.raises(GoodfitError, match=r"nothing says when 'report' ran, .*: commit it"):
        read_recorded(ran.root).times("report")


def edit_the_metrics(project: Project) -> None:
    path = project.root / "metrics/evaluation.json"
    path.write_text(path.read_text().replace('"accuracy": 0.9', '"accuracy": 0.99'))


def edit_the_statement(project: Project) -> None:
    path = project.root / "lineage/train.json"
    path.chmod(0o644)
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))


def train_anew(project: Project) -> None:
    project.edit("params.yaml", "epochs: 3 ", "epochs: 4 ")
    project.run("dvc", "repro", "-s", "train")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            edit_the_metrics,
            "metrics/evaluation.json has sha256 .*; its statement has .*, and an export holds only what was recorded",
        ),
        (edit_the_statement, "lineage/train.json is not the one that dvc.lock records"),
        (train_anew, "compress read models/model.json with sha256 .*, and since then train wrote another one"),
        (lambda project: (project.root / "dvc.lock").unlink(), "dvc.lock records no stage of goodfit yet"),
        (lambda project: (project.root / "lineage/train.json").unlink(), "lineage/train.json is missing"),
        (lambda project: (project.root / "metrics/evaluation.json").unlink(), "metrics/evaluation.json is missing"),
    ],
)
def test_a_record_that_does_not_hold_is_refused(ran: Project, change: Callable[[Project], None], message: str) -> None:
    change(ran)
    with pytest.raises(GoodfitError, match=message):
        _ = read_recorded(ran.root).evaluation
    done = ran.run("goodfit", "lineage", "export", "--format", "model-card", "-o", "card.md", check=False)
    assert (done.returncode, done.stdout, done.stderr[:7]) == (1, "", "error: ")
    assert not (ran.root / "card.md").exists()


def test_a_stage_that_is_not_recorded_is_named_with_the_command_that_runs_it(fresh: Project) -> None:
    fresh.run("dvc", "repro", "download")
    found: Recorded = read_recorded(fresh.root)
    assert list(found.stages) == ["download"]
    with pytest.raises(
        ArtifactError, match=r"dvc.lock records no stage 'evaluate', which this format needs: `dvc repro evaluate`"
    ):
        _ = found.evaluation


def exported(project: Project, folder: Path, *options: str, formats: Iterable[str] = ()) -> dict[str, bytes]:
    """What each format writes, all without `formats`, and the files of the crate by their path in it."""
    folder.mkdir()
    for name in formats or available():
        target = folder / ("crate" if name == "ro-crate" else f"{name}.txt")
        project.run("goodfit", "lineage", "export", "--format", name, "-o", str(target), *options)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_revision_gives_the_bytes_that_its_working_tree_gave(ran: Project, tmp_path: Path) -> None:
    here = exported(ran, tmp_path / "here")
    (ran.root / "README.md").write_text("Another.\n")
    ran.run("git", "tag", "v1")
    ran.run("dvc", "exp", "save", "--name", "kind-crow")
    ran.run("git", "checkout", "-q", "README.md")
    ran.edit("params.yaml", "epochs: 3 ", "epochs: 4 ")
    for path in ("models/model.safetensors", "metrics/evaluation.json", "lineage/train.json"):
        (ran.root / path).unlink()
    (ran.root / "tasks/train.py").write_text("raise SystemExit\n")
    ran.run("git", "commit", "-qam", "Break everything")
    before = ran.run("git", "status", "--porcelain").stdout
    assert ran.run("goodfit", "lineage", "export", "--format", "prov", check=False).returncode == 1
    assert exported(ran, tmp_path / "tag", "--rev", "v1") == here
    experiment = exported(ran, tmp_path / "experiment", "--rev", "kind-crow", formats=("prov", "ro-crate"))
    assert experiment.items() <= here.items()
    assert {"prov.txt", "crate/ro-crate-metadata.json"} <= experiment.keys()
    assert ran.run("git", "status", "--porcelain").stdout == before


def test_a_revision_whose_files_are_in_no_cache_says_what_brings_them(ran: Project) -> None:
    statement, model = (ran.root / path for path in ("lineage/train.json", "models/model.safetensors"))
    for path, format_ in ((model, "ro-crate"), (statement, "prov")):
        md5 = digest_file(path).md5
        (ran.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).unlink()
        options = ("--format", format_, "-o", "made", "--rev", "HEAD")
        done = ran.run("goodfit", "lineage", "export", *options, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"error: {path.relative_to(ran.root)} is missing: " in done.stderr
        assert "`dvc fetch --all-commits`" in done.stderr
        assert not (ran.root / "made").exists()


def test_an_unknown_revision_is_told(ran: Project) -> None:
    done = ran.run("goodfit", "lineage", "export", "--format", "prov", "--rev", "nowhere", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no revision 'nowhere'; expected a commit, a branch or a tag" in done.stderr
