"""`goodfit lineage verify` as a person uses it: the first line, revisions, what is computed again, and the environment."""

import json
import shutil
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from flows.lineage.printed import escaped
from flows.lineage.reading.diff import Change, Diff, as_text
from flows.lineage.statement import environment
from flows.lineage.verification.revision import verify_revision
from flows.lineage.verify import Checks, ExitCode, Verification, verify
from tasks.core.errors import GoodfitError
from tests.conftest import STAGES, Project
from tests.tampering.kinds import METRIC, MODEL, PREDICTIONS, negate
from tests.tampering.world import World

VERIFY = ("python", "-m", "flows.cli", "lineage", "verify")
DEEP = Checks(cache=False, deep=True)


@pytest.fixture
def world(ran: Project) -> World:
    return World(ran.root, ran.root)


def lines(result: Verification) -> list[str]:
    return [str(line) for line in (*result.mismatches, *result.notes)]


def test_what_a_terminal_could_obey_is_printed_as_an_escape() -> None:
    assert escaped("a\x1b[2J\nb\u202ec\u00e9 \\n") == r"a\x1b[2J\nb\u202ecé \\n"
    change = Change("data/\x1b[2J\nproven: all", None, "0" * 32)
    text = as_text(Diff("a", "b", [], [], [change], [], [], [], 0.95, "no predictions"))
    assert r"  data/\x1b[2J\nproven: all: not there → 000000000000" in text.splitlines()


@pytest.mark.slow
def test_the_first_line_says_how_it_is_held_what_came_out_and_how_much_was_read(world: World) -> None:
    head = world.run("git", "rev-parse", "HEAD").stdout[:7]
    metrics, verdict = json.loads(world.text(METRIC)), json.loads(world.text("metrics/diagnosis.json"))["verdict"]
    (line,) = world.run(*VERIFY).stdout.splitlines()
    assert line.startswith(f"proven: {verdict.replace('_', ' ')}, accuracy {metrics['accuracy']:.4f} (")
    assert f" files of {len(STAGES)} stages hashed again (" in line
    assert f"; dvc.lock is that of commit {head} of " in line
    assert line.endswith(", which is not signed")

    world.write("dvc.lock", world.text("dvc.lock") + "\n")
    first, note = world.run(*VERIFY, MODEL).stdout.splitlines()
    assert first.startswith("consistent: ")
    assert "accuracy" not in first  # not of this file
    assert first.endswith(f"; dvc.lock is not committed: it is not that of {head}, which is checked out")
    assert note.startswith("note: not proven: ")
    assert all(mechanism in note for mechanism in ("commit", "signed", "--deep", "training it again"))


@pytest.mark.slow
def test_json_has_all_of_it_and_the_terminal_no_names_that_act(world: World) -> None:
    name = "data/raw/\x1b[2J\nproven: all"
    world.write(name, "1")
    done = world.run(*VERIFY, "data/raw", check=False)
    assert done.returncode == ExitCode.MISMATCH
    assert "\x1b" not in done.stdout + done.stderr
    assert not any(line.startswith("proven") for line in (done.stdout + done.stderr).splitlines())
    found = json.loads(world.run(*VERIFY, "data/raw", "--json", check=False).stdout)
    assert name in {mismatch["path"] for mismatch in found["mismatches"]}
    assert found["outcome"] == "mismatch"
    assert len(found["anchors"][0]["commit"]) == 40


@pytest.mark.slow
def test_show_prints_no_name_that_acts(world: World) -> None:
    world.json("lineage/download.json", lambda found: found["subject"][0].update(name="data/\x1b[2J\nraw"))
    shown = world.run("python", "-m", "flows.cli", "lineage", "show", "data/raw").stdout
    assert r"data/\x1b[2J\nraw" in shown
    assert "\x1b" not in shown


@pytest.mark.slow
def test_a_revision_is_verified_from_git_and_the_cache_and_the_workspace_is_left_alone(world: World) -> None:
    first = world.run("git", "rev-parse", "HEAD").stdout.strip()
    world.replace("params.yaml", "val_fraction: 0.4 ", "val_fraction: 0.3 ")
    world.run("dvc", "repro", "--quiet", "preprocess")
    world.run("git", "commit", "-qam", "Other splits")
    world.write(MODEL, "damaged")
    before = world.outputs() | {"dvc.lock": (world.root / "dvc.lock").read_bytes()}
    result = verify_revision(world.root, first, None, Checks(deep=True))
    assert (result.outcome, lines(result)) == ("proven", [])
    assert result.anchors[0].commit == first
    assert verify_revision(world.root, "HEAD", "data/processed/dataset.json", Checks()).outcome == "proven"
    assert verify(world.root, MODEL).exit_code == ExitCode.MISMATCH
    assert world.outputs() | {"dvc.lock": (world.root / "dvc.lock").read_bytes()} == before
    assert world.run("git", "status", "--short").stdout == ""

    with pytest.raises(GoodfitError, match="there is no revision 'nowhere'; expected a commit"):
        verify_revision(world.root, "nowhere", None, Checks())


@pytest.mark.slow
def test_a_revision_whose_object_is_damaged_or_gone_is_not_proven(world: World) -> None:
    file = world.object(MODEL)
    was = world.digests(MODEL)[0]
    world.flip(file)
    result = verify_revision(world.root, "HEAD", MODEL, Checks())
    assert result.exit_code == ExitCode.MISMATCH
    assert any(f"{MODEL}: statement has sha256 {was}, found sha256 {world.digests(file)[0]}" in line for line in lines(result))
    world.remove(file)
    assert verify_revision(world.root, "HEAD", MODEL, Checks()).exit_code == ExitCode.MISSING


@pytest.mark.slow
def test_an_experiment_is_verified_by_its_name(world: World) -> None:
    options = ("-n", "other", "-S", "preprocess.val_fraction=0.2", "preprocess")
    world.run("dvc", "exp", "run", "--quiet", *options)
    world.run("git", "checkout", "-q", ".")
    world.run("dvc", "checkout", "--quiet", "--force")
    done = world.run(*VERIFY, "--rev", "other", "data/processed/dataset.json")
    assert done.stdout.startswith("proven: ")
    assert world.run(*VERIFY).stdout.startswith("proven: ")


@pytest.mark.slow
@pytest.mark.parametrize("model", ["{name: linear}", "{name: cnn}", "{name: lenet}", "{name: resnet18}"])
def test_the_predictions_of_every_model_are_computed_again_bit_by_bit(world: World, model: str) -> None:
    world.replace("params.yaml", "{name: mlp, hidden: [64]}", model)
    world.replace("params.yaml", "epochs: 3 ", "epochs: 1 ")
    world.run("dvc", "repro", "--quiet", "evaluate")
    assert lines(verify(world.root, METRIC, DEEP)) == []
    negate(world)
    world.reseal()
    assert any(line.startswith(f"evaluate: {PREDICTIONS}: ") for line in lines(verify(world.root, METRIC, DEEP)))


def test_the_models_of_that_test_are_those_of_the_catalogue() -> None:
    from tests.conftest import ROOT

    found = {path.stem for path in (ROOT / "tasks/models").glob("*.py")}
    assert found - {"__init__"} == {"cnn", "imported", "lenet", "linear", "mlp", "resnet18"}  # mlp is the one that ran


@pytest.mark.slow
def test_on_another_machine_numbers_may_be_rounded_and_a_note_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(*given: Any, **options: Any) -> dict[str, Any]:
        return environment(*given, **options) | {"cpu_capability": "OTHER"}

    monkeypatch.setattr("flows.lineage.verification.deep.environment", other)

    def better(by: float) -> list[str]:
        world.json(METRIC, lambda found: found.update(log_loss=found["log_loss"] * by))
        world.reseal()
        return lines(verify(world.root, METRIC, DEEP))

    assert better(1.00001) == [
        "evaluate: ran with another cpu_capability than this: computed numbers may differ by 0.0001 of their value"
    ]
    assert any(f"{METRIC}: log_loss: the recomputation from the stored inputs has " in line for line in better(1.01))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "value", "said"), [("MKL_CBWR", "COMPATIBLE", "MKL_CBWR"), ("OMP_NUM_THREADS", "2", "number of threads")]
)
def test_what_changes_a_bit_here_is_no_false_alarm(
    world: World, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    import numpy as np

    assert np.__version__  # loaded with the threads that this process has
    monkeypatch.setenv(variable, value)
    notes = lines(verify(world.root, METRIC, DEEP))
    assert notes
    assert all(f"ran with another {said} than this" in note for note in notes)


@pytest.mark.slow
def test_other_code_than_that_of_the_repository_is_not_computed_with(world: World) -> None:
    """Here the tests' own code would run, and not that of the copy."""
    world.write("tasks/evaluate.py", world.text("tasks/evaluate.py") + "# other\n")
    with pytest.raises(GoodfitError, match=r"tasks/evaluate\.py: the code that computed again is that of"):
        verify(world.root, METRIC, DEEP)


@pytest.mark.slow
def test_a_changed_file_of_an_installed_package_is_named_with_both_digests(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of the package, found first, in which a file was changed."""
    place, package = world.root.parent / "installed", distribution("safetensors")
    for file in package.files or []:
        if ".." not in file.parts:
            (place / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(str(file.locate()), place / file)
    monkeypatch.setattr(sys, "path", [str(place), *sys.path])

    def only(found: dict[str, list[dict[str, object]]]) -> None:
        found["resolvedDependencies"] = [
            one for one in found["resolvedDependencies"] if "uri" not in one or one["name"] == "safetensors"
        ]

    world.json("lineage/train.json", lambda found: only(found["predicate"]["buildDefinition"]))
    world.reseal()
    assert lines(verify(world.root, MODEL, Checks(environment=True))) == []
    changed = World(place, place)
    was = changed.digests("safetensors/numpy.py")[0]
    changed.flip("safetensors/numpy.py")
    now = changed.digests("safetensors/numpy.py")[0]
    (line,) = lines(verify(world.root, MODEL, Checks(environment=True)))
    assert line.startswith("environment: safetensors: ")
    assert line.endswith(f"safetensors/numpy.py: the wheel has sha256 {was}, found sha256 {now}")


@pytest.mark.slow
def test_other_requirements_are_named(world: World) -> None:
    found = "data/processed/dataset.json", Checks(environment=True)
    text = world.text("requirements.lock")
    world.write("requirements.lock", f"# a comment locks nothing\n{text}")
    assert lines(verify(world.root, *found)) == []
    (pinned,) = (
        line for line in text.splitlines() if line.startswith("safetensors==")
    )  # numpy has two, for two versions of Python
    number = pinned.split()[0].removeprefix("safetensors==")
    world.write("requirements.lock", text.replace(pinned, pinned.replace(number, "0.1")))
    said = lines(verify(world.root, *found))
    assert any(line.startswith("download: requirements.lock: statement has sha256 ") for line in said)
    assert any(line.startswith("environment: safetensors: requirements.lock has version 0.1") for line in said)
    world.remove("requirements.lock")
    result = verify(world.root, *found)
    assert result.exit_code == ExitCode.MISSING
    assert any("requirements.lock" in line and "no file" in line for line in lines(result))


@pytest.mark.slow
def test_a_run_at_the_same_time_is_noticed(world: World) -> None:
    def advance(_done: int, _total: int) -> None:
        world.write("dvc.lock", world.text("dvc.lock") + "\n")

    with pytest.raises(GoodfitError, match=r"dvc\.lock changed while it was verified"):
        verify(world.root, "data/raw", advance=advance)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dvc.lock", "dvc.yaml", "params.yaml"])
def test_a_folder_where_the_record_should_be_ends_with_an_error_of_one_line(world: World, name: str) -> None:
    world.remove(name)
    (world.root / name).mkdir()
    done = world.run(*VERIFY, check=False)
    assert done.returncode == ExitCode.NOT_CHECKED
    assert done.stderr == f"error: {name} is a folder; expected a file: `git checkout {name}` brings the committed one back\n"


def test_a_path_in_the_project_is_needed(tmp_path: Path) -> None:
    with pytest.raises(GoodfitError, match=r"dvc\.yaml is missing"):
        verify(tmp_path)
