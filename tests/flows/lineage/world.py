"""Git repositories in which dvc.lock is written by hand: histories that real runs would take long to make."""

import hashlib
import json
import subprocess
from typing import Any

from flows.lineage.journal import JOURNAL
from tests.conftest import ROOT, Project


class World(Project):
    """A Git repository in which dvc.lock is written by hand."""

    def write(self, text: str) -> None:
        (self.root / "dvc.lock").write_text(text)

    def commit(self, text: str) -> str:
        """Commit a dvc.lock; the abbreviated commit."""
        self.write(text)
        self.run("git", "add", "dvc.lock")
        self.run("git", "commit", "-qm", "Run")
        return self.run("git", "rev-parse", "--short", "HEAD").stdout.strip()

    def put(self, path: str, text: str) -> None:
        """Write a file and give it to Git for the next commit."""
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)
        self.run("git", "add", path)

    def goodfit(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """The command of this tree in it, which needs a dvc.yaml."""
        (self.root / "dvc.yaml").touch()
        return self.run("python", "-m", "flows.cli", *arguments, check=check, PYTHONPATH=str(ROOT))

    def cache(self, text: str) -> str:
        """Put a file into DVC's cache; its MD5."""
        md5 = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        path = self.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return md5

    def journal(self, *lines: dict[str, Any]) -> None:
        path = self.root / JOURNAL
        path.parent.mkdir(parents=True)
        path.write_text("".join(json.dumps({"stage": "train", "finished": "", **line}) + "\n" for line in lines))
