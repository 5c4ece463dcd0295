"""What `goodfit diagnose --evaluations` says, and the YAML that it prints."""

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from flows.evaluations import as_json, as_text, setting
from flows.lineage.reading.family import COLUMNS, UNRECORDED, Family
from tests.conftest import ROOT
from tests.flows.conftest import InProcess

NAN = float("nan")
FAMILY = Family(
    trainings=pd.DataFrame(
        [
            ("1234567", "2026-01-01T00:00:00+00:00", 20, True, 0.875, ""),
            ("slow-owl", "2026-01-02T00:00:00+00:00", 20, True, 0.875, "1234567"),
            (UNRECORDED, "2026-01-03T00:00:00+00:00", 30, False, NAN, ""),
        ],
        columns=list(COLUMNS),
    ),
    test_evaluations=1,
    uncounted=0,
    current_epochs=20,
    elsewhere=0,
    lost=[],
    failed=0,
    unreadable=[],
    shallow=False,
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """params.yaml and dvc.yaml."""
    for file in ("params.yaml", "dvc.yaml"):
        shutil.copy2(ROOT / file, tmp_path)
    return tmp_path


def with_checks(project: Path, checks: str) -> None:
    file = project / "params.yaml"
    file.write_text(file.read_text().replace("\ndiagnose:\n", f"\ndiagnose:\n  checks: {checks}\n"))


def test_says_how_many_at_most_and_what_to_set(project: Path) -> None:
    said = as_text(FAMILY, project)
    assert "Validation images: at most 50 evaluations, one for each epoch." in said
    assert "Test images: 1 evaluation, one for" in said
    assert "same results as 1234567, counted once" in said
    assert "at most 30" in said
    assert "1 training that the journal of this folder saw" in said
    assert "The check selection counts 20 evaluations. Set this in params.yaml" in said
    assert as_json(FAMILY, project)["counted_by_the_check"] == 20
    assert as_json(FAMILY, project)["trainings"][2]["best_val_accuracy"] is None


def test_names_what_it_could_not_see(project: Path) -> None:
    assert "not_seen" in as_json(FAMILY, project)
    assert "shallow" not in as_text(FAMILY, project)
    lost = [f"2026-01-0{day}T10:00:00.123+00:00" for day in range(1, 8)]
    said = as_text(replace(FAMILY, lost=lost, failed=2, elsewhere=1, unreadable=["7654321"], shallow=True), project)
    for sentence in (
        "7 runs of train in this folder, begun at 2026-01-01T10:00:00, ",
        ", and 2 more (UTC): no dvc.lock in Git has them",
        "2 runs of train in this folder that failed",
        "1 training with other validation images",
        "What dvc.lock records at 7654321",
        "`git fetch --unshallow`",
        "experiments that were removed",
        "other clones",
        "notebooks",
    ):
        assert sentence in said


@pytest.mark.parametrize(
    ("stated", "wanted"),
    [
        ("[gap, selection]", "[gap, {name: selection, evaluations: 50}]"),
        (
            "[{name: slices, gap: 0.2}, {name: selection, evaluations: 49}]",
            "[{name: slices, gap: 0.2}, {name: selection, evaluations: 50}]",
        ),
        ("[gap]", "[gap, {name: selection, evaluations: 50}]"),
        ("[gap, {name: selection, evaluations: 50}]", None),
    ],
)
def test_the_yaml_keeps_the_other_checks_and_their_options(project: Path, stated: str, wanted: str | None) -> None:
    with_checks(project, stated)
    assert setting(FAMILY, project) == (wanted and f"diagnose:\n  checks: {wanted}")


def test_other_options_beside_it_are_a_usage_error(tmp_path: Path, in_process: InProcess) -> None:
    for others in (("--history", "x.csv"), ("--label-candidates", "3"), ("--fail-on", "any")):
        refused = in_process(tmp_path, "diagnose", "--evaluations", *others)
        assert (refused.returncode, b"drop " in refused.stderr) == (2, True)
