"""Overrides of a scheduled run: params.yaml holds them while the run lasts, and what it held before afterwards.

What it held before is kept in `.dvc/tmp` meanwhile: if the run is killed, the next run or `goodfit doctor` puts it back.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flows.parameters.overrides import overridden_params
from flows.parameters.writing import with_values
from flows.processes.watch import Identity, this_process
from tasks.core.errors import GoodfitError
from tasks.core.files import whole
from tasks.core.settings import PARAMS_FILE

KEPT = "goodfit-params.json"


@contextmanager
def temporary_overrides(root: Path, overrides: Sequence[str], warn: Callable[[str], None]) -> Iterator[None]:
    """Apply `overrides` to params.yaml for the block. A file that was edited meanwhile is left alone, with a warning.

    Raises:
        ParamsError: an override is not valid; params.yaml is unchanged.
        GoodfitError: another run holds overrides at this moment.
    """
    if not overrides:
        yield
        return
    _refuse_a_second(root)
    path = root / PARAMS_FILE
    before = path.read_text(encoding="utf-8")
    during = with_values(before, overridden_params(root, overrides))
    # Whole before params.yaml is touched: a kill at any moment leaves what is needed to put it back.
    _keep(root, before, during)
    try:
        with whole(path) as temporary:
            temporary.write_text(during, encoding="utf-8")
        yield
    finally:
        message = _put_back(root)
        if message:
            warn(message)


def recover_params(root: Path) -> str | None:
    """Put back what a killed run's overrides replaced, and say so; None where there is nothing to recover."""
    kept = _kept(root)
    if kept is None or _lives(kept):
        return None
    return _put_back(root) or f"{PARAMS_FILE}: restored; a run that was killed had left its overrides in it"


def _put_back(root: Path) -> str | None:
    """Restore params.yaml unless it was edited since; the reason why not."""
    kept = _kept(root)
    if kept is None:
        return None
    path = root / PARAMS_FILE
    found = path.read_text(encoding="utf-8") if path.exists() else None
    edited = found not in (kept["before"], kept["during"])
    if not edited and found != kept["before"]:
        with whole(path) as temporary:
            temporary.write_text(kept["before"], encoding="utf-8")
    _kept_file(root).unlink(missing_ok=True)
    if edited:
        return f"{PARAMS_FILE} was edited while a run's overrides were in it; it was left as it is: check it with `git diff`"
    return None


def _refuse_a_second(root: Path) -> None:
    kept = _kept(root)
    if kept and _lives(kept):
        raise GoodfitError(
            f"another run (process {Identity.parse(kept['owner']).pid}) has its overrides in {PARAMS_FILE} at this moment; "
            "start this run after it has ended"
        )
    if kept:
        _put_back(root)


def _keep(root: Path, before: str, during: str) -> None:
    kept = {"owner": str(this_process()), "before": before, "during": during}
    with whole(_kept_file(root)) as temporary:
        temporary.write_text(json.dumps(kept), encoding="utf-8")


def _kept(root: Path) -> dict[str, Any] | None:
    try:
        kept: dict[str, Any] = json.loads(_kept_file(root).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # a damaged one tells nothing
        return None
    return kept


def _kept_file(root: Path) -> Path:
    """In DVC's folder for temporary files, which Git ignores."""
    return root / ".dvc" / "tmp" / KEPT


def _lives(kept: dict[str, Any]) -> bool:
    """Whether the process that holds the overrides still runs."""
    return Identity.parse(kept["owner"]).is_alive()
