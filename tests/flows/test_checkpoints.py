"""A checkpoint belongs to one set of inputs, and stays until the run is recorded."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from flows.checkpoints import FOLDER, KEEPS, KEPT, checkpoint_file
from tasks.contracts.statement import Digest
from tests.conftest import Project

STAGE = (sys.executable, "-m", "flows.stage", "train")
FILES = {KEEPS: Digest(sha256="a", md5="b")}


def kept(root: Path) -> list[Path]:
    return sorted((root / FOLDER).glob("*.ckpt"))


def test_other_inputs_or_parameters_have_another_file(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir(parents=True)
    names: set[Path] = set()
    for files, resolved in ((FILES, {}), (FILES, {"seed": 1}), ({KEEPS: Digest(sha256="c", md5="b")}, {})):
        with pytest.raises(KeyboardInterrupt):
            interrupted(tmp_path, files, resolved, names)
    assert set(kept(tmp_path)) == names
    assert len(names) == KEPT == 3
    with checkpoint_file(tmp_path, "train", FILES, {}):
        write()
    assert len(kept(tmp_path)) == 2  # that of the run which has ended well is gone


def interrupted(root: Path, files: dict[str, Digest], resolved: dict[str, Any], names: set[Path]) -> None:
    with checkpoint_file(root, "train", files, resolved):
        names.add(write())
        raise KeyboardInterrupt


def write() -> Path:
    """Write the file that the stage is told."""
    file = Path(os.environ["GOODFIT_CHECKPOINT"])
    file.write_text("a checkpoint")
    return file


def test_a_stage_that_keeps_none_is_told_of_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOODFIT_CHECKPOINT", raising=False)
    with checkpoint_file(tmp_path, "report", {}, {}), pytest.raises(KeyError):
        write()


@pytest.mark.slow
def test_an_edit_that_is_taken_back_costs_no_training(fresh: Project) -> None:
    fresh.repro("preprocess")
    fresh.edit("params.yaml", "epochs: 3 ", "epochs: 400 ")
    first = fresh.start(*STAGE)
    try:
        deadline = time.monotonic() + 120
        while not kept(fresh.root) and time.monotonic() < deadline:
            time.sleep(0.05)
        fresh.edit("params.yaml", "batch_size: 32 ", "batch_size: 16 ")
        printed, errors = first.communicate(timeout=300)
    finally:
        first.kill()
    assert first.returncode == 1, printed
    assert "changed while it ran: params.yaml: train" in errors
    assert len(kept(fresh.root)) == 1
    fresh.edit("params.yaml", "batch_size: 16 ", "batch_size: 32 ")
    assert "train: continuing after step" in fresh.run(*STAGE).stdout
    assert not kept(fresh.root)
