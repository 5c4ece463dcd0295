"""The lines of requirements.lock."""

import pytest

from flows.lineage.export.requirements import Requirement, read_requirements
from tasks.core.errors import GoodfitError
from tests.conftest import ROOT


def test_names_versions_markers_and_hashes() -> None:
    text = (
        "# a comment\n--index-strategy x\none==1.0 \\\n    --hash=sha256:ab \\\n    --hash=sha256:cd\n    # via two\n"
        "two[extra]==2.0+cpu ; python_version < '3.12' and sys_platform == 'win32' \\\n    --hash=sha512:ef\n\nthree==3  # no hash\n"
    )
    assert read_requirements(text) == [
        Requirement("one", "1.0", None, [("sha256", "ab"), ("sha256", "cd")]),
        Requirement("two", "2.0+cpu", "python_version < '3.12' and sys_platform == 'win32'", [("sha512", "ef")]),
        Requirement("three", "3", None, []),
    ]


def test_the_lock_of_this_project_is_read_whole() -> None:
    text = (ROOT / "requirements.lock").read_text()
    found = read_requirements(text)
    assert sum(len(each.hashes) for each in found) == text.count("--hash=")
    assert len(found) == sum("==" in line for line in text.splitlines() if line[:1].isalnum())


@pytest.mark.parametrize("line", ["torch>=2", "torch @ file:///torch.whl", "    --hash=sha256:ab"])
def test_another_line_is_an_error_that_names_it(line: str) -> None:
    with pytest.raises(
        GoodfitError, match=r"requirements.lock: line 1: found '.*'; expected `name==version` or `--hash=sha256:…`"
    ):
        read_requirements(line)
