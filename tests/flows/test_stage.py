"""`python -m flows.stage NAME`: the seal, the messages and the exit codes."""

import json
import os
import sys
from pathlib import Path

import pytest

from benchmarks.stages import call
from flows.declaration import Declaration, DeclarationError, read_declaration, read_params
from flows.lineage.digest import digest_paths
from flows.sealing import Seal, seal
from flows.stage import run_stage
from tasks.core.errors import ArtifactError, GoodfitError
from tests.conftest import ROOT, Project

STAGE = ("python", "-m", "flows.stage")


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """A pipeline of one stage that reads one folder."""
    (tmp_path / "dvc.yaml").write_text(
        "stages: {copy: {cmd: x, deps: [in], params: [seed], outs: [{out: {cache: false}}, '${download.path}']}}"
    )
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.txt").write_text("a")
    (tmp_path / "in/b.py").write_text("b")
    return tmp_path


def sealed(root: Path, declared: Declaration) -> Seal:
    return seal(root, declared, read_params(root))


def test_reads_what_dvc_yaml_declares(pipeline: Path) -> None:
    declared = read_declaration(pipeline, "copy")
    assert (declared.deps, declared.params, declared.outs) == (("in",), ("seed",), ("out", "data/source/README.md"))


def test_an_unknown_stage_names_those_that_are(pipeline: Path) -> None:
    with pytest.raises(DeclarationError, match=r"unknown stage 'trian'; dvc\.yaml has copy"):
        read_declaration(pipeline, "trian")


def test_a_key_that_params_yaml_lacks_is_named(pipeline: Path) -> None:
    (pipeline / "dvc.yaml").write_text("stages: {copy: {cmd: x, deps: ['${download.pth}']}}")
    with pytest.raises(DeclarationError, match=r"dvc.yaml uses \$\{download.pth\}; params.yaml has no such key"):
        read_declaration(pipeline, "copy")


def test_the_seal_sees_content_not_times(pipeline: Path) -> None:
    declared = read_declaration(pipeline, "copy")
    before = sealed(pipeline, declared)
    (pipeline / "in/a.txt").touch()
    assert sealed(pipeline, declared) == before
    (pipeline / "in/a.txt").write_text("b")
    assert sealed(pipeline, declared) != before


@pytest.mark.parametrize("change", ["added", "removed", "param"])
def test_the_seal_sees_files_that_come_and_go_and_parameters(pipeline: Path, change: str) -> None:
    declared = read_declaration(pipeline, "copy")
    before = sealed(pipeline, declared)
    if change == "added":
        (pipeline / "in/c.txt").write_text("")
    elif change == "removed":
        (pipeline / "in/a.txt").unlink()
    else:
        text = (pipeline / "params.yaml").read_text()
        (pipeline / "params.yaml").write_text(text.replace("seed: 0", "seed: 1"))
    assert sealed(pipeline, declared) != before


@pytest.mark.slow
@pytest.mark.parametrize("file", ["tasks/evaluate.py", "tasks/core/files.py"])
def test_code_that_changed_since_this_process_imported_it_is_refused(ran: Project, file: str) -> None:
    edit = f"open({file!r}, 'a').write('raise RuntimeError')"
    script = f"import flows.stage, tasks.evaluate; {edit}; flows.stage.run_stage('evaluate')"
    refused = ran.run(sys.executable, "-c", script, check=False)
    assert refused.returncode == 1
    assert f"evaluate: changed since this process read it: {file}; start the run again" in refused.stderr


def test_a_chosen_component_that_dvc_yaml_does_not_declare_is_refused(fresh: Project) -> None:
    fresh.edit("dvc.yaml", "      - tasks/learning/schedules/${train.schedule.name}.py\n", "")
    done = fresh.run(*STAGE, "train", check=False)
    assert done.returncode == 1
    assert "train: would run tasks/learning/schedules/constant.py, which is not among its `deps`" in done.stderr
    assert "`make deps` adds it" in done.stderr


@pytest.mark.parametrize(
    ("file", "cure"),
    [
        ("dvc.yaml", "`git checkout dvc.yaml` brings back the committed one"),
        ("params.yaml", "`git checkout params.yaml` brings back the committed one, `goodfit use digits` writes a new one"),
    ],
)
def test_a_missing_file_is_named_with_its_own_cure(fresh: Project, file: str, cure: str) -> None:
    (fresh.root / file).unlink()
    done = fresh.run(*STAGE, "download", check=False)
    assert done.returncode == 1
    assert done.stderr == f"error: {fresh.root / file} is missing: {cure}\n"


def test_the_parameters_are_read_once_and_those_are_handed_on(fresh: Project) -> None:
    """A file that changes after it was read changes nothing but the verdict."""
    script = (
        "import flows.stage as stage, tasks.download as download; original = download.download\n"
        "def edited(params, root):\n"
        "    path = root / 'params.yaml'\n"
        "    path.write_text(path.read_text().replace('{name: digits} ', '{name: image_folder} '))\n"
        "    original(params, root)\n"
        "    print('handed', params.download.dataset.name)\n"
        "download.download = edited; stage.run_stage('download')"
    )
    done = fresh.run(sys.executable, "-c", script, check=False)
    assert "handed digits" in done.stdout
    assert "download: changed while it ran: params.yaml: download" in done.stderr
    assert not (fresh.root / "data/raw").exists()


@pytest.mark.slow
def test_a_typo_says_how_to_get_the_removed_outputs_back(ran: Project) -> None:
    model = (ran.root / "models/model.safetensors").read_bytes()
    ran.edit("params.yaml", "epochs: 3 ", "epohcs: 3 ")
    failed = ran.run("dvc", "repro", "train", check=False)
    assert "bring back those of the last run with `git checkout params.yaml` and `dvc checkout train`" in failed.stderr
    ran.run("git", "checkout", "params.yaml")
    ran.run("dvc", "checkout", "train")
    assert (ran.root / "models/model.safetensors").read_bytes() == model
    assert ran.is_clean()


def test_code_is_compiled_from_the_bytes_that_are_hashed_not_from_bytecode(fresh: Project) -> None:
    """Bytecode whose header fits a source of the same size and mtime is what Python alone would run."""
    source = fresh.root / "tasks/core/errors.py"
    fresh.run(sys.executable, "-m", "compileall", "-q", "tasks/core")
    before, text = source.stat(), source.read_text()
    source.write_text(text.replace("class ParamsError", "class ParamsErr0r"))
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    command = (sys.executable, "-c", "import sys; {}; import tasks.core.errors as e; print(hasattr(e, 'ParamsErr0r'))")
    assert fresh.run(*command[:2], command[2].format("pass")).stdout == "False\n"  # Python alone
    assert fresh.run(*command[:2], command[2].format("import flows")).stdout == "True\n"


def test_a_missing_input_is_named(pipeline: Path) -> None:
    declared = read_declaration(pipeline, "copy")
    for file in (pipeline / "in").iterdir():
        file.unlink()
    (pipeline / "in").rmdir()
    with pytest.raises(ArtifactError, match=r"copy: its input .*in is missing"):
        sealed(pipeline, declared)


def test_bytecode_is_no_input(pipeline: Path) -> None:
    before = digest_paths(pipeline, ["in"])
    (pipeline / "in/__pycache__").mkdir()
    (pipeline / "in/__pycache__/b.cpython-311.pyc").write_text("")
    assert digest_paths(pipeline, ["in"]) == before


def test_the_code_of_another_repository_is_refused(pipeline: Path) -> None:
    text = (ROOT / "dvc.yaml").read_text()
    (pipeline / "dvc.yaml").write_text(text)
    with pytest.raises(GoodfitError, match=r"the code that would run lies in .*, the pipeline in"):
        run_stage("download", pipeline)


def test_a_stage_that_is_started_in_a_sub_folder_is_refused_and_leaves_nothing_there(fresh: Project) -> None:
    done = fresh.run("sh", "-c", f"cd tasks && {' '.join(STAGE)} train", check=False)
    assert done.returncode == 1
    assert done.stderr == f"error: {fresh.root / 'tasks/dvc.yaml'} is missing: run this in {fresh.root}\n"
    assert not (fresh.root / "tasks/.dvc").exists()


@pytest.mark.slow
def test_a_stage_that_fails_exits_with_1_a_message_and_no_partial_output(ran: Project) -> None:
    (ran.root / "data/processed/train.safetensors").unlink()
    done = ran.run(*STAGE, "train", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: train: its input ")
    assert "Traceback" not in done.stderr
    last = json.loads(ran.text(".dvc/tmp/goodfit/journal.jsonl").splitlines()[-1])
    assert (last["stage"], last["outcome"], last["door"]) == ("train", "failed", "dvc")


@pytest.mark.slow
def test_outputs_of_a_stage_that_fails_late_are_removed(ran: Project) -> None:
    (ran.root / "lineage/.download.json.partial").mkdir()  # the statement cannot be written: the last step fails
    done = ran.run(*STAGE, "download", check=False)
    assert done.returncode == 1
    assert not (ran.root / "data/raw").exists()
    assert not (ran.root / "lineage/download.json").exists()


def test_params_are_checked_before_anything_runs(fresh: Project) -> None:
    fresh.edit("params.yaml", "epochs: 3 ", "epohcs: 3 ")
    done = fresh.run(*STAGE, "download", check=False)
    assert done.returncode == 1
    assert "train.epohcs: unknown key" in done.stderr
    assert "did you mean 'epochs'?" in done.stderr
    assert not (fresh.root / "data/raw").exists()


@pytest.mark.parametrize(("arguments", "code"), [((), 2), (("train", "evaluate"), 2), (("trian",), 1)])
def test_a_wrong_call_says_so(fresh: Project, arguments: tuple[str, ...], code: int) -> None:
    done = fresh.run(*STAGE, *arguments, check=False)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert "usage" in done.stderr or "unknown stage 'trian'; dvc.yaml has download, preprocess" in done.stderr


@pytest.mark.slow
def test_a_full_disk_is_an_error_of_one_line_and_leaves_no_output(ran: Project) -> None:
    before = ran.text("dvc.lock")
    limited = ran.run(
        "bash", "-c", "ulimit -f 20; exec python -m flows.stage preprocess", check=False
    )  # files of at most 20 KiB
    assert limited.returncode == 1
    assert "Traceback" not in limited.stderr
    assert "File too large" in limited.stderr
    assert not (ran.root / "data/processed/train.safetensors").exists()
    assert not list(ran.root.glob("data/processed/.*.partial"))
    assert ran.text("dvc.lock") == before


def damage(path: Path) -> None:
    path.unlink()
    path.write_text("{}")


@pytest.mark.slow
def test_a_damaged_artifact_is_an_error_of_one_line(ran: Project) -> None:
    damage(ran.root / "models/model.json")
    done = ran.run(*STAGE, "diagnose", check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "models/model.json is" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("file", ["data/processed/dataset.json", "results/dynamics.safetensors"])
def test_each_damaged_artifact_is_named(ran: Project, file: str) -> None:
    damage(ran.root / file)
    with pytest.raises(ArtifactError, match=f"{file} is"):
        call("diagnose", ran.root)
