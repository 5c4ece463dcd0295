"""What dvc.yaml says beside the stages' own files."""

import pytest

from tests.conftest import ROOT
from tests.flows.lineage.small import Small


@pytest.mark.parametrize("kind", ["outs", "metrics"])
def test_other_files_beside_an_output_outside_of_the_repository_are_not_judged(small: Small, kind: str) -> None:
    for name in ("theirs.txt", "written.txt"):
        (small.root.parent / name).write_text("1")
    text = small.text("dvc.yaml")
    entry = f"  outside:\n    cmd: echo\n    {kind}:\n      - ../written.txt: {{cache: false}}\n"
    (small.root / "dvc.yaml").write_text(text + entry)
    done = small.run("python", "-m", "flows.cli", "lineage", "verify", check=False, PYTHONPATH=str(ROOT))
    assert done.returncode == 1
    assert "outside: dvc.lock: dvc.yaml has an entry" in done.stderr
    assert "Traceback" not in done.stderr
    assert "theirs.txt" not in done.stdout + done.stderr
