"""What `dvc repro` would do with each stage now, and why. Nothing is changed.

DVC's own objects say what differs from dvc.lock. What they cannot say is how a change goes on: a stage whose input another stage is
about to write runs only if that input gets other bytes. Where an earlier stage would be restored from DVC's run-cache, its bytes are
known.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from flows.graph import stage_name
from flows.lineage.digest import digest_paths
from flows.lineage.listing import FOLDER
from flows.lineage.lock import Locked, read_lock
from flows.lineage.objects import Objects
from flows.lineage.printed import escaped
from flows.lineage.reading.causes import Cause, differing, leaves, listed
from flows.parameters.checking import picked
from flows.selection import Graph
from tasks.core.errors import ParamsError
from tasks.core.settings import PARAMS_FILE, load_yaml


class Outcome(StrEnum):
    """What would become of a stage."""

    UNCHANGED = "unchanged"
    RUNS = "would run"
    FORCED = "would run: forced"
    RESTORED = "would be restored from DVC's cache"
    CHANGED = "would run, or be restored from DVC's cache"
    DEPENDS = "would run if outputs change"
    FROZEN = "frozen: does not run"


@dataclass(frozen=True)
class Forecast:
    """What would become of a stage, its own causes, and the stages before it on whose outputs it depends."""

    name: str
    outcome: Outcome
    causes: list[Cause] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)  # the MD5 that each will have, where it would be restored

    def __str__(self) -> str:
        if self.outcome is Outcome.DEPENDS:
            return f"would run if the outputs of {' or '.join(map(escaped, self.after))} change"
        return self.outcome.value


def forecast(
    root: Path, graph: Graph, chosen: Sequence[str], force: bool = False, params: Mapping[str, Any] | None = None
) -> dict[str, Forecast]:
    """What would become of each of the chosen stages, in this order.

    Args:
        root: the repository.
        graph: every stage with those that it waits for.
        chosen: the stages, each after those that it waits for.
        force: run all of them, as `-f` does.
        params: what params.yaml will hold; None for what it holds.
    """
    from dvc.repo import Repo

    found: dict[str, Forecast] = {}
    with Repo(str(root)) as repo:
        stages = {stage_name(stage): stage for stage in repo.index.stages}
        locked = read_lock(root)
        for name in chosen:
            before = {other: found[other] for other in graph[name] if other in found}
            writers = {other: [out.fs_path for out in stages[other].outs] for other in before}
            found[name] = _Stage(root, stages[name], name, locked.get(name), before, writers, params).forecast(force)
    return found


@dataclass(frozen=True)
class _Stage:
    root: Path
    stage: Any  # DVC's
    name: str
    locked: Locked | None
    before: Mapping[str, Forecast]
    writers: Mapping[str, list[str]]  # the outputs of each stage before, as absolute paths
    params: Mapping[str, Any] | None

    def forecast(self, force: bool) -> Forecast:
        stage = self.stage
        outs = [*self._outputs()] if self._is_recorded() else []
        before = self.locked.command if self.locked else None
        command = [Cause("command", "cmd", before, stage.cmd)] if stage.cmd_changed else []
        if stage.frozen:  # DVC only looks whether its outputs are there
            found = [*command, *outs]
            return Forecast(self.name, Outcome.FROZEN if found or force else Outcome.UNCHANGED, found)
        inputs, after, digests = self._inputs()
        always = [Cause("always", self.name)] if stage.is_callback or stage.always_changed else []
        first = [] if self._is_recorded() or stage.is_callback else [Cause("first run", self.name)]
        changed = [*command, *self._parameters(), *inputs]
        causes = [*always, *(first or [*changed, *outs])]
        if force:
            return Forecast(self.name, Outcome.FORCED, causes, after)
        if not causes:
            return Forecast(self.name, Outcome.DEPENDS if after else Outcome.UNCHANGED, [], after)
        if after:
            return Forecast(self.name, Outcome.CHANGED, causes, after)
        restored = None if always else self._restored(digests, same=not changed and not first)
        outcome = Outcome.RUNS if restored is None else Outcome.RESTORED
        return Forecast(self.name, outcome, causes, [], restored or {})

    def _is_recorded(self) -> bool:
        """Also of a pipeline in another folder, whose dvc.lock is another file."""
        return self.locked is not None or any(entry.hash_info for entry in (*self.stage.outs, *self.stage.deps))

    def _outputs(self) -> Iterator[Cause]:
        for out in self.stage.outs:
            for state in out.status().values():
                now = _digest(out) if state == "modified" else None
                yield Cause("output", self._path(out), out.hash_info.value, now, state)

    def _inputs(self) -> tuple[list[Cause], list[str], dict[Any, str]]:
        """The inputs that differ, the stages on whose outputs it depends whether others do, and the MD5 of each that is known."""
        causes, after, digests = list[Cause](), dict[str, None](), dict[Any, str]()
        for dep in self.stage.deps:
            if _is_params(dep):
                continue
            made_by = [name for name, outs in self.writers.items() if any(_overlap(dep.fs_path, out) for out in outs)]
            unknown = [name for name in made_by if self._leaves_open(name, dep)]
            after |= dict.fromkeys(unknown)
            if any(self.before[name].outcome is not Outcome.DEPENDS for name in unknown):
                continue
            cause, digest = self._input(dep, made_by)
            if cause:
                causes.append(cause)
            if digest:
                digests[dep] = digest
        return causes, list(after), digests

    def _leaves_open(self, name: str, dep: Any) -> bool:
        """Whether nothing says which bytes this input will have once that stage is up to date."""
        match self.before[name].outcome:
            case Outcome.UNCHANGED | Outcome.FROZEN:
                return False
            case Outcome.RESTORED:
                return self._path(dep) not in self.before[name].outputs  # a part of an output, or several
        return True

    def _input(self, dep: Any, made_by: list[str]) -> tuple[Cause | None, str | None]:
        recorded, path = dep.hash_info.value, self._path(dep)
        writer = made_by[0] if made_by else None
        restored = next((self.before[name].outputs[path] for name in made_by if path in self.before[name].outputs), None)
        if restored is not None:
            same = restored == recorded
            return None if same else Cause("input", path, recorded, restored, "modified", writer), restored
        states = list(dep.status().values())
        if not states:
            return None, recorded
        now = _digest(dep)
        return Cause("input", path, recorded, now, str(states[0]), writer, self._files(path, recorded, now)), now

    def _files(self, path: str, recorded: str | None, now: str | None) -> tuple[str, ...]:
        """The files of a folder that are no longer as they were recorded."""
        if not (self.locked and recorded and now and recorded.endswith(FOLDER) and now.endswith(FOLDER)):
            return ()
        before = listed(Objects(self.root), self.locked, self.name, path, recorded)
        return (
            differing(before, {name: digest.md5 for name, digest in digest_paths(self.root, [path]).items()}) if before else ()
        )

    def _parameters(self) -> Iterator[Cause]:
        for dep in filter(_is_params, self.stage.deps):
            recorded = dep.hash_info.value or {}
            now = self._values(dep)
            file = self._path(dep)
            yield from leaves(f"{file}: ", recorded, now)

    def _values(self, dep: Any) -> dict[str, Any]:
        """The parameters by the keys that dvc.yaml declares."""
        if self.params is None or self._path(dep) != PARAMS_FILE:
            return dict(dep.read_params())
        keys = dep.params or list(self.params)
        found = {key: picked(dict(self.params), [key]) for key in keys}
        return {key: _at(part, key) for key, part in found.items() if part}

    def _restored(self, digests: Mapping[Any, str], same: bool) -> dict[str, str] | None:
        """The outputs that DVC would bring back instead of running the stage, with their MD5; None where it would run it.

        As `dvc.stage.cache.StageCache.restore`, which reads the inputs from the working tree, where those of a stage that would be
        restored are not yet.
        """
        stage = self.stage
        if not (stage.cmd and stage.deps and stage.outs) or any(
            out.protocol != "local" or out.persist or not out.is_in_repo for out in stage.outs
        ):
            return None
        if same and all(out.hash_info for out in stage.outs):
            outputs = {self._path(out): out.hash_info.value for out in stage.outs}
        else:
            outputs = self._run_cache(digests)
        return outputs if outputs and _all_cached(Objects(self.root), outputs.values()) else None

    def _run_cache(self, digests: Mapping[Any, str]) -> dict[str, str]:
        """The outputs of the newest run of the run-cache with these inputs, parameters and command; none where there is none."""
        from dvc.stage.cache import _get_cache_hash
        from dvc.stage.serialize import to_single_stage_lockfile

        files = {dep.def_path: digests.get(dep) for dep in self.stage.deps if not _is_params(dep)}
        params = {dep.def_path: (set(dep.params), self._values(dep)) for dep in self.stage.deps if _is_params(dep)}
        if None in files.values() or any(wanted - values.keys() for wanted, values in params.values()):
            return {}
        entry = to_single_stage_lockfile(self.stage)  # as it is recorded; what follows is what DVC would record
        for item in entry.get("deps", []):
            item["md5"] = files[item["path"]]
        if params:
            entry["params"] = {path: values for path, (_, values) in params.items()}
        cache = self.stage.repo.stage_cache
        folder = Path(cache._get_cache_dir(_get_cache_hash(entry, key=True)))
        runs = sorted(folder.iterdir(), key=lambda file: file.stat().st_mtime) if folder.is_dir() else []
        try:
            found = load_yaml(runs[-1]) if runs else {}
            below = Path(self.stage.wdir)
            return {_relative(self.root, below / out["path"]): str(out["md5"]) for out in found.get("outs", [])}
        except (ParamsError, KeyError, TypeError, AttributeError):  # as DVC, which then runs the stage
            return {}

    def _path(self, entry: Any) -> str:
        return _relative(self.root, Path(entry.fs_path)) if entry.protocol == "local" else str(entry)


def _relative(root: Path, path: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()


def _is_params(dep: Any) -> bool:
    from dvc.dependency import ParamsDependency

    return isinstance(dep, ParamsDependency)


def _overlap(one: str, other: str) -> bool:
    """Whether two paths are the same, or one lies in the other."""
    return one == other or one.startswith(f"{other}{os.sep}") or other.startswith(f"{one}{os.sep}")


def _digest(entry: Any) -> str | None:
    """The MD5 of what lies at an entry's path, as DVC computes it; None where nothing does."""
    try:
        return str(entry.get_hash().value)
    except FileNotFoundError:
        return None


def _at(part: Any, key: str) -> Any:
    for name in key.split("."):
        part = part[name]
    return part


def _all_cached(objects: Objects, digests: Any) -> bool:
    """Whether the cache has these files, and of folders every file in them."""
    for md5 in digests:
        members = objects.members(md5) if md5.endswith(FOLDER) else {"": md5}
        if members is None or not all(objects.has(member) for member in members.values()):
            return False
    return True
