"""Honest histories: what people do with a repository, in random order. `verify` must find nothing wrong after any step."""

import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from flows.lineage.verify import Verification, verify
from tests.conftest import Project
from tests.tampering.world import remove

OUTPUT = "data/processed/dataset.json"  # of a stage that takes a moment to run
OUTPUTS = ("data/raw", "data/processed/test.safetensors", "data/processed/rows.csv", "lineage/preprocess.json")
REPRO = ("dvc", "repro", "--quiet", "preprocess")


@dataclass
class History:
    """A repository, and what was done in it."""

    project: Project
    chance: random.Random
    done: list[str] = field(default_factory=list)
    moved: int = 0

    @property
    def root(self) -> Path:
        return self.project.root

    def steps(self, count: int) -> Iterator[tuple[str, Verification]]:
        """Do one thing after the other; yields what was done, and what verify says then."""
        for _ in range(count):
            name = self.chance.choice(list(STEPS))
            STEPS[name](self)
            self.done.append(name)
            yield name, verify(self.root, OUTPUT)

    def run(self, *command: str) -> str:
        return self.project.run(*command).stdout

    def fraction(self) -> str:
        return f"{self.chance.randrange(10, 60) / 100}"

    def edit(self) -> None:
        """Another share of the validation split."""
        path = self.root / "params.yaml"
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(f"  val_fraction: {self.fraction()}\n" if "val_fraction:" in line else line for line in lines))

    def commit(self) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", "State", "--allow-empty")

    def rerun(self) -> None:
        """Through either door."""
        if self.chance.random() < 0.5:
            self.run(*REPRO)
        else:
            self.project.gate("download", "preprocess")


def touch(history: History) -> None:
    """Other times, the same bytes."""
    for name in (OUTPUT, "data/processed/train.safetensors", "tasks/preprocess.py", "dvc.lock", "lineage/preprocess.json"):
        os.utime(history.root / name, (time.time() - 1000, time.time() - history.chance.randrange(1000)))


def edit_and_rerun(history: History) -> None:
    history.edit()
    history.rerun()


def edit_and_undo(history: History) -> None:
    before = history.project.text("params.yaml")
    history.edit()
    (history.root / "params.yaml").write_text(before)


def comment(history: History) -> None:
    """In params.yaml, which changes no value; and the order of two keys."""
    text = history.project.text("params.yaml")
    (history.root / "params.yaml").write_text(f"# {history.chance.random()}\n{text}")


def edit_code(history: History) -> None:
    with (history.root / "tasks/preprocess.py").open("a") as file:
        file.write(f"# {history.chance.random()}\n")
    history.rerun()


def commit(history: History) -> None:
    history.commit()


def amend(history: History) -> None:
    history.commit()
    history.run("git", "commit", "-q", "--amend", "--allow-empty", "-m", "Another message")


def branch(history: History) -> None:
    """There, another result; then back."""
    history.commit()
    before = history.run("git", "rev-parse", "--abbrev-ref", "HEAD").strip()
    history.run("git", "checkout", "-qb", f"side-{len(history.done)}")
    edit_and_rerun(history)
    history.commit()
    if history.chance.random() < 0.7:
        history.run("git", "checkout", "-q", before)
        history.run("dvc", "checkout", "--quiet", "--force")


def experiment(history: History) -> None:
    history.commit()
    name = f"trial-{history.moved}-{len(history.done)}"
    history.run("dvc", "exp", "run", "--quiet", "-n", name, "-S", f"preprocess.val_fraction={history.fraction()}", "preprocess")
    match history.chance.randrange(3):
        case 0:  # dropped
            history.run("git", "checkout", "-q", ".")
            history.run("dvc", "checkout", "--quiet", "--force")
        case 1:  # taken over
            history.run("git", "checkout", "-q", ".")
            history.run("dvc", "exp", "apply", "--quiet", name)


def lose_and_restore(history: History) -> None:
    remove(history.root / history.chance.choice(OUTPUTS))
    history.run("dvc", "checkout", "--quiet")


def lose_and_rerun(history: History) -> None:
    """DVC brings the outputs back from its run-cache."""
    remove(history.root / history.chance.choice(OUTPUTS))
    history.rerun()


def force(history: History) -> None:
    history.run("dvc", "repro", "--quiet", "--force", "preprocess")


def relink(history: History) -> None:
    kind = history.chance.choice(("symlink", "hardlink", "copy"))
    history.run("dvc", "config", "--local", "cache.type", kind)
    history.run("dvc", "checkout", "--quiet", "--relink")


def collect(history: History) -> None:
    """Only what the workspace uses stays in the cache."""
    history.run("dvc", "gc", "--quiet", "--force", "--workspace")


def rename(history: History) -> None:
    history.moved += 1
    history.project.root = history.root.rename(history.root.with_name(f"moved-{history.moved}"))


def clone_and_pull(history: History) -> None:
    """From here on in the clone."""
    history.commit()
    remote, old = history.root.parent / f"remote-{history.moved}", history.root
    history.run("dvc", "remote", "add", "--quiet", "--default", "--force", "shared", str(remote))
    history.commit()
    history.run("dvc", "push", "--quiet", "--run-cache")
    history.moved += 1
    new = old.with_name(f"clone-{history.moved}")
    history.run("git", "clone", "-q", str(old), str(new))
    history.project.root = new
    history.run("dvc", "pull", "--quiet", *(["--run-cache"] if history.chance.random() < 0.5 else []))
    shutil.rmtree(old)


STEPS: dict[str, Callable[[History], None]] = {
    step.__name__: step
    for step in (
        touch,
        edit_and_rerun,
        edit_and_undo,
        comment,
        edit_code,
        commit,
        amend,
        branch,
        experiment,
        lose_and_restore,
        lose_and_rerun,
        force,
        relink,
        collect,
        rename,
        clone_and_pull,
    )
}


def history(source: Path, folder: Path, seed: int) -> History:
    """A copy of the repository at `source`, below `folder`."""
    root = Path(shutil.copytree(source, folder / "lived" / "project", symlinks=True))
    return History(Project(root), random.Random(seed))


def false_alarms(source: Path, folder: Path, seed: int, steps: int) -> list[str]:
    """One line for each false alarm of a history of so many steps."""
    told, lived = [], history(source, folder, seed)
    for name, result in lived.steps(steps):
        if result.exit_code:
            told.append(f"seed {seed}: after {' → '.join(lived.done)}: {'; '.join(map(str, result.mismatches[:3]))}")
            break
        if name in ("commit", "amend") and result.outcome != "proven":
            told.append(f"seed {seed}: after {' → '.join(lived.done)}: {result.unanchored}")
    return told
