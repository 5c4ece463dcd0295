"""Real temporary Git and DVC repositories, and where the real MNIST files are."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from filelock import FileLock

from flows.parameters.checking import own_stages
from tasks.core.cores import cores

if TYPE_CHECKING:
    from tests.faults.world import World

ROOT = Path(__file__).resolve().parent.parent
STAGES = tuple(own_stages(ROOT))
# Seen: 1 GB for a worker with torch, as much again for what a test starts (a Prefect server, a flow, stages with torch).
WORKER_BYTES = 2_000_000_000
# Files with a few tests that take a minute or more; of the others, the more slow tests a file has, the longer it takes.
FEW_BUT_LONG = {
    "test_crossfit.py",
    "test_distributed.py",
    "test_kills.py",
    "test_large_data.py",
    "test_mnist.py",
    "test_worlds.py",
}
GATE = "import sys; from flows.gate import pass_gate; print(*(pass_gate(name) for name in sys.argv[1:]))"


def pytest_configure() -> None:
    """Give the tests the same surroundings everywhere: a Prefect folder for each worker, a shell, Ctrl-C and a closed terminal.

    Processes inherit that Ctrl-C is ignored where a shell started this one in the background, and SIGHUP where `nohup` did.
    """
    os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="goodfit-prefect-")
    os.environ["SHELL"] = shutil.which("sh") or "/bin/sh"  # DVC starts commands with the user's
    os.environ.pop("CI", None)
    # Several workers whose threads wait for each other took twenty times as long.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ["PREFECT_HOME"], ignore_errors=True)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """For `pytest -n auto`: a worker on each core that this process may use, as far as there is memory for all."""
    return max(1, min(cores(), psutil.virtual_memory().available // WORKER_BYTES))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take long, so that no worker is left with one of them at the end."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    # A stable sort: the order within a file stays.
    items.sort(key=lambda item: (item.path.name not in FEW_BUT_LONG, -slow[item.path]))


FEW_CHECKS = "  checks: [integrity, learning, performance, gap, overtrained, overconfident]\n"
NO_METHODS = "  methods: []\n"


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
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("GOODFIT_", "PREFECT_", "DVC_", "OMP_"))}
    quiet = {"DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    author = {
        f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in (("NAME", "t"), ("EMAIL", "t@t"))
    }
    own = {key: os.environ[key] for key in ("PREFECT_HOME",) if key in os.environ}  # the campaigns bring another
    return kept | quiet | author | own | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


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
    return built_once(tmp_path_factory, "quick", _build_quick)


@pytest.fixture(scope="session")
def _ran(_quick: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return built_once(tmp_path_factory, "ran", lambda root: _build_ran(root, _quick))


def built_once(tmp_path_factory: pytest.TempPathFactory, name: str, build: Callable[[Path], object]) -> Project:
    """A project that the first worker builds and all use."""
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with FileLock(folder / f"{name}.lock"):
        if not (folder / name).exists():
            shutil.rmtree(folder / f"{name}.partial", ignore_errors=True)
            build(folder / f"{name}.partial")
            (folder / f"{name}.partial").rename(folder / name)
    return Project(folder / name)


def _build_quick(root: Path) -> None:
    root.mkdir()
    project = copy_of_the_tree(root)
    shutil.copy2(ROOT / "recipes/digits.yaml", project.root / "params.yaml")
    project.edit("params.yaml", "epochs: 150 ", "epochs: 3 ")
    # Five checks instead of all, and no heat map: a test of the doors need not wait for references, forests and captum.
    project.edit("params.yaml", "\ndiagnose:\n", f"\ndiagnose:\n{FEW_CHECKS}")
    project.edit("params.yaml", "\nexplain:\n", f"\nexplain:\n{NO_METHODS}")
    for file in ("dvc.lock", "metrics/evaluation.json", "metrics/diagnosis.json"):
        (project.root / file).unlink(missing_ok=True)
    for folder in ("tests", "docs"):  # half of the files, which each test would copy and each command of DVC walk through
        shutil.rmtree(project.root / folder)
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", "Start")
    project.run("git", "gc", "-q")  # one file in place of 700, and each test copies them


def _build_ran(root: Path, quick: Project) -> None:
    project = Project(root)
    shutil.copytree(quick.root, project.root)
    project.repro()
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", "Run")
    project.run("git", "gc", "-q")


@pytest.fixture
def fresh(_quick: Project, tmp_path: Path) -> Project:
    """A repository in which nothing has run yet; three epochs, so that a test is quick."""
    return Project(Path(shutil.copytree(_quick.root, tmp_path / "fresh")))


@pytest.fixture
def ran(_ran: Project, tmp_path: Path) -> Project:
    """A repository after `dvc repro`, everything committed."""
    return Project(Path(shutil.copytree(_ran.root, tmp_path / "ran")))


@pytest.fixture(scope="session")
def _diamond(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.faults.world import build  # which imports this module

    return built_once(tmp_path_factory, "diamond", lambda root: build(root, {})).root


@pytest.fixture
def diamond(_diamond: Path, tmp_path: Path) -> "Iterator[World]":
    """The small pipeline of tests/faults/world.py, everything run and committed; its processes end with the test."""
    from tests.faults.world import World

    world = World(Path(shutil.copytree(_diamond, tmp_path / "diamond")))
    try:
        yield world
    finally:
        world.end()


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
