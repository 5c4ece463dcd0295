"""The verb `export`: its list of formats, where it writes, and what it says of a package that is missing."""

import os
import sys
from pathlib import Path

import pytest

from flows.lineage.export.write import available, put, require
from tasks.core.errors import GoodfitError
from tests.conftest import ROOT, Project


def test_each_file_of_the_folder_is_a_format_and_stands_in_help(fresh: Project) -> None:
    files = {file.stem.replace("_", "-") for file in (ROOT / "flows/lineage/export/formats").glob("*.py")} - {"--init--"}
    assert set(available()) == files
    printed = fresh.run("goodfit", "lineage", "export", "--help").stdout
    assert all(f"  {name} " in printed and module.TEXT in printed for name, module in available().items())
    assert "example:\n  goodfit lineage export" in printed


def test_an_unknown_format_is_a_usage_error(fresh: Project) -> None:
    done = fresh.run("goodfit", "lineage", "export", "--format", "pdf", check=False)
    assert done.returncode == 2
    assert "invalid choice: 'pdf'" in done.stderr
    assert "'model-card'" in done.stderr


def test_a_text_ends_with_one_newline_and_replaces_the_file_as_a_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put("one\n\n", None)
    assert capsys.readouterr().out == "one\n"
    put("long before", str(tmp_path / "folder/file"))
    put("two", str(tmp_path / "folder/file"))
    assert [(file.name, file.read_text()) for file in (tmp_path / "folder").iterdir()] == [("file", "two\n")]
    with pytest.raises(GoodfitError, match="is a folder; this format is one file"):
        put("three", str(tmp_path / "folder"))
    with pytest.raises(GoodfitError, match="is an address, to which this format cannot be sent"):
        put("three", "ftp://host/file")


def test_a_pipe_or_a_device_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(
        GoodfitError, match="pipe is no regular file; name a file to write, or leave -o out for standard output"
    ):
        put("text", str(tmp_path / "pipe"))
    assert (tmp_path / "pipe").is_fifo()


def test_a_missing_package_is_one_sentence_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GoodfitError) as raised:
        require("a-package", "a_module_that_is_not_there.inside")
    assert (
        str(raised.value) == "this format needs the package a-package, which is not installed: `pip install 'goodfit[export]'`"
    )
    assert require("json", "json") is sys.modules["json"]
