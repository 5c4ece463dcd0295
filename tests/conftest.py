"""Real temporary Git and DVC repositories, and where the real MNIST files are."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.parameters.checking import own_stages

ROOT = Path(__file__).resolve().parent.parent
STAGES = tuple(own_stages(ROOT))
GATE = "import sys; from flows.gate import pass_gate; print(*(pass_gate(name) for name in sys.argv[1:]))"


def pytest_configure() -> None:
    """Let the tests' processes hear Ctrl-C: they inherit that it is ignored where a shell started this one in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass
class Project:
    """A copy of the working tree as a repository of its own, driven through its two doors."""

    root: Path

    def run(self, *command: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it; with `check`, a failure shows what was printed."""
        done = subprocess.run(
            command, cwd=self.root, capture_output=True, text=True, check=False, env=environment() | variables, timeout=300
        )
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def start(self, *command: str) -> "subprocess.Popen[str]":
        """Start a command in it, in a process group of its own."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=self.root, stdout=pipe, stderr=pipe, text=True, env=environment(), start_new_session=True
        )

    def repro(self, *arguments: str) -> set[str]:
        """Through DVC's door; the stages whose command was run."""
        printed = self.run("dvc", "repro", *arguments).stdout
        return {name for name in STAGES if f"> python -m flows.stage {name}\n" in printed}

    def gate(self, *stages: str) -> dict[str, str]:
        """Through the flow's gate, in one process and without Prefect; the outcome of each stage."""
        names = stages or STAGES
        outcomes = self.run(sys.executable, "-c", GATE, *names).stdout.splitlines()[-1].split()
        return dict(zip(names, outcomes, strict=True))

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace the one place where `old` stands."""
        path = self.root / file
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
        path.write_text(text.replace(old, new))

    def text(self, file: str) -> str:
        return (self.root / file).read_text()

    def outputs(self) -> dict[str, bytes]:
        """Every file that a stage writes."""
        folders = ("data/raw", "data/processed", "models", "results", "metrics", "lineage", "report")
        files = (file for folder in folders for file in sorted((self.root / folder).rglob("*")) if file.is_file())
        return {
            str(file.relative_to(self.root)): file.read_bytes()
            for file in files
            if file.name not in {"journal.jsonl", ".gitignore"}
        }

    def is_clean(self) -> bool:
        return self.run("dvc", "status").stdout.strip() == "Data and pipelines are up to date."


def environment() -> dict[str, str]:
    """This one's, with the commands of this interpreter first, and without what a developer may have set."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("GOODFIT_", "PREFECT_", "DVC_"))}
    quiet = {"DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    author = {
        f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in (("NAME", "t"), ("EMAIL", "t@t"))
    }
    return kept | quiet | author | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def copy_of_the_tree(root: Path) -> Project:
    """The files that Git has or would add, committed into a new repository, with few epochs."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).exists():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    project = Project(root)
    project.run("git", "init", "-q")
    return project


@pytest.fixture(scope="session")
def _quick(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = copy_of_the_tree(tmp_path_factory.mktemp("quick"))
    shutil.copy2(ROOT / "recipes/digits.yaml", project.root / "params.yaml")
    project.edit("params.yaml", "epochs: 150 ", "epochs: 3 ")
    for file in ("dvc.lock", "metrics/evaluation.json", "metrics/diagnosis.json"):
        (project.root / file).unlink(missing_ok=True)
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", "Start")
    return project


@pytest.fixture(scope="session")
def _ran(_quick: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("ran") / "project")
    shutil.copytree(_quick.root, project.root)
    project.repro()
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", "Run")
    return project


@pytest.fixture
def fresh(_quick: Project, tmp_path: Path) -> Project:
    """A repository in which nothing has run yet; three epochs, so that a test is quick."""
    return Project(Path(shutil.copytree(_quick.root, tmp_path / "fresh")))


@pytest.fixture
def ran(_ran: Project, tmp_path: Path) -> Project:
    """A repository after `dvc repro`, everything committed."""
    return Project(Path(shutil.copytree(_ran.root, tmp_path / "ran")))


@pytest.fixture(scope="session")
def mnist() -> Path:
    """The folder that holds `mnist/`, the four official files."""
    folder = ROOT.parent / "shared" / "data"
    if not (folder / "mnist").exists():
        pytest.skip("the real MNIST files are not beside the project (../shared/data/mnist)")
    return folder


@pytest.fixture
def params_with(tmp_path: Path) -> Callable[..., Path]:
    """Write params.yaml into the test's folder, with texts replaced, and dvc.yaml beside it; return the folder."""

    def write(*replacements: tuple[str, str]) -> Path:
        text = (ROOT / "recipes" / "digits.yaml").read_text()
        for old, new in replacements:
            assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the recipe"
            text = text.replace(old, new)
        (tmp_path / "params.yaml").write_text(text)
        shutil.copy2(ROOT / "dvc.yaml", tmp_path / "dvc.yaml")
        return tmp_path

    return write
