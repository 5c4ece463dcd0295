"""Every page of docs/ that shows commands is followed, from top to bottom, in a repository of its own."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.server import TEMPORARY, prefect_server
from tests.conftest import FEW_CHECKS, NO_METHODS, ROOT, Project
from tests.docs.pages import Command, blocks, commands, differences, follow

HOW_TO = sorted((ROOT / "docs/how-to").glob("*.md"))
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")] + sorted((ROOT / "docs").rglob("*.md"))
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.slow
@pytest.mark.parametrize("page", HOW_TO, ids=lambda page: page.stem)
def test_a_how_to_page_does_what_it_says(page: Path, ran: Project) -> None:
    for stem, stated in (("add-a-check", FEW_CHECKS), ("explain-predictions", NO_METHODS)):
        if page.stem == stem:  # it adds a list, which the default does not state
            ran.edit("params.yaml", stated, "")
    check(page, ran)


@pytest.mark.slow
def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    check(ROOT / "docs/tutorial.md", clone(tmp_path / "goodfit"))


@pytest.mark.slow
@pytest.mark.prefect
def test_the_readme_does_what_it_says(ran: Project) -> None:
    """Its four `goodfit run` share a server; that each starts one where there is none is for the tests of the flow."""
    give_environment(ran.root)
    ran.edit("params.yaml", "epochs: 3 ", "epochs: 150 ")  # as the page says: early stopping has something to stop
    ran.run(sys.executable, "-m", "flows.plots")
    with prefect_server(options=TEMPORARY) as url:
        check(ROOT / "README.md", ran, PREFECT_API_URL=url)


def check(page: Path, project: Project, **variables: str) -> None:
    complaints = follow(page, project, **variables)
    if complaints:
        pytest.fail("\n\n".join(complaints), pytrace=False)


def clone(root: Path) -> Project:
    """What `git clone` gives, after `make setup`."""
    from tests.conftest import copy_of_the_tree

    root.mkdir()
    project = copy_of_the_tree(root)
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", "Start")
    give_environment(root)
    return project


def give_environment(root: Path) -> None:
    """Give a copy a .venv that is this one, as `make setup` leaves it: the page can activate it, and `make run` installs nothing."""
    (root / ".venv").mkdir()
    for part in Path(sys.prefix).iterdir():
        if part.name != ".complete":
            (root / ".venv" / part.name).symlink_to(part)
    (root / ".venv/.complete").touch()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    text = "\n".join(block.text for block in blocks(page.read_text(encoding="utf-8")) if block.language in {"sh", "console"})
    targets = set(re.findall(r"^(?:\$ )?make ([a-z-]+)", text, re.MULTILINE))
    for target in targets:
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


def test_a_command_that_fails_or_prints_something_else_is_reported() -> None:
    assert list(differences("page:1", Command("true", ["any ... thing"]), 0, "any other thing\n")) == []
    assert len(list(differences("page:1", Command("true", ["any ... thing"]), 0, "nothing\n"))) == 1
    assert len(list(differences("page:1", Command("false"), 1, ""))) == 1


def test_reads_names_continued_commands_and_expected_lines() -> None:
    page = (
        "Text.\n\n`a/b.py`:\n\n```python\nx = 1\n```\n\nAppend to `c`:\n\n```yaml\ny: 2\n```\n\n"
        "```console\n$ one \\\n  two\nout\n\n$ three\n```\n"
    )
    python, yaml, console = blocks(page)
    assert (python.file, python.append, python.text) == ("a/b.py", False, "x = 1\n")
    assert (yaml.file, yaml.append) == ("c", True)
    assert console.file == ""
    first, second = commands(console.text)
    assert (first.text, first.expected) == ("one \\\n  two", ["out", ""])
    assert (second.text, second.expected) == ("three", [])


def test_a_page_that_is_wrong_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`a.txt`:\n\n```\none\n```\n\n```console\n$ cat a.txt\none\n\n$ cat a.txt\ntwo\n```\n\n```python\nraise SystemExit(3)\n```\n"
    )
    shutil.rmtree(tmp_path / "project", ignore_errors=True)
    (tmp_path / "project").mkdir()
    assert [complaint.splitlines()[0] for complaint in follow(page, Project(tmp_path / "project"))] == [
        "page.md:7: cat a.txt",
        "page.md:15: the program failed:",
    ]
