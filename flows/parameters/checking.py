"""The whole of `params.yaml`: what is checked before anything runs, and what one stage is handed."""

from collections.abc import Iterable
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import Any

from flows.declaration import PLACEHOLDER, Declaration, producer, read_declaration
from flows.repository import PIPELINE_FILE
from tasks.core.errors import DataError, ParamsError
from tasks.core.settings import PARAMS_FILE, Section, expected_names, invalid, load_yaml, validate

COMMAND = "python -m flows.stage "


def own_stages(root: Path) -> list[str]:
    """The stages of dvc.yaml that are ours, in its order: those whose command is `python -m flows.stage NAME`."""
    return list(_own(_stages(root)))


def stage_params(declared: Declaration, document: dict[str, Any], file: str = PARAMS_FILE) -> Section:
    """What a stage is handed: the keys that dvc.yaml declares for it, checked by the `Params` of `tasks/<name>.py`.

    Raises:
        ParamsError: a key is unknown or missing, or a value is not allowed.
    """
    model: type[Section] = import_module(f"tasks.{declared.name}").Params
    return validate(model, picked(document, declared.params), file)


def check_params(root: Path, document: dict[str, Any] | None = None, file: str = PARAMS_FILE) -> None:
    """Check the parameters of every stage, those of `document` in place of params.yaml where it is given.

    Raises:
        ParamsError: a key is unknown or missing, or a value is not allowed; all offences are named at once.
    """
    found = load_yaml(root / PARAMS_FILE) if document is None else document
    stages = _stages(root)
    ours = _own(stages)
    if not ours:  # another pipeline: its parameters are its own
        return
    known = _keys_of([stage for name, stage in stages.items() if name not in ours and isinstance(stage, dict)])
    lines: list[str] = []
    for name, stage in ours.items():
        model: type[Section] = import_module(f"tasks.{name}").Params
        known |= model.model_fields.keys()
        try:
            validate(model, picked(found, stage.get("params", [])), file)
        except ParamsError as error:
            lines += [line.strip() for line in str(error).splitlines()[1:]]
    lines += [f"{key}: unknown key; {expected_names(str(key), sorted(known))}" for key in found if key not in known]
    lines += _together(found)
    if "gates" in ours:
        lines += _gates(found)
    if lines:
        raise ParamsError(invalid(file, list(dict.fromkeys(lines))))


def check_sources(root: Path, document: dict[str, Any]) -> None:
    """Look whether what the parameters name is there, before anything is touched.

    A stage that knows more about it has a function `check_source(params, root)` beside its own.

    Raises:
        DataError: something is not there.
    """
    stages = _own(_stages(root))
    declarations = {name: read_declaration(root, name, document) for name in stages}
    for name, stage in stages.items():
        module = import_module(f"tasks.{name}")
        declared = declarations[name]
        if hasattr(module, "check_source"):
            module.check_source(stage_params(declared, document), root)
        for text, path in zip(stage.get("deps", []), declared.deps, strict=True):
            if "${" in str(text) and not (root / path).exists() and not producer(declarations, path):
                raise DataError(
                    f"{name} depends on {path} ({text} in {PIPELINE_FILE}), which does not exist; expected a file or folder there, "
                    "even where the chosen dataset does not read it: restore it, or correct the parameter"
                )


def _stages(root: Path) -> dict[str, Any]:
    """The stages as dvc.yaml states them; unlike `read_declarations` this does not need params.yaml."""
    return {str(name): stage for name, stage in (load_yaml(root / PIPELINE_FILE).get("stages") or {}).items()}


def _own(stages: dict[str, Any]) -> dict[str, Any]:
    return {name: stage for name, stage in stages.items() if isinstance(stage, dict) and stage.get("cmd") == f"{COMMAND}{name}"}


def _keys_of(others: list[dict[str, Any]]) -> set[str]:
    """The top-level keys that stages with commands of their own declare or insert as `${key}`: known, and checked by nobody here."""
    declared = [key for stage in others for body in (stage, stage.get("do") or {}) for key in body.get("params") or []]
    return {key.partition(".")[0] for key in [*declared, *PLACEHOLDER.findall(str(others))] if isinstance(key, str)}


def picked(document: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """The part of `document` that these dotted keys name; a key that is not there is left out."""
    part: dict[str, Any] = {}
    for key in keys:
        *sections, last = key.split(".")
        try:
            value = reduce(lambda section, name: section[name], [*sections, last], document)
        except (KeyError, TypeError):
            continue
        reduce(lambda section, name: section.setdefault(name, {}), sections, part)[last] = value
    return part


def _gates(document: dict[str, Any]) -> list[str]:
    """What `gates.fail_on` names that no check raises: the stage itself would find it only after everything has run."""
    match document:
        case {"gates": {"fail_on": list(names)}}:
            from flows.flags import unknown_flags

            return [f"gates.fail_on: {line}" for line in unknown_flags(name for name in names if isinstance(name, str))]
    return []


def _together(document: dict[str, Any]) -> list[str]:
    """Rules over the sections of several stages."""
    found = []
    match document:
        case {"train": {"early_stopping": {"enabled": True}}, "preprocess": {"val_fraction": 0}}:
            found.append("train.early_stopping.enabled: true needs a validation split; set preprocess.val_fraction above 0")
        case {"train": {"schedule": {"name": "plateau"}}, "preprocess": {"val_fraction": 0}}:
            found.append("train.schedule.name: plateau needs a validation split; set preprocess.val_fraction above 0")
    match document:
        case {"evaluate": {"model": str(model)}, "compress": {"methods": list(methods)}}:
            names = [str(method.get("name")) if isinstance(method, dict) else str(method) for method in methods]
            made = ["original", *names] if names else []
            if model.startswith("models/compressed/") and model.split("/")[2] not in made:
                known = f"makes {', '.join(made)}" if made else "is empty"
                found.append(
                    f"evaluate.model: found {model!r}, and compress.methods {known}; add the method, or score another model"
                )
    return found
