"""Components: a model, a loss, an optimizer, a dataset … is one file, and its folder is the registry.

The file holds `Settings`, its options with the defaults that torch or the paper uses, and what makes it (`build`, or `fetch` and
`load`). To add one is to add that file. A parameter that chooses one is a mapping with its `name` and the options that differ from
the defaults: `optimizer: {name: adam, learning_rate: 0.01}`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from tasks.core.errors import GoodfitError
from tasks.core.hints import option_hint
from tasks.core.settings import Section, expected_names, keys_of, offences


@dataclass(frozen=True)
class Choice:
    """A chosen component with all its options: those that were stated, and the defaults of the rest."""

    package: str
    name: str
    settings: Section

    @property
    def module(self) -> Any:
        """The component's file, imported: `choice.module.build(choice.settings, …)`."""
        return import_module(f"{self.package}.{self.name}")

    def resolved(self) -> dict[str, Any]:
        """The name and every option, as `params.yaml` would state them."""
        return {"name": self.name, **self.settings.model_dump(mode="json")}


@dataclass(frozen=True)
class Component:
    """Marks a parameter as the choice of a file of `package`: `Annotated[Choice, Component("tasks.models")]`.

    Only the chosen file is imported when a choice is checked.
    """

    package: str

    def names(self) -> list[str]:
        """Every component of the folder."""
        return _names(self.package)

    def settings(self, name: str) -> type[Section]:
        """The options of a component.

        Raises:
            GoodfitError: its file has no class `Settings`.
        """
        found = getattr(import_module(f"{self.package}.{name}"), "Settings", None)
        if not (isinstance(found, type) and issubclass(found, Section)):
            file = f"{self.package.replace('.', '/')}/{name}.py"
            raise GoodfitError(f"{file} has no class `Settings`; expected one, derived from tasks.core.settings.Section")
        return found

    def choose(self, stated: Any) -> Choice:
        """Check a choice as `params.yaml` states it.

        Raises:
            PydanticCustomError: of type `component`; its context holds the offences, a line each, relative to this key.
        """
        names = self.names()
        if not isinstance(stated, dict):
            example = stated if stated in names else names[0]
            raise _component_error([f": found {stated!r}; expected a mapping such as {{name: {example}}}"])
        if "name" not in stated:
            raise _component_error([f".name: missing; expected one of {', '.join(names)}"])
        name, options = stated["name"], {key: value for key, value in stated.items() if key != "name"}
        if name not in names:
            raise _component_error([f".name: unknown name {name!r}; {expected_names(str(name), names)}"])
        settings = self.settings(name)
        left_over = [key for key in options if key not in keys_of(settings)]
        lines = [self._left_over(name, key) for key in left_over]
        try:
            checked = settings.model_validate({key: value for key, value in options.items() if key not in left_over})
        except ValidationError as error:
            lines += [f".{line}" for line in offences(error, settings)]
        if lines:
            raise _component_error(lines)
        return Choice(self.package, name, checked)

    def _left_over(self, name: str, key: str) -> str:
        """An option that the chosen component does not have: whose it is, or the nearest that there is."""
        owners = [other for other in self.names() if other != name and key in keys_of(self.settings(other))]
        own = list(keys_of(self.settings(name)))
        known = f"{name} has {', '.join(own)}" if own else f"{name} has no options"
        known_elsewhere = option_hint(key, own)
        if known_elsewhere:
            return f".{key}: unknown option of {name}; {known_elsewhere} ({known})"
        if owners:
            return f".{key}: is an option of {', '.join(owners)}, not of {name}; drop it ({known})"
        hint = expected_names(str(key), own) if own else f"{name} has no options: drop it"
        return f".{key}: unknown option of {name}; {hint}"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda stated: stated if isinstance(stated, Choice) else self.choose(stated),
            serialization=core_schema.plain_serializer_function_ser_schema(Choice.resolved),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """One alternative per file of the folder: its name, and its options."""
        return {"oneOf": [self._alternative(name) for name in self.names()]}

    def _alternative(self, name: str) -> JsonSchemaValue:
        options = self.settings(name).model_json_schema()
        properties = {"name": {"const": name}, **options.get("properties", {})}
        description = (import_module(f"{self.package}.{name}").__doc__ or "").partition("\n")[0]
        required = ["name", *options.get("required", [])]
        return {**options, "title": name, "description": description, "properties": properties, "required": required}


def named(stated: Any) -> Any:
    """In a list of components, a bare name stands for one with its default options: `BeforeValidator(named)`."""
    return {"name": stated} if isinstance(stated, str) else stated


def each_once(chosen: list[Choice]) -> list[Choice]:
    """For a list of components in which none may be repeated: `AfterValidator(each_once)`."""
    names = [choice.name for choice in chosen]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"found {', '.join(repeated)} more than once; expected each name once: drop the repetition")
    return chosen


def choices(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Component, bool]]:
    """Key, folder and whether it is a list, of every parameter of `model` and of the sections in it that chooses a component."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        yield from ((key, item, False) for item in field.metadata if isinstance(item, Component))
        for inner in get_args(field.annotation):
            yield from ((key, item, True) for item in getattr(inner, "__metadata__", ()) if isinstance(item, Component))
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from choices(field.annotation, f"{key}.")


@cache
def _names(package: str) -> list[str]:
    spec = find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    return sorted(file.stem for folder in folders for file in Path(folder).glob("*.py") if file.stem != "__init__")


def _component_error(lines: list[str]) -> PydanticCustomError:
    return PydanticCustomError("component", "not a valid choice", {"lines": lines})
