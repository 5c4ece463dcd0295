"""A pipeline of three commands that take no time: what DVC does with it is what it does with any."""

import shutil
from pathlib import Path

from tests.conftest import Project

DVC_YAML = """
stages:
  split:
    cmd: head -n $(sed -n 's/^lines. //p' params.yaml) data.txt > part.txt
    deps: [data.txt]
    params: [lines]
    outs: [part.txt]
  fit:
    cmd: sh fit.sh
    deps: [fit.sh, part.txt]
    params: [fit]
    outs: [model]
  score:
    cmd: wc -c < model/weights.txt > score.txt
    deps: [model]
    metrics:
      - score.txt:
          cache: false
"""
FILES = {
    "dvc.yaml": DVC_YAML,
    "params.yaml": "lines: 2\nfit:\n  rate: 0.5\n  names: [a, b]\n",
    "data.txt": "one\ntwo\nthree\nfour\n",
    "fit.sh": "mkdir -p model\ncat part.txt params.yaml > model/weights.txt\n",
}
SAID = {"Running stage '": "ran", "' didn't change, skipping": "unchanged", "' is cached - skipping run": "restored"}


class Small(Project):
    """The pipeline in a repository of its own."""

    def outcomes(self, *arguments: str) -> dict[str, str]:
        """What `dvc repro` did with each stage."""
        found = {}
        for line in self.run("dvc", "repro", *arguments).stdout.splitlines():
            for said, outcome in SAID.items():
                if said in line and "'" in line:
                    found[line.split("'")[1]] = outcome
        return found

    def commit(self, message: str = "Run") -> str:
        """Commit everything; the abbreviated commit."""
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", message)
        return self.run("git", "rev-parse", "--short", "HEAD").stdout.strip()


def build(root: Path) -> None:
    """The pipeline after its first run, everything committed."""
    root.mkdir()
    project = Small(root)
    for name, text in FILES.items():
        (root / name).write_text(text)
    project.run("git", "init", "-q", "-b", "main")
    project.run("dvc", "init", "-q")
    project.run("dvc", "repro", "-q")
    project.commit()


def copy(built: Path, root: Path) -> Small:
    return Small(Path(shutil.copytree(built, root, symlinks=True)))
