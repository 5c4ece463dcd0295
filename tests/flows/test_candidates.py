"""`goodfit diagnose --label-candidates`: wrong labels that were planted come first, with their pictures."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks.stages import call
from flows.cli import main
from tasks.contracts.splits import SPLITS, Split, read_split, write_rows, write_split
from tests.conftest import Project

DIAGNOSE = ("python", "-m", "flows.cli", "diagnose")


def plant(root: Path) -> None:
    """Give the first eight rows of each split another label, and number each split from 0, as some sources do."""
    files = []
    for name in SPLITS:
        rows = read_split(root, name)
        labels = rows.labels.clone()
        labels[:8] = (labels[:8] + 5) % 10
        numbers = torch.arange(len(labels))
        files += [(name, row, f"{name}/{row}.png", "") for row in range(len(labels))]
        write_split(root, name, Split(rows.images.clone(), labels, numbers))
    write_rows(root, files)


@pytest.mark.slow
def test_wrong_labels_that_were_planted_are_listed_first_on_every_split(
    fresh: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh.edit("params.yaml", "epochs: 3 ", "epochs: 30 ")
    fresh.repro("preprocess")
    plant(fresh.root)
    call("train", fresh.root)
    monkeypatch.chdir(fresh.root)
    capsys.readouterr()
    for name in SPLITS:
        assert main(["diagnose", "--label-candidates", "12", "--split", name, "--json"]) == 0
        listed = json.loads(capsys.readouterr().out)
        found = [line["row"] for line in listed]
        assert len(set(range(8)) & set(found)) >= 7, (name, found)
        assert [line["path"] for line in listed] == [f"{name}/{row}.png" for row in found]
        assert [line["margin"] for line in listed] == sorted(line["margin"] for line in listed)
    assert main(["diagnose", "--label-candidates", "3", "--pictures", "labels.html"]) == 0
    assert capsys.readouterr().out.split()[:6] == ["split", "row", "path", "given", "suggested", "margin"]
    assert (fresh.root / "labels.html").read_text().count("data:image/png;base64,") == 3


def test_files_and_the_last_run_are_not_mixed(fresh: Project) -> None:
    refused = fresh.run(*DIAGNOSE, "--label-candidates", "3", "--history", "x.csv", check=False)
    assert refused.returncode == 2
    assert "expected one of them" in refused.stderr
    missing = fresh.run(*DIAGNOSE, "--label-candidates", "3", check=False)
    assert missing.returncode == 1
    assert missing.stderr.startswith("error: ")
    assert "Traceback" not in missing.stderr
