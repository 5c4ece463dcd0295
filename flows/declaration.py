"""What dvc.yaml declares of a stage. Reading it here, without DVC, spares every stage's process DVC's import."""

import re
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from flows.repository import PIPELINE_FILE
from tasks.core.errors import GoodfitError, ParamsError
from tasks.core.settings import PARAMS_FILE, load_yaml

PLACEHOLDER = re.compile(r"\$\{([\w.]+)\}")


class DeclarationError(GoodfitError):
    """dvc.yaml has no such stage, or does not declare it as goodfit needs it."""


@dataclass(frozen=True)
class Declaration:
    """A stage of dvc.yaml. Paths are relative to the repository, `params` are dotted keys of params.yaml."""

    name: str
    command: str
    deps: tuple[str, ...]
    params: tuple[str, ...]
    outs: tuple[str, ...]
    uncached: tuple[str, ...]  # of `outs`, those with `cache: false`: Git has them, `dvc checkout` does not bring them back
    persistent: tuple[str, ...] = ()  # of `outs`, those with `persist: true`: the stage finds its last ones again


def read_params(root: Path) -> dict[str, Any]:
    """What params.yaml holds, unchecked.

    Raises:
        ParamsError: the file is missing or not YAML.
    """
    if not (root / PARAMS_FILE).exists():
        recipes = ", `goodfit use digits` writes a new one" if (root / "recipes/digits.yaml").exists() else ""
        raise ParamsError(
            f"{root / PARAMS_FILE} is missing: `git checkout {PARAMS_FILE}` brings back the committed one{recipes}"
        )
    return load_yaml(root / PARAMS_FILE)


def read_declarations(root: Path) -> dict[str, Declaration]:
    """Every stage of dvc.yaml, in its order, with `${key}` replaced from params.yaml as DVC does.

    Raises:
        ParamsError: params.yaml is missing or not YAML.
        DeclarationError: dvc.yaml is missing, a `${key}` is not in params.yaml, or a stage is not written as goodfit reads it.
    """
    stages = _stages(root)
    params = read_params(root)
    return {name: _declaration(name, stage, params) for name, stage in stages.items()}


def read_declaration(root: Path, name: str, params: dict[str, Any] | None = None) -> Declaration:
    """One stage of dvc.yaml, with `${key}` replaced from `params`, or else from params.yaml; the others may be written in any way.

    Raises:
        ParamsError: params.yaml is missing or not YAML.
        DeclarationError: dvc.yaml is missing or has no such stage, or that is not written as goodfit reads it.
    """
    return _declaration(name, _named(_stages(root), name), read_params(root) if params is None else params)


def require_stage(root: Path, name: str) -> None:
    """Check that dvc.yaml has a stage of this name.

    Raises:
        DeclarationError: dvc.yaml is missing or has no such stage.
    """
    _named(_stages(root), name)


def upstream(declarations: dict[str, Declaration], *stages: str) -> list[str]:
    """The stages and every stage before them, in the order of dvc.yaml."""
    wanted, chain = set(stages), set[str]()
    while wanted - chain:
        name = min(wanted - chain)
        chain.add(name)
        wanted |= {made for dep in declarations[name].deps if (made := producer(declarations, dep))}
    return [name for name in declarations if name in chain]


def producer(declarations: dict[str, Declaration], path: str) -> str | None:
    """The stage whose output `path` is or lies in; None for a source file."""
    return next(
        (name for name, stage in declarations.items() for out in stage.outs if path == out or path.startswith(f"{out}/")), None
    )


def writer(declarations: dict[str, Declaration], path: str) -> str:
    """The stage whose output `path` is.

    Raises:
        DeclarationError: no stage writes it.
    """
    name = producer(declarations, path)
    if name is None:
        outs = ", ".join(out for stage in declarations.values() for out in stage.outs)
        raise DeclarationError(f"no stage writes '{path}'; expected one of {outs}")
    return name


def _stages(root: Path) -> dict[str, Any]:
    if not (root / PIPELINE_FILE).exists():
        raise DeclarationError(
            f"{root / PIPELINE_FILE} is missing: `git checkout {PIPELINE_FILE}` brings back the committed one"
        )
    stages = load_yaml(root / PIPELINE_FILE).get("stages")
    if stages is None:
        return {}
    if not isinstance(stages, dict):
        raise _wrong("stages", stages, "a mapping from name to stage")
    return {str(name): stage for name, stage in stages.items()}


def _named(stages: dict[str, Any], name: str) -> Any:
    if name not in stages:
        raise DeclarationError(f"unknown stage '{name}'; dvc.yaml has {', '.join(stages)}")
    return stages[name]


def _declaration(name: str, stage: Any, params: dict[str, Any]) -> Declaration:
    where = f"stages.{name}"
    if not isinstance(stage, dict):
        raise _wrong(where, stage, "a stage with `cmd`, `deps` and `outs`")
    if not isinstance(stage.get("cmd"), str):
        raise _wrong(f"{where}.cmd", stage.get("cmd"), "one command")
    keys = _list(stage, "params", where)
    for key in keys:
        if not isinstance(key, str):
            raise _wrong(f"{where}.params", key, f"keys of {PARAMS_FILE}")
    deps = [_entry(item, f"{where}.deps", params) for item in _list(stage, "deps", where)]
    outs = [
        _entry(item, f"{where}.{kind}", params) for kind in ("outs", "metrics", "plots") for item in _list(stage, kind, where)
    ]
    return Declaration(
        name=name,
        command=_filled(stage["cmd"], params),
        deps=tuple(path for path, _ in deps),
        params=tuple(keys),
        outs=tuple(path for path, _ in outs),
        uncached=tuple(path for path, flags in outs if flags.get("cache") is False),
        persistent=tuple(path for path, flags in outs if flags.get("persist") is True),
    )


def _list(stage: dict[str, Any], kind: str, where: str) -> list[Any]:
    items = stage.get(kind, [])
    if not isinstance(items, list):
        raise _wrong(f"{where}.{kind}", items, "a list")
    return items


def _entry(item: Any, where: str, params: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """An entry is a path, or a path with flags such as `cache: false`."""
    match item:
        case str():
            return _filled(item, params), {}
        case dict() if len(item) == 1:
            ((path, flags),) = item.items()
            if isinstance(path, str) and isinstance(flags, dict | None):
                return _filled(path, params), flags or {}
    raise _wrong(where, item, "a path, or a path with flags")


def _wrong(where: str, found: Any, expected: str) -> DeclarationError:
    return DeclarationError(f"{PIPELINE_FILE}: {where}: found {found!r}; expected {expected}")


def _filled(text: str, params: dict[str, Any]) -> str:
    return PLACEHOLDER.sub(lambda match: str(_value(match[1], params)), text)


def _value(key: str, params: dict[str, Any]) -> Any:
    try:
        return reduce(lambda section, part: section[part], key.split("."), params)
    except (KeyError, TypeError):
        raise DeclarationError(f"dvc.yaml uses ${{{key}}}; {PARAMS_FILE} has no such key") from None
