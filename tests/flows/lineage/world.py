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
        return self.store(text.encode())

    def store(self, content: bytes, ending: str = "") -> str:
        """Put bytes into DVC's cache, with `.dir` as the list of a folder; their MD5."""
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest() + ending
        path = self.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return md5

    def folder(self, **files: str) -> str:
        """Put the list of a folder into DVC's cache: names and MD5; the folder's own."""
        entries = [{"md5": md5, "relpath": name} for name, md5 in sorted(files.items())]
        return self.store(json.dumps(entries).encode(), ".dir")

    def journal(self, *lines: dict[str, Any]) -> None:
        path = self.root / JOURNAL
        path.parent.mkdir(parents=True)
        path.write_text("".join(json.dumps({"stage": "train", "finished": "", **line}) + "\n" for line in lines))


def stage(
    command: str, deps: dict[str, str] | None = None, outs: dict[str, str] | None = None, params: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A stage's entry in dvc.lock."""
    kinds = {"deps": deps or {}, "outs": outs or {}}
    lists = {kind: [{"path": path, "md5": md5} for path, md5 in files.items()] for kind, files in kinds.items()}
    return {"cmd": command, **lists, **({"params": {"params.yaml": params}} if params else {})}


def lock_text(**stages: dict[str, Any]) -> str:
    return json.dumps({"schema": "2.0", "stages": stages})


def statement(name: str, inputs: dict[str, tuple[str, str]], outputs: dict[str, tuple[str, str]]) -> str:
    """The text of a stage's statement: files with MD5 and SHA-256."""

    def files(found: dict[str, tuple[str, str]]) -> list[dict[str, Any]]:
        return [{"name": path, "digest": {"md5": md5, "sha256": sha256}} for path, (md5, sha256) in found.items()]

    external = {"stage": name, "command": name, "parameters": {}}
    definition = {"externalParameters": external, "internalParameters": {}, "resolvedDependencies": files(inputs)}
    kinds = {"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://slsa.dev/provenance/v1"}
    return json.dumps({**kinds, "subject": files(outputs), "predicate": {"buildDefinition": definition}})
