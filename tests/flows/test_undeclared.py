"""What a stage reads or runs without declaring it: refused where it is of the repository, listed where it is not."""

import os
import sys
import tempfile
from pathlib import Path

import pytest

from flows.declaration import Declaration
from flows.executed import Executed
from flows.lineage.digest import digest_file
from flows.undeclared import judge
from tasks.contracts.statement import read_statement
from tests.conftest import GATE, Project

pytestmark = pytest.mark.slow
STAGE = (sys.executable, "-m", "flows.stage", "download")
READERS = {
    "open": ("notes.txt", "open(extra).read()"),
    "os.open": ("notes.txt", "import os; os.read(os.open(extra, os.O_RDONLY), 1)"),
    "safetensors": ("numbers.safetensors", "from safetensors.numpy import load_file; load_file(extra)"),
    "read_parquet": ("table.parquet", "import pandas; pandas.read_parquet(extra)"),
}
NATIVE = ("safetensors", "read_parquet")


def choose(project: Project, line: str) -> None:
    """Let the download run a component of the user's own, which runs this line too."""
    text = project.text("tasks/datasets/digits.py")
    with_line = text.replace("    shutil.copyfile(", f"    {line}\n    shutil.copyfile(")
    assert with_line != text
    (project.root / "tasks/datasets/own.py").write_text(with_line)
    project.edit("params.yaml", "{name: digits}", "{name: own}")


def write_extra(path: Path) -> None:
    import numpy as np
    import pandas as pd
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file({"x": np.zeros(3)}, path)
    elif path.suffix == ".parquet":
        pd.DataFrame({"x": [1, 2]}).to_parquet(path)
    else:
        path.write_text("notes")


def test_a_package_whose_file_is_read_is_stated_where_the_environment_is_a_link(fresh: Project, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(Path(sys.prefix).resolve())
    fresh.run(str(tmp_path / "link/bin/python"), *STAGE[1:])
    assert set(read_statement(fresh.root, "download").packages) == {"scikit-learn"}


@pytest.mark.parametrize("reader", READERS)
def test_a_file_of_the_repository_that_is_read_must_be_declared(fresh: Project, reader: str) -> None:
    if reader in NATIVE and sys.platform != "linux":
        pytest.skip("native readers are seen on Linux only")
    name, line = READERS[reader]
    write_extra(fresh.root / "data/extra" / name)
    choose(fresh, f"extra = 'data/extra/{name}'; {line}")
    refused = fresh.run(*STAGE, check=False)
    assert refused.returncode == 1
    assert f"download: read data/extra/{name}, which dvc.yaml does not declare" in refused.stderr
    to_add = f"      - data/extra/{name}\n"
    assert f"add it under `deps:` of the stage download:\n{to_add}" in refused.stderr
    assert not (fresh.root / "data/raw").exists()
    fresh.edit("dvc.yaml", "      - ${download.path}\n", f"      - ${{download.path}}\n{to_add}")
    fresh.repro("download")
    assert f"data/extra/{name}" in read_statement(fresh.root, "download").inputs


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("open(extra, 'a').close(); open(extra).read()", "download: read notes.txt, which dvc.yaml does not declare"),
        (
            "import os; os.rename(extra, raw / 'notes.txt'); open(raw / 'notes.txt').read()",
            "download: moved notes.txt, which dvc.yaml does not declare, so that an edit of it would not run the stage again; put it "
            "back, let the stage copy it instead, and add it under `deps:`",
        ),
    ],
)
def test_a_file_of_the_repository_that_is_added_to_or_moved_is_no_output_of_the_stage(
    fresh: Project, line: str, message: str
) -> None:
    write_extra(fresh.root / "notes.txt")
    choose(fresh, f"extra = 'notes.txt'; {line}")
    refused = fresh.run(*STAGE, check=False)
    assert refused.returncode == 1
    assert message in refused.stderr


def test_a_link_to_what_is_declared_is_that(fresh: Project) -> None:
    (fresh.root / "link.md").symlink_to("data/source/README.md")
    choose(fresh, "open('link.md').read(); open('data/source/../source/README.md').read()")
    fresh.run(*STAGE)


def test_what_the_stage_itself_writes_may_be_read(fresh: Project) -> None:
    choose(
        fresh, "open('mine.txt', 'w').write('x'); open('mine.txt').read(); open(raw / 'x', 'w').close(); open(raw / 'x').read()"
    )
    fresh.run(*STAGE)


def test_a_file_that_dvcignore_hides_in_an_input_folder_is_told(fresh: Project) -> None:
    (fresh.root / "data/source/hidden.pyc").write_text("x")
    fresh.edit("params.yaml", "path: data/source/README.md", "path: data/source")
    choose(fresh, "open('data/source/hidden.pyc').read()")
    refused = fresh.run(*STAGE, check=False)
    assert "download: read data/source/hidden.pyc, which .dvcignore leaves out of the stage's inputs" in refused.stderr


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("import tasks.datasets.csv", "tasks/datasets/csv.py"),
        ("sys.path.insert(0, 'tasks/__pycache__'); import hidden", "tasks/__pycache__/hidden/__init__.py"),
        ("import helper", "helper.py"),
    ],
)
def test_code_of_the_repository_that_ran_must_be_declared(fresh: Project, line: str, file: str) -> None:
    for path in (fresh.root / "tasks/__pycache__/hidden/__init__.py", fresh.root / "helper.py"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n")
    choose(fresh, f"import sys; {line}")
    refused = fresh.run(*STAGE, check=False)
    assert refused.returncode == 1
    assert f"download: ran {file}" in refused.stderr
    assert f"      - {file}\n" in refused.stderr
    assert not (fresh.root / "data/raw").exists()


def test_declared_code_beside_tasks_is_compiled_from_what_is_sealed(fresh: Project) -> None:
    """Stale bytecode beside it would otherwise run."""
    helper = fresh.root / "helper.py"
    helper.write_text("x = 1\n")
    fresh.run(sys.executable, "-m", "compileall", "-q", "helper.py")
    before = helper.stat()
    helper.write_text("x = 2\n")
    os.utime(helper, ns=(before.st_atime_ns, before.st_mtime_ns))
    choose(fresh, "import helper; print('ran', helper.x)")
    fresh.edit("dvc.yaml", "      - ${download.path}\n", "      - ${download.path}\n      - helper.py\n")
    assert "ran 2" in fresh.run(*STAGE).stdout
    statement = read_statement(fresh.root, "download")
    assert ("helper.py" in statement.inputs, statement.undeclared) == (True, {})


def test_a_file_outside_is_listed_with_its_digest(fresh: Project, tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    outside = tmp_path / "elsewhere.txt"
    outside.write_text("facts")
    choose(fresh, f"open({str(outside)!r}).read(); import tempfile; tempfile.NamedTemporaryFile().read()")
    fresh.run(*STAGE, TMPDIR=str(tmp_path / "temporary"))
    statement = read_statement(fresh.root, "download")
    assert statement.undeclared == {str(outside): digest_file(outside)}
    assert not any("elsewhere" in name for name in statement.inputs)


def test_a_file_in_the_users_folder_is_found_again_by_verify(fresh: Project, tmp_path: Path) -> None:
    """The statement has it without the name of the user."""
    home, temporary, facts = tmp_path / "home", tmp_path / "temporary", tmp_path / "home/facts.txt"
    home.mkdir()
    temporary.mkdir()
    facts.write_text("facts")
    choose(fresh, f"open({str(facts)!r}).read()")
    fresh.run("dvc", "repro", "download", HOME=str(home), TMPDIR=str(temporary))
    assert set(read_statement(fresh.root, "download").undeclared) == {"~/facts.txt"}

    def noted() -> str:
        done = fresh.run("goodfit", "lineage", "verify", "data/raw", HOME=str(home), TMPDIR=str(temporary))
        return done.stdout + done.stderr

    assert "~/facts.txt" not in noted()
    facts.write_text("other facts")
    assert "~/facts.txt: was read by download, undeclared, with sha256" in noted()
    facts.unlink()
    assert "~/facts.txt: was read by download, undeclared, and is not here" in noted()


def test_a_sitecustomize_is_listed(fresh: Project, tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    (tmp_path / "site").mkdir()
    custom = tmp_path / "site/sitecustomize.py"
    custom.write_text("x = 1\n")
    fresh.run(*STAGE, TMPDIR=str(tmp_path / "temporary"), PYTHONPATH=str(tmp_path / "site"))
    assert read_statement(fresh.root, "download").undeclared == {str(custom): digest_file(custom)}


def test_the_packages_that_a_component_imports_are_listed_and_modules_of_no_package_with_their_bytes(
    fresh: Project, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    info = site / "wild_flowers-1.2.dist-info"
    for folder in (info, site / "flowers", tmp_path / "temporary"):
        folder.mkdir(parents=True)
    (site / "flowers/__init__.py").write_text("import unseen\n")
    (site / "unseen.py").write_text("x = 1\n")
    (site / "loose.py").write_text("x = 1\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Wild_Flowers\nVersion: 1.2\n")
    (info / "RECORD").write_text("flowers/__init__.py,sha256=x,15\nunseen.py,sha256=x,6\n")
    choose(fresh, "import flowers, loose")
    fresh.run(*STAGE, PYTHONPATH=str(site), TMPDIR=str(tmp_path / "temporary"))
    statement = read_statement(fresh.root, "download")
    assert statement.packages == {
        "scikit-learn": statement.packages["scikit-learn"],
        "wild-flowers": "pkg:pypi/wild-flowers@1.2",
    }
    assert statement.undeclared == {str(site / "loose.py"): digest_file(site / "loose.py")}


@pytest.mark.parametrize("mirrored", [True, False])
def test_a_file_of_a_mirror_is_known_by_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirrored: bool) -> None:
    """The code that reads it states the digest, so the statement is the same as that of a download."""
    for folder in ("repository", "mirror", "temporary"):
        (tmp_path / folder).mkdir()
    file = tmp_path / "mirror/images.gz"
    file.write_text("x")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    if mirrored:
        monkeypatch.setenv("GOODFIT_MIRROR", (tmp_path / "mirror").as_uri())
    declared = Declaration("download", "x", (), (), ("data/raw",), ())
    found = judge(tmp_path / "repository", declared, (), Executed(frozenset(), frozenset()), {str(file)})
    assert set(found.files) == (set() if mirrored else {str(file)})


def test_a_stage_of_ours_lists_only_what_it_loaded_and_nothing_undeclared(ran: Project) -> None:
    packages = {name: set(read_statement(ran.root, name).packages) for name in ("download", "preprocess", "train", "report")}
    assert packages["download"] == {"scikit-learn"}  # whose file it copies
    assert "torch" in packages["train"]
    assert "torch" not in packages["preprocess"] | packages["report"]
    assert all(read_statement(ran.root, name).undeclared == {} for name in packages)


def test_variables_that_change_arithmetic_are_recorded_and_others_change_no_byte(fresh: Project) -> None:
    statement = fresh.root / "lineage/download.json"
    fresh.run(*STAGE)
    plain = statement.read_bytes()
    fresh.run(*STAGE, OMP_NUM_THREADS="7", MKL_NUM_THREADS="3", OMP_PROC_BIND="true", PYTHONHASHSEED="random", COLUMNS="40")
    assert statement.read_bytes() == plain
    fresh.run(*STAGE, MKL_CBWR="COMPATIBLE", OMP_DYNAMIC="true")
    assert read_statement(fresh.root, "download").variables == {"MKL_CBWR": "COMPATIBLE", "OMP_DYNAMIC": "true"}


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("torch.py", "", "torch.py would be run in place of the installed torch"),
        ("numpy/__init__.py", "", "numpy would be run in place of the installed numpy"),
        ("scipy.cpython-311-x86_64-linux-gnu.so", "", "would be run in place of the installed scipy"),
        ("colorsys.py", "", "colorsys.py would be run in place of the standard library's colorsys"),
    ],
)
def test_nothing_of_the_repository_takes_the_place_of_a_library(fresh: Project, file: str, content: str, message: str) -> None:
    (fresh.root / file).parent.mkdir(exist_ok=True)
    (fresh.root / file).write_text(content)
    refused = fresh.run(*STAGE, check=False)
    assert refused.returncode == 1
    assert message in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not (fresh.root / "data/raw").exists()


def test_a_folder_without_code_may_have_the_name_of_a_library(fresh: Project) -> None:
    (fresh.root / "numpy").mkdir()
    (fresh.root / "numpy/table.csv").write_text("1,2\n")
    fresh.run(*STAGE)


def test_an_edit_of_flows_runs_nothing_and_is_in_the_next_statement(ran: Project) -> None:
    file = ran.root / "flows/terminal.py"  # which no stage runs
    builder = ran.root / "flows/lineage/digest.py"
    before = read_statement(ran.root, "download").builder
    for path in (file, builder):
        with path.open("a") as text:
            text.write("# a comment\n")
    assert ran.repro() == set()
    ran.run("dvc", "repro", "-f", "-s", "download")
    after = read_statement(ran.root, "download").builder
    assert {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} == {"flows/lineage/digest.py"}
    assert after["flows/lineage/digest.py"] == digest_file(builder)


def test_the_statement_lists_the_dvcignore_that_counted(fresh: Project) -> None:
    fresh.run(*STAGE)
    statement = read_statement(fresh.root, "download")
    assert statement.ignore_files == {".dvcignore": digest_file(fresh.root / ".dvcignore")}


def test_a_comment_in_the_lock_of_the_environment_changes_no_statement(fresh: Project) -> None:
    statement = fresh.root / "lineage/download.json"
    fresh.run(*STAGE)
    plain = statement.read_bytes()
    with (fresh.root / "requirements.lock").open("a") as file:
        file.write("# a comment\n")
    fresh.run(*STAGE)
    assert statement.read_bytes() == plain
    with (fresh.root / "requirements.lock").open("a") as file:
        file.write("another-package==1.0\n")
    fresh.run(*STAGE)
    assert statement.read_bytes() != plain


def test_an_input_that_is_swapped_and_put_back_is_refused(fresh: Project) -> None:
    source = "data/source/README.md"
    swap = (
        f"import os; kept = open({source!r}, 'rb').read(); times = os.stat({source!r}); open({source!r}, 'w').write('other'); "
        f"open({source!r}, 'wb').write(kept); os.utime({source!r}, ns=(times.st_atime_ns, times.st_mtime_ns))"
    )
    choose(fresh, swap)
    refused = fresh.run(*STAGE, check=False)
    assert refused.returncode == 1
    assert f"download: changed while it ran: {source} (and put back); nothing was recorded" in refused.stderr
    assert not (fresh.root / "data/raw").exists()


def test_a_named_pipe_in_place_of_an_input_is_an_error(fresh: Project) -> None:
    path = fresh.root / "data/source/README.md"
    path.unlink()
    os.mkfifo(path)
    refused = fresh.run(*STAGE, check=False)
    assert refused.returncode == 1
    assert f"{path} is a named pipe, a socket or a device; expected a regular file" in refused.stderr


def test_parallel_stages_that_share_linked_files_are_no_alarm(ran: Project) -> None:
    """Each hard link that DVC makes to a file changes the file's change time."""
    ran.run("dvc", "config", "cache.type", "hardlink")
    ran.run("dvc", "checkout", "--relink")
    ran.edit("params.yaml", "calibration_bins: 15 ", "calibration_bins: 10 ")
    ran.edit("params.yaml", "student: {name: linear} ", "student: {name: mlp} ")
    ran.edit("params.yaml", "alpha: 0.05 ", "alpha: 0.01 ")
    gates = [ran.start(sys.executable, "-c", GATE, stage) for stage in ("compress", "evaluate", "diagnose")]
    for gate in gates:
        printed, errors = gate.communicate(timeout=300)
        assert gate.returncode == 0, errors
        assert printed.splitlines()[-1] == "ran"
    assert ran.gate("explain", "report", "gates") == {"explain": "unchanged", "report": "ran", "gates": "ran"}
    assert ran.is_clean()


def test_inputs_that_are_symbolic_links_into_dvcs_cache_are_no_alarm(ran: Project) -> None:
    ran.run("dvc", "config", "cache.type", "symlink")
    ran.run("dvc", "checkout", "--relink")
    assert ran.repro("-f", "-s", "evaluate", "compress") == {"evaluate", "compress"}
    assert ran.is_clean()


def test_the_report_must_declare_the_statement_of_a_stage_before_it_and_may_pass_over_a_later_one(ran: Project) -> None:
    report = (sys.executable, "-m", "flows.stage", "report")
    assert (ran.root / "lineage/gates.json").exists()
    ran.run(*report)
    assert "lineage/gates.json" not in read_statement(ran.root, "report").inputs
    ran.edit("dvc.yaml", "      - lineage/explain.json\n      - lineage/preprocess.json\n", "      - lineage/preprocess.json\n")
    refused = ran.run(*report, check=False)
    assert "report: read lineage/explain.json, which dvc.yaml does not declare" in refused.stderr
