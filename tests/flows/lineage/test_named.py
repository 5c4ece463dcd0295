"""A path within an output folder is that of a file, or of one that a record names; of another nothing is said."""

import json
from pathlib import Path

import pytest

from flows.declaration import Declaration
from flows.lineage.lock import Locked
from flows.lineage.named import require_file
from flows.lineage.verification.revision import verify_revision
from flows.lineage.verify import Checks, ExitCode, verify
from tasks.contracts.statement import Statement
from tasks.core.errors import GoodfitError
from tests.conftest import Project
from tests.flows.lineage.world import World, statement

RAW = "data/raw/digits.csv.gz"
DECLARED = Declaration("download", "cmd", (), (), ("data/raw",), ())
VERB = ("python", "-m", "flows.cli", "lineage")


def test_what_lies_there_or_is_named_by_the_list_or_by_the_statement_is_a_file(world: World) -> None:
    entry = Locked("cmd", {}, {"data/raw": world.folder(**{"cats/1.png": "0" * 32})}, {})
    own = Statement.model_validate_json(statement("download", {}, {"data/raw/dogs/2.png": ("1" * 32, "1" * 64)}))
    world.put("data/raw/new.png", "new")
    for path in ("data/raw", "data/raw/new.png"):
        require_file(world.root, path, DECLARED, None, None)
    for path in ("data/raw/cats/1.png", "data/raw/cats"):
        require_file(world.root, path, DECLARED, entry, None)
    for path in ("data/raw/dogs/2.png", "data/raw/dogs"):
        require_file(world.root, path, DECLARED, None, own)
    for path in ("data/raw/cats/2.png", "data/raw/cat", "data/raw/nofile"):
        with pytest.raises(GoodfitError, match=f"there is no file '{path}', and no record of the stage download names one"):
            require_file(world.root, path, DECLARED, entry, own)


@pytest.mark.slow
def test_a_file_that_does_not_exist_is_neither_verified_nor_shown(ran: Project) -> None:
    said = "there is no file 'data/raw/nofile', and no record of the stage download names one; expected what it wrote, such as "
    for options, code in ((("verify",), 4), (("verify", "--rev", "HEAD"), 4), (("show",), 1), (("show", "--rev", "HEAD"), 1)):
        done = ran.run(*VERB, *options, "data/raw/nofile", check=False)
        assert (options, done.returncode, done.stdout) == (options, code, "")
        assert done.stderr.startswith(f"error: {said}")
    assert verify(ran.root, RAW).exit_code == ExitCode.CONSISTENT
    assert json.loads(ran.run(*VERB, "show", RAW, "--rev", "HEAD", "--json").stdout)["stage"] == "download"
    (ran.root / RAW).unlink()
    assert verify(ran.root, RAW).exit_code == ExitCode.MISSING
    assert verify_revision(ran.root, "HEAD", RAW, Checks()).exit_code == ExitCode.CONSISTENT


@pytest.mark.slow
def test_a_path_of_a_revision_is_given_from_where_the_user_is(ran: Project) -> None:
    below = Project(ran.root / "models")
    for path in ("model.json", str(ran.root / "models/model.json"), "../models/model.json"):
        done = below.run(*VERB, "verify", "--rev", "HEAD", path, PYTHONPATH=str(ran.root))
        assert done.stdout.startswith("proven: ")
    outside = below.run(*VERB, "verify", "--rev", "HEAD", str(Path.home()), check=False, PYTHONPATH=str(ran.root))
    assert (outside.returncode, "no stage writes" in outside.stderr) == (4, True)
