"""A small pipeline of goodfit's own kind: split → left ∥ right → join, each stage a fraction of a second long."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.conftest import ROOT, environment

STAGES = ("split", "left", "right", "join")
STATE = ("params.yaml", "dvc.yaml", "data/source.txt", *(f"tasks/{name}.py" for name in STAGES))  # what results follow from
OUTPUTS = ("work", "metrics", "lineage")

PARAMS = """seed: 1
split: {seconds: 0.1}
left: {seconds: 0.3, factor: 2}
right: {seconds: 0.2}
join: {seconds: 0.1}
"""

STAGE = '''"""Stage `{name}` of the small pipeline."""

import time
from pathlib import Path

from tasks.core.files import whole
from tasks.core.settings import Section


class {title}(Section):
    seconds: float
    factor: int = 1


class Params(Section):
    seed: int
    {name}: {title}


def {name}(params: Params, root: Path) -> None:
    """Multiply the numbers of the inputs; write each output in its turn."""
    settings = params.{name}
    print("{name}: working", flush=True)  # the inputs are sealed now: a test may wait for this
    numbers = [int(line) for file in {inputs!r} for line in (root / file).read_text().split()]
    for position, file in enumerate({outputs!r}):
        time.sleep(settings.seconds / {count})
        kept = numbers[position::{count}]
        text = "".join(f"{{number * settings.factor + params.seed}}\\n" for number in kept)
        with whole(root / file) as temporary:
            temporary.write_text(text)
'''

INPUTS = {
    "split": ["data/source.txt"],
    "left": ["work/odd.txt"],
    "right": ["work/even.txt"],
    "join": ["work/left.txt", "work/right.txt"],
}
WRITTEN = {
    "split": ["work/odd.txt", "work/even.txt"],
    "left": ["work/left.txt"],
    "right": ["work/right.txt"],
    "join": ["work/joined.txt"],
}

GATE = "import sys; from flows.gate import pass_gate; [print(pass_gate(name)) for name in sys.argv[1:]]"


@dataclass
class World:
    """A repository, and the commands that are run in it."""

    root: Path
    variables: dict[str, str] = field(default_factory=dict)
    started: "list[subprocess.Popen[bytes]]" = field(default_factory=list, repr=False)

    def run(self, *command: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; what it prints on both streams comes as one text."""
        return subprocess.run(
            command,
            cwd=self.root,
            env=environment() | self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds,
        )

    def start(self, door: str, log: Path) -> "subprocess.Popen[bytes]":
        """Start a run through a door."""
        return self.start_command(log, *command(door))

    def start_command(self, log: Path, *words: str) -> "subprocess.Popen[bytes]":
        """Start a command in a session of its own, as a terminal would."""
        with log.open("ab") as file:
            process = subprocess.Popen(
                words,
                cwd=self.root,
                env=environment() | self.variables,
                stdout=file,
                stderr=file,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def end(self) -> None:
        """Kill what still works here, and wait for the runs that were started."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):  # it ended meanwhile
                process.kill()
        for started in self.started:
            started.kill()
            started.wait()

    def processes(self) -> list[psutil.Process]:
        """Every living process that works in this repository."""
        return list(_working_in(self.root.resolve()))

    def stage_processes(self) -> list[psutil.Process]:
        """Those that run a stage."""
        found = []
        for process in self.processes():
            try:
                if "flows.stage" in process.cmdline():
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def state(self) -> dict[str, bytes]:
        """The files that results follow from."""
        return {name: (self.root / name).read_bytes() for name in STATE}

    def record(self) -> dict[str, bytes]:
        """dvc.lock and every output; the journal is no output."""
        files = [self.root / "dvc.lock", *(file for folder in OUTPUTS for file in sorted((self.root / folder).rglob("*")))]
        return {
            file.relative_to(self.root).as_posix(): file.read_bytes()
            for file in files
            if file.is_file() and file.name not in {"journal.jsonl", ".gitignore"}
        }


def command(door: str) -> list[str]:
    """How a run is started: plain DVC, the flow's gate without Prefect, or the whole flow."""
    return {
        "dvc": ["dvc", "repro"],
        "gate": [sys.executable, "-c", GATE, *STAGES],
        "flow": [sys.executable, "-m", "flows.training"],
    }[door]


def build(root: Path, variables: dict[str, str]) -> World:
    """A repository with everything run and committed.

    Raises:
        RuntimeError: a command of the set-up failed.
    """
    world = World(root, variables)
    root.mkdir(parents=True)
    for folder in ("flows", "tasks"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / ".dvcignore", root / ".dvcignore")
    for name in STAGES:
        source = STAGE.format(
            name=name, title=name.title(), inputs=INPUTS[name], outputs=WRITTEN[name], count=len(WRITTEN[name])
        )
        (root / f"tasks/{name}.py").write_text(source)
    (root / "data").mkdir()
    (root / "data/source.txt").write_text("".join(f"{number}\n" for number in range(200)))
    (root / "params.yaml").write_text(PARAMS)
    (root / "dvc.yaml").write_text(pipeline())
    (root / ".gitignore").write_text("__pycache__/\n.*.partial\n")
    steps = (
        ("git", "init", "-q"),
        ("dvc", "init", "-q"),
        ("dvc", "repro", "-q"),
        ("git", "add", "-A"),
        ("git", "commit", "-qm", "Start"),
    )
    for step in steps:
        done = world.run(*step)
        if done.returncode:
            raise RuntimeError(f"{' '.join(step)} ended with {done.returncode}:\n{done.stdout}")
    return world


def pipeline() -> str:
    """The text of dvc.yaml."""
    lines = ["stages:"]
    for name in STAGES:
        deps = [*INPUTS[name], "tasks/core", f"tasks/{name}.py"]
        outs = [f"lineage/{name}.json", *WRITTEN[name]]
        lines += [f"  {name}:", f"    cmd: python -m flows.stage {name}", "    deps:", *(f"      - {dep}" for dep in deps)]
        lines += [f"    params: [seed, {name}]", "    outs:", *(f"      - {out}" for out in outs)]
    return "\n".join(lines) + "\n"


def _working_in(root: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            folder = Path(process.cwd())
            if process.status() != psutil.STATUS_ZOMBIE and (folder == root or folder.is_relative_to(root)):
                yield process
        except (psutil.Error, OSError):
            continue
