"""A scheduled run's overrides are its own: params.yaml is what it was when the run ends, however it ends."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.parameters.temporary import recover_params, temporary_overrides
from tasks.core.errors import GoodfitError, ParamsError
from tasks.core.settings import load_yaml
from tests.conftest import ROOT

KILLED = """
import os, signal, sys
from pathlib import Path
from flows.parameters.temporary import temporary_overrides
with temporary_overrides(Path(sys.argv[1]), ["train.epochs=7"], print):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def root(params_with: Callable[..., Path]) -> Path:
    folder = params_with()
    (folder / ".dvc" / "tmp").mkdir(parents=True)
    return folder


def text(root: Path) -> str:
    return (root / "params.yaml").read_text()


def left(root: Path) -> list[Path]:
    return list((root / ".dvc" / "tmp").iterdir())


def test_overrides_hold_in_the_block_and_the_file_is_then_what_it_was(root: Path) -> None:
    before = text(root)
    with temporary_overrides(root, ["train.epochs=7"], pytest.fail):
        assert load_yaml(root / "params.yaml")["train"]["epochs"] == 7
    assert text(root) == before
    assert left(root) == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_run_that_fails_or_is_cancelled_restores_them(root: Path, error: type[BaseException]) -> None:
    before = text(root)
    with pytest.raises(error), temporary_overrides(root, ["train.epochs=7"], pytest.fail):
        raise error
    assert text(root) == before
    assert left(root) == []


def test_an_invalid_override_changes_nothing(root: Path) -> None:
    before = text(root)
    with pytest.raises(ParamsError, match="did you mean 'epochs'"), temporary_overrides(root, ["train.epoch=7"], pytest.fail):
        pytest.fail("the block ran")
    assert text(root) == before
    assert left(root) == []


def test_a_file_that_was_edited_meanwhile_is_left_and_said(root: Path) -> None:
    said: list[str] = []
    with temporary_overrides(root, ["train.epochs=7"], said.append):
        (root / "params.yaml").write_text(text(root).replace("seed: 0 ", "seed: 1 "))
        edited = text(root)
    assert text(root) == edited
    assert [line.partition(";")[0] for line in said] == ["params.yaml was edited while a run's overrides were in it"]
    assert left(root) == []


def test_what_a_killed_run_left_is_recovered_by_the_next(root: Path) -> None:
    before = text(root)
    subprocess.run([sys.executable, "-c", KILLED, str(root)], cwd=ROOT, check=False)
    assert "epochs: 7 " in text(root)
    assert recover_params(root) == "params.yaml: restored; a run that was killed had left its overrides in it"
    assert text(root) == before
    assert recover_params(root) is None


def test_a_second_run_with_overrides_is_refused_while_the_first_lasts(root: Path) -> None:
    with temporary_overrides(root, ["train.epochs=7"], pytest.fail):
        first = text(root)
        assert recover_params(root) is None, "its owner lives"
        with pytest.raises(GoodfitError, match="another run"), temporary_overrides(root, ["train.epochs=8"], pytest.fail):
            pytest.fail("the block ran")
        assert text(root) == first


def test_without_overrides_nothing_is_written(root: Path) -> None:
    with temporary_overrides(root, [], pytest.fail):
        assert left(root) == []
