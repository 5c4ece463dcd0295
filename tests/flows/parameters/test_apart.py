"""Parameters are checked in another process, and its errors are those of this one."""

import sys
from pathlib import Path

import pytest

from flows.declaration import read_params
from flows.parameters.apart import params_checked_apart
from tasks.core.errors import ArtifactError, ParamsError
from tests.conftest import ROOT, Project

SCRIPT = (
    "import sys; from pathlib import Path; from flows.declaration import read_params\n"
    "from flows.parameters.apart import params_checked_apart\n"
    "with params_checked_apart(Path.cwd(), read_params(Path())): pass\n"
    "print(*(name for name in sys.modules if name.startswith('tasks.') and name.count('.') == 1))"
)


def test_no_stage_is_imported_here(fresh: Project) -> None:
    loaded = fresh.run(sys.executable, "-c", SCRIPT).stdout.split()
    assert set(loaded) == {"tasks.contracts", "tasks.core"} & set(loaded)


def test_the_error_names_all_offences_in_place_of_the_blocks(tmp_path: Path) -> None:
    document = read_params(ROOT)
    document["train"] |= {"epohcs": 1}
    document["evaluate"] = {"bins": -1}
    with (
        pytest.raises(ParamsError, match=r"(?s)train\.epohcs.*evaluate|evaluate.*train\.epohcs"),
        params_checked_apart(ROOT, document),
    ):
        raise ArtifactError("of the block")


def test_the_error_of_the_block_stands_where_the_parameters_are_right() -> None:
    with pytest.raises(ArtifactError, match="of the block"), params_checked_apart(ROOT, read_params(ROOT)):
        raise ArtifactError("of the block")


def test_a_component_that_cannot_be_imported_fails_as_it_would_here(fresh: Project) -> None:
    (fresh.root / "tasks/models/broken.py").write_text("raise RuntimeError('broken by its author')\n")
    fresh.edit("params.yaml", "{name: mlp, hidden: [64]}", "{name: broken}")
    done = fresh.run(sys.executable, "-m", "flows.stage", "download", check=False)
    assert done.returncode == 1
    assert "broken by its author" in done.stderr
