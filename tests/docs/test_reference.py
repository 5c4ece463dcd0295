"""The reference says what the code says, the metrics hold and the stages write."""

import json
import re
from pathlib import Path

import pytest

from docs.generate import PARAMETERS, parameters
from flows.lineage.verify import ExitCode
from tasks.core.settings import load_yaml
from tests.conftest import ROOT

REFERENCE = ROOT / "docs/reference"
NAMED = re.compile(r"`([^`]+)`")


def first_column(page: str) -> set[str]:
    """The names in the first column of a page's tables."""
    return {name for line in page.splitlines() if line.startswith("| `") for name in NAMED.findall(line.split(" | ")[0])}


def test_the_parameters_are_up_to_date() -> None:
    assert PARAMETERS.read_text(encoding="utf-8") == parameters(), "run `make docs`"


@pytest.mark.parametrize("recipe", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda recipe: recipe.stem)
def test_every_key_of_a_recipe_is_described(recipe: Path) -> None:
    described = first_column(PARAMETERS.read_text(encoding="utf-8"))
    found = set(keys(load_yaml(recipe), ""))
    assert {key.removesuffix(".name") for key in found} - described == set()


def keys(section: object, prefix: str) -> list[str]:
    """Every dotted key that holds a value."""
    if not isinstance(section, dict):
        return [prefix.removesuffix(".")]
    return [key for name, part in section.items() for key in keys(part, f"{prefix}{name}.")]


def test_every_parameter_has_a_meaning() -> None:
    assert [line for line in parameters().splitlines() if line.startswith("| `") and line.endswith("|  |")] == []


def test_a_field_with_a_comment_has_a_meaning_and_its_bounds() -> None:
    rows = {line.split(" | ")[0]: line for line in parameters().splitlines()}
    assert rows["| `train.early_stopping.patience`"].endswith(
        "| int | `5` | ≥ 1 | epochs without improvement before stopping |"
    )


@pytest.mark.parametrize("file", ["metrics/evaluation.json", "metrics/diagnosis.json"])
def test_every_metric_is_described(file: str) -> None:
    page = (REFERENCE / "metrics.md").read_text(encoding="utf-8")
    section = page.split(f"## {file}")[1].split("\n## ")[0]
    assert first_column(section) == json.loads((ROOT / file).read_text()).keys()


def test_every_output_is_described_with_its_stage() -> None:
    page = (REFERENCE / "files.md").read_text(encoding="utf-8")
    rows = [[cell.strip(" `|") for cell in line.split(" | ")] for line in page.splitlines() if line.startswith("| `")]
    described = {(file, stage) for file, stage, *_ in rows}
    declared = {
        (next(iter(out)) if isinstance(out, dict) else out, name)
        for name, stage in load_yaml(ROOT / "dvc.yaml")["stages"].items()
        for out in [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]
    }
    assert described == declared


def test_every_exit_code_of_verify_is_described() -> None:
    page = (REFERENCE / "exit-codes.md").read_text(encoding="utf-8")
    section = page.split("## goodfit lineage verify")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| ([a-z ]+) \|", section, re.MULTILINE)
    assert rows == [(str(int(code)), code.name.lower().replace("_", " ")) for code in ExitCode]
