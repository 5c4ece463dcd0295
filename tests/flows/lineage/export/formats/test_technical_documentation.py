"""The page in the order of Annex IV, parsed as Markdown."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from flows.lineage.export.formats import technical_documentation
from flows.lineage.export.recorded import Recorded
from flows.lineage.export.sections import number
from tests.conftest import STAGES, Project

pytestmark = pytest.mark.slow

# Regulation (EU) 2024/1689, Annex IV.
POINTS = [f"1({letter})" for letter in "abcdefgh"] + [f"2({letter})" for letter in "abcdefgh"] + list("3456789")


@pytest.fixture(scope="module")
def text(recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("documentation") / "page.md"
    technical_documentation.export(recorded, str(file))
    return file.read_text()


@pytest.fixture(scope="module")
def page(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(text)


def under(page: list[Token], point: str) -> str:
    """What stands below the heading of a point."""
    found, inside = [], False
    for token in page:
        if token.type == "heading_open":
            inside = False
        if token.type == "inline":
            inside = inside or token.content.startswith(f"{point}. ")
            if inside:
                found.append(token.content)
    return "\n".join(found)


def test_every_point_of_the_annex_is_there_in_its_order_with_its_gap(page: list[Token]) -> None:
    headings = [after.content for token, after in pairwise(page) if token.type == "heading_open"]
    numbered = [heading.partition(". ")[0] for heading in headings[1:]]
    assert numbered == ["1", *POINTS[:8], "2", *POINTS[8:], "Gaps"]
    rows = [token.content for token in page if token.type == "inline"]
    table = rows[rows.index("missing") + 1 :]
    assert table[::2] == POINTS
    for point, gap in zip(table[::2], table[1::2], strict=True):
        assert f"**Gap:** {gap}." in under(page, point)


def test_it_claims_no_conformity(page: list[Token], text: str) -> None:
    assert "**This page claims no conformity.**" in text
    assert "this page is none, and claims no conformity" in under(page, "8")


def test_what_is_known_is_from_the_record(recorded: Recorded, page: list[Token]) -> None:
    assert recorded.commit is not None
    assert f"`{recorded.weights.sha256}`" in under(page, "1(a)")
    assert recorded.commit.id in under(page, "1(a)")
    assert dict(recorded.packages)["torch"] in under(page, "1(c)")
    assert all(f"`python -m flows.stage {stage}`" in under(page, "2(a)") for stage in STAGES)
    assert "`train.optimizer.learning_rate`" in under(page, "2(b)")
    assert recorded.stages["preprocess"].outputs["data/processed/test.safetensors"].sha256 in under(page, "2(d)")
    evaluation = json.loads((recorded.root / "metrics/evaluation.json").read_text())
    for name, value in evaluation.items():
        assert number(value) in under(page, "2(g)"), name
    diagnosis = json.loads((recorded.root / "results/diagnosis.json").read_text())
    assert f"Verdict: {diagnosis['verdict'].replace('_', ' ')}." in under(page, "3")
    assert all(finding["title"] in under(page, "2(g)") for finding in diagnosis["findings"])
    assert recorded.commits[-1].id in under(page, "6")


def test_durations_are_the_journals_and_without_one_not_recorded(page: list[Token], ran: Project, tmp_path: Path) -> None:
    assert len(re.findall(r"^\d+\.\d s$", under(page, "2(c)"), re.MULTILINE)) == len(STAGES)
    (ran.root / ".dvc/tmp/goodfit/journal.jsonl").unlink()
    ran.run("goodfit", "lineage", "export", "--format", "technical-documentation", "-o", str(tmp_path / "page.md"))
    other = MarkdownIt("commonmark").enable("table").parse((tmp_path / "page.md").read_text())
    assert under(other, "2(c)").count("not recorded") == len(STAGES)


def test_the_same_record_gives_the_same_bytes_in_another_folder(text: str, ran: Project) -> None:
    assert ran.run("goodfit", "lineage", "export", "--format", "technical-documentation", PYTHONHASHSEED="7").stdout == text
