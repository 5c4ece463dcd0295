"""`goodfit diagnose --label-candidates`: wrong labels that were planted come first, with their pictures."""

import json

import pytest

from tests.conftest import Project

DIAGNOSE = ("python", "-m", "flows.cli", "diagnose")


@pytest.mark.slow
def test_wrong_labels_that_were_planted_are_listed_first_on_every_split(fresh: Project) -> None:
    fresh.edit("params.yaml", "epochs: 3 ", "epochs: 30 ")
    fresh.repro("preprocess")
    wrong = fresh.run(
        "python",
        "-c",
        "from pathlib import Path\n"
        "import torch\n"
        "from tasks.contracts.splits import SPLITS, Split, read_split, write_rows, write_split\n"
        "files = []\n"
        "for name in SPLITS:\n"
        "    rows = read_split(Path(), name)\n"
        "    labels = rows.labels.clone()\n"
        "    labels[:8] = (labels[:8] + 5) % 10\n"
        "    numbers = torch.arange(len(labels))  # as of a source that numbers each split from 0\n"
        "    files += [(name, row, f'{name}/{row}.png', '') for row in numbers.tolist()]\n"
        "    print(*numbers[:8].tolist())\n"
        "    write_split(Path(), name, Split(rows.images.clone(), labels, numbers))\n"
        "write_rows(Path(), files)\n",
    ).stdout.splitlines()
    planted = {name: {int(row) for row in line.split()} for name, line in zip(("train", "val", "test"), wrong, strict=True)}
    fresh.run("python", "-m", "benchmarks.stages", ".", "train")
    for name, rows in planted.items():
        listed = json.loads(fresh.run(*DIAGNOSE, "--label-candidates", "12", "--split", name, "--json").stdout)
        found = [line["row"] for line in listed]
        assert len(rows & set(found)) >= 7, (name, rows, found)
        assert [line["path"] for line in listed] == [f"{name}/{row}.png" for row in found]
        assert [line["margin"] for line in listed] == sorted(line["margin"] for line in listed)
    page = fresh.root / "labels.html"
    shown = fresh.run(*DIAGNOSE, "--label-candidates", "3", "--pictures", "labels.html").stdout
    assert shown.split()[:6] == ["split", "row", "path", "given", "suggested", "margin"]
    assert page.read_text().count("data:image/png;base64,") == 3


def test_files_and_the_last_run_are_not_mixed(fresh: Project) -> None:
    refused = fresh.run(*DIAGNOSE, "--label-candidates", "3", "--history", "x.csv", check=False)
    assert refused.returncode == 2
    assert "expected one of them" in refused.stderr
    missing = fresh.run(*DIAGNOSE, "--label-candidates", "3", check=False)
    assert missing.returncode == 1
    assert missing.stderr.startswith("error: ")
    assert "Traceback" not in missing.stderr
