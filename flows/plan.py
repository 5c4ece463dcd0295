"""What a run would do: `goodfit run --dry-run`. Nothing is changed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.lineage.lock import Locked, read_lock
from flows.lineage.statement import flat, shown
from flows.parameters.checking import picked
from flows.parameters.overrides import overridden_params
from flows.repository import PIPELINE_FILE
from flows.selection import chosen_stages, pipeline
from tasks.core.settings import PARAMS_FILE, load_yaml


@dataclass(frozen=True)
class Planned:
    """A stage of a run: what has changed, and which stages before it would run."""

    name: str
    changes: list[str]
    after: list[str]
    forced: bool = False

    def __str__(self) -> str:
        """What would become of it. A stage that ran before with the same inputs is restored from DVC's run cache instead."""
        if self.forced:
            return "would run: forced"
        if self.changes:
            return "would run, or be restored from the run cache"
        if self.after:
            return f"would run if the outputs of {' or '.join(self.after)} change"
        return "unchanged"


def plan(root: Path, stages: Sequence[str] | None, force: bool, overrides: Sequence[str]) -> list[Planned]:
    """Each stage that was asked for, with those it depends on, in the order in which they would run.

    Raises:
        GoodfitError: there is no such stage, or the parameters are not valid.
    """
    graph = pipeline(root)
    chosen = chosen_stages(graph, stages)
    params = overridden_params(root, overrides) if overrides else None
    locked = read_lock(root)
    changes = _changes(root, chosen, locked)
    planned: dict[str, Planned] = {}
    for name in chosen:
        found = changes.get(name, [])
        if params is not None and name in locked:
            others = [change for change in found if not change.startswith(f"{PARAMS_FILE}:")]
            found = [*others, *_params_changed(root, name, locked[name], params)]
        before = [
            other for other in chosen if other in graph[name] and (planned[other].changes or planned[other].after or force)
        ]
        planned[name] = Planned(name, found, before, force)
    return list(planned.values())


def _changes(root: Path, chosen: Sequence[str], locked: Mapping[str, Locked]) -> dict[str, list[str]]:
    """What DVC's status says of each stage, one line per change."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        status: dict[str, list[Any]] = repo.status(targets=list(chosen))
    return {
        name.rpartition(":")[2] if name not in chosen else name: list(_lines(root, name, locked.get(name), found))
        for name, found in status.items()
    }


def _lines(root: Path, name: str, locked: Locked | None, found: Sequence[Any]) -> Iterator[str]:
    for change in found:
        if isinstance(change, str):  # "changed command", "always changed"
            yield change
            continue
        for kind, paths in change.items():
            for path, what in paths.items():
                if isinstance(what, dict):  # a file of parameters: each key
                    yield from _params_lines(root, name, locked, path, what)
                else:
                    yield f"{path}: {what}" + (" (output)" if kind == "changed outs" else "")


def _params_lines(root: Path, name: str, locked: Locked | None, path: str, keys: Mapping[str, str]) -> list[str]:
    """Each option that differs with both its values, for params.yaml; for another file what DVC says of the key."""
    if path == PARAMS_FILE and locked is not None:
        return _params_changed(root, name, locked, load_yaml(root / PARAMS_FILE))
    return [f"{path}: {key}: {what}" for key, what in keys.items()]


def _params_changed(root: Path, name: str, locked: Locked, params: Mapping[str, Any]) -> list[str]:
    before, now = flat(locked.params), flat(picked(dict(params), _keys(root, name, locked)))
    return [
        f"{PARAMS_FILE}: {key} {_value(before, key)} -> {_value(now, key)}"
        for key in dict.fromkeys([*now, *before])
        if before.get(key) != now.get(key)
    ]


def _value(params: Mapping[str, Any], key: str) -> str:
    return shown(params[key]) if key in params else "not stated"


def _keys(root: Path, name: str, locked: Locked) -> list[str]:
    stage = (load_yaml(root / PIPELINE_FILE).get("stages") or {}).get(name)
    keys = stage.get("params") if isinstance(stage, dict) else None
    return [key for key in keys if isinstance(key, str)] if isinstance(keys, list) else list(locked.params)
