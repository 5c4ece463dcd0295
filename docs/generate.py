"""`make docs`: write docs/reference/parameters.md from the code, so that it cannot differ from it; a test holds the two to each other.

Key, type, default and bounds come from the pydantic models of `tasks/<stage>.py` and of every component's file, the meaning from the
comment behind a field, or else from the one behind its key in params.yaml.
"""

import ast
import inspect
import sys
import tokenize
import types
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from flows.parameters.checking import own_stages
from tasks.core.components import Component, choices
from tasks.core.settings import keys_of

ROOT = Path(__file__).resolve().parent.parent
PARAMETERS = ROOT / "docs/reference/parameters.md"
HEAD = """\
<!-- Written by `make docs` from the code: change the code, not this page. -->
# Parameters

The keys of `params.yaml`. A key without a default must be stated. A key that names a component (`{name: mlp, hidden: [64]}`) takes
the name of one file of its folder and that file's options; options that are not stated have the defaults below. An unknown key, a
value out of bounds and an option of another component are errors.
"""
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "length ≥", "max_length": "length ≤", "pattern": "matches"}
TABLE = ("| key | type | default | allowed | meaning |", "| --- | --- | --- | --- | --- |")


def parameters() -> str:
    """The page."""
    sections: dict[str, FieldInfo] = {}
    owners: dict[str, type[BaseModel]] = {}
    for stage in own_stages(ROOT):
        model: type[BaseModel] = import_module(f"tasks.{stage}").Params
        for key, field in model.model_fields.items():
            # The key's own stage describes it whole: another stage may be handed only a part of it.
            if key not in sections or key == stage:
                sections[key], owners[key] = field, model
    values = {key: field for key, field in sections.items() if _model(field) is None}
    lines = [HEAD, "## Top level", "", *TABLE, *(_row(key, field, owners[key]) for key, field in values.items())]
    for key, field in sections.items():
        section = _model(field)
        if section is not None:
            rows = list(_rows(key, section))
            lines += ["", f"## {key}", "", *TABLE, *rows]
            for name, component, _ in choices(section, f"{key}."):
                lines += _catalogue(name, component)
    return "\n".join(lines).replace("\n\n\n", "\n\n").rstrip() + "\n"


def _rows(prefix: str, model: type[BaseModel]) -> Iterator[str]:
    """A row for each key of a section, those of the sections in it included."""
    for name, field in keys_of(model).items():
        inner = _model(field)
        if inner is not None:
            yield from _rows(f"{prefix}.{name}", inner)
        else:
            yield _row(f"{prefix}.{name}", field, model)


def _row(key: str, field: FieldInfo, model: type[BaseModel]) -> str:
    component = _component(field)
    if component is not None:
        folder = component.package.replace(".", "/")
        kind = "list of components" if _is_list(field) else "component"
        bounds = ", ".join(f"`{name}`" for name in component.names())
        meaning = f"{'files' if _is_list(field) else 'a file'} of `{folder}/`; see below"
    else:
        kind, bounds, meaning = _type(field.annotation), _bounds(field), _meaning(key, model)
    default = "required" if field.is_required() else f"`{_default(field)}`"
    return f"| `{key}` | {kind} | {default} | {bounds} | {_cell(meaning)} |"


def _catalogue(key: str, component: Component) -> Iterator[str]:
    """The options of every component that may be chosen under `key`."""
    yield from ("", f"### {key}", "")
    for name in component.names():
        settings = component.settings(name)
        summary = (inspect.getdoc(import_module(f"{component.package}.{name}")) or "").partition("\n\n")[0]
        rows = list(_rows(key, settings))
        yield f"**`{name}`**: {' '.join(summary.split())}{'' if rows else ' It has no options.'}"
        yield from ("", *TABLE, *rows, "") if rows else ("",)


def _model(field: FieldInfo) -> type[BaseModel] | None:
    """The section that a field holds; None where it holds a value."""
    kinds = [field.annotation, *get_args(field.annotation)]
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _component(field: FieldInfo) -> Component | None:
    """The folder from which a field chooses, also where it holds a list of choices."""
    return next((part for part in _metadata(field) if isinstance(part, Component)), None)


def _metadata(field: FieldInfo) -> Iterator[Any]:
    """What is annotated to a field, and to the items of its list."""
    yield from field.metadata
    waiting = [field.annotation]
    while waiting:
        kind = waiting.pop()
        if get_origin(kind) is Annotated:
            for part in get_args(kind)[1:]:
                yield from getattr(part, "metadata", [part])
        waiting += get_args(kind)


def _is_list(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is list


def _default(field: FieldInfo) -> str:
    return _yaml(field.get_default(call_default_factory=True))


def _type(annotation: Any) -> str:
    """A type in the words of YAML: `int`, `list of int`, `one of a, b`, `float or null`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return ("one of " if len(arguments) > 1 else "") + ", ".join(f"`{_yaml(value)}`" for value in arguments)
    if origin in (list, tuple):
        kinds = dict.fromkeys(_type(kind) for kind in arguments if kind is not Ellipsis)
        many = f" {len(arguments)}" if origin is tuple and Ellipsis not in arguments else ""
        return f"list of{many} {' and '.join(kinds)}"
    if origin in (Union, types.UnionType):
        return " or ".join(_type(kind) for kind in arguments)
    return "null" if annotation is type(None) else str(getattr(annotation, "__name__", annotation))


def _bounds(field: FieldInfo) -> str:
    """`≥ 0, < 1`."""
    found = [
        f"{sign} {_yaml(getattr(part, name))}" for part in _metadata(field) for name, sign in BOUNDS.items() if _has(part, name)
    ]
    return ", ".join(dict.fromkeys(found))


def _has(part: Any, name: str) -> bool:
    return getattr(part, name, None) is not None


def _meaning(key: str, model: type[BaseModel]) -> str:
    name = key.rpartition(".")[2]
    comments = [_comments(kind) for kind in model.__mro__ if issubclass(kind, BaseModel) and kind is not BaseModel]
    fields = (name, f"{name}_")  # `import` is a word of Python's: the field is `import_`
    return next((found[field] for found in comments for field in fields if found.get(field)), "") or _stated().get(key, "")


@cache
def _comments(model: type[BaseModel]) -> dict[str, str]:
    """The comment behind each field of a class, or above it; pydantic does not keep it, so it is read from the source."""
    file = Path(inspect.getfile(model))
    text = file.read_text(encoding="utf-8")
    comments, lines = _comments_by_line(text), text.splitlines()
    classes = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef) and node.name == model.__name__)
    found: dict[str, str] = {}
    for field in (part for node in classes for part in node.body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            above = field.lineno - 1
            while above > 0 and lines[above - 1].lstrip().startswith("#"):
                above -= 1
            behind = [
                comments[line] for line in range(field.lineno, (field.end_lineno or field.lineno) + 1) if line in comments
            ]
            found[field.target.id] = " ".join(behind or [comments[line] for line in range(above + 1, field.lineno)])
    return found


def _comments_by_line(text: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(iter(text.splitlines(keepends=True)).__next__)
    return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}


@cache
def _stated() -> dict[str, str]:
    """The comment behind each top-level key and each key one level below it, in the default params.yaml."""
    from ruamel.yaml import YAML

    def behind(mapping: Any, prefix: str) -> Iterator[tuple[str, str]]:
        for key, value in mapping.items():
            tokens: Iterable[Any] = mapping.ca.items.get(key) or ()
            comment = next((token.value for token in tokens if token is not None and not isinstance(token, list)), "")
            yield f"{prefix}{key}", comment.partition("\n")[0].lstrip("# ").strip()
            if hasattr(value, "ca") and hasattr(value, "items"):
                yield from behind(value, f"{prefix}{key}.")

    document = YAML().load((ROOT / "recipes/digits.yaml").read_text(encoding="utf-8"))
    return {key: comment for key, comment in behind(document, "") if comment}


def _yaml(value: Any) -> str:
    """A value as params.yaml would state it, on one line."""
    from ruamel.yaml import YAML

    if not isinstance(value, (bool, int, float, str, list, tuple, dict, BaseModel)) and value is not None:
        return str(getattr(value, "name", value))
    plain = (
        value.model_dump(mode="json") if isinstance(value, BaseModel) else list(value) if isinstance(value, tuple) else value
    )
    writer, text = YAML(typ="safe"), StringIO()
    writer.default_flow_style, writer.width = True, 10_000
    writer.dump(plain, text)
    return text.getvalue().removesuffix("...\n").strip()


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    PARAMETERS.parent.mkdir(exist_ok=True)
    PARAMETERS.write_text(parameters(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
