"""Typed parameters: the base of every section of `params.yaml`, and errors that name the key, the value and what is allowed.

A stage's sections stand in its own file, a component's options in the component's file, each with its defaults: `params.yaml` states
choices and what differs from them.
"""

from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from tasks.core.errors import ParamsError
from tasks.core.hints import KEYS, nearest

PARAMS_FILE = "params.yaml"
MAXIMUM_DEPTH = 100  # of lists and mappings in a YAML text

# Types that several sections share.
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Threads = Annotated[int, Field(ge=1, le=1024)]  # part of the result: another number adds floats in another order
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Width = Annotated[int, Field(ge=1, le=65536)]


class Section(BaseModel):
    """A part of `params.yaml`: frozen, strict about types, and without room for a key it does not know."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, serialize_by_alias=True
    )


def keys_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields by the keys of params.yaml: `import` is a word of Python's, so the field behind it is `import_`."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


Checked = TypeVar("Checked", bound=BaseModel)


def parse_yaml(text: str) -> Any:
    """The value of a YAML 1.2 text, which may be anybody's.

    ruamel's parser in C ends the process with a segmentation fault on some ten thousand lists within lists, so that 100 are the limit.

    Raises:
        ruamel.yaml.error.YAMLError: it is not YAML, or lists and mappings lie more than 100 deep.
        ValueError: it holds a date that does not exist, or a tag that does not fit its value.
    """
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe")
    yaml.Resolver = _shallow_resolver()
    return yaml.load(text)


@cache
def _shallow_resolver() -> Any:
    """A resolver of tags, which the parser tells where each value begins and ends."""
    from ruamel.yaml.error import MarkedYAMLError
    from ruamel.yaml.resolver import VersionedResolver

    class ShallowResolver(VersionedResolver):
        depth = 0

        def descend_resolver(self, current_node: Any, current_index: Any) -> None:
            self.depth += 1
            if self.depth > MAXIMUM_DEPTH + 1:  # a value in the innermost collection
                problem = f"lists and mappings lie more than {MAXIMUM_DEPTH} deep in each other"
                raise MarkedYAMLError(problem=problem, problem_mark=current_node.start_mark)
            super().descend_resolver(current_node, current_index)

        def ascend_resolver(self) -> None:
            self.depth -= 1
            super().ascend_resolver()

    return ShallowResolver


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML 1.2 mapping.

    Raises:
        ParamsError: the file is missing, cannot be read, is not YAML, or does not hold a mapping.
    """
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        text = path.read_text(encoding="utf-8")
        document = parse_yaml(text)
    except FileNotFoundError:
        raise ParamsError(f"{path} is missing") from None
    except OSError as error:
        raise ParamsError(f"{path} cannot be read: {error.strerror}; expected a YAML file") from None
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path} is not valid YAML: {error}; save it as UTF-8") from None
    except MarkedYAMLError as error:
        if "\n<<<<<<< " in f"\n{text}":
            raise ParamsError(f"{path} is not valid YAML: it holds Git's conflict markers; keep one side of each") from None
        mark = error.problem_mark or error.context_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        began = error.context_mark if error.context_mark is not mark else None
        context = f" ({error.context} that begins at line {began.line + 1})" if began and error.context else ""
        raise ParamsError(f"{path} is not valid YAML{where}: {error.problem}{context}") from None
    except (YAMLError, ValueError) as error:  # ValueError: a date that does not exist, or a tag that does not fit its value
        raise ParamsError(f"{path} is not valid YAML: {error}") from None
    if document is None:
        raise ParamsError(f"{path} is empty; expected a mapping with keys such as `train:`")
    if not isinstance(document, dict):
        raise ParamsError(f"{path} holds {type(document).__name__}; expected a mapping with keys such as `train:`")
    return document


def validate(model: type[Checked], document: dict[str, Any], file: str = PARAMS_FILE) -> Checked:
    """Check `document` against `model`.

    Raises:
        ParamsError: one line for each offence: the key, the value found, what is allowed and the nearest spelling.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise ParamsError(invalid(file, offences(error, model))) from None


def invalid(file: str, lines: list[str]) -> str:
    """The message for a file with these offences."""
    return "\n".join([f"{file} is not valid:", *(f"  {line}" for line in lines)])


def offences(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Each offence in one line: `train.optimizer.name: unknown name 'adm'; expected …; did you mean 'adam'?`."""
    return [line for detail in error.errors() for line in _lines(detail, model)]


def expected_names(found: str, allowed: list[str]) -> str:
    """`expected one of a, b; did you mean 'a'?`."""
    meant = nearest(found, allowed)
    hint = f"; did you mean '{meant}'?" if meant else ""
    return f"expected one of {', '.join(allowed)}{hint}"


def _lines(detail: Any, model: type[BaseModel]) -> list[str]:
    key = ".".join(str(part) for part in detail["loc"])
    found, context = detail["input"], detail.get("ctx", {})
    match detail["type"]:
        case "component":  # of tasks.core.components: the offences within the chosen component, already in words
            return [f"{key}{line}" for line in context["lines"]]
        case "extra_forbidden":
            last = str(detail["loc"][-1])
            hint = f"{KEYS[last]}; " if last in KEYS else ""
            return [f"{key}: unknown key; {hint}{expected_names(last, _keys_beside(detail, model))}"]
        case "missing":
            return [f"{key}: missing; expected a value"]
        case "literal_error":
            allowed = [str(name) for name in get_args(_annotation(detail["loc"], model))]
            return [f"{key}: unknown name {found!r}; {expected_names(str(found), allowed)}"]
        case "value_error":  # a rule of our own, over several keys: its message begins with the key
            return [f"{key}: {context['error']}" if key else str(context["error"])]
        case kind:
            return [f"{key}: {_disallowed(kind, found, detail['msg'])}"]


def _disallowed(kind: str, found: Any, message: str) -> str:
    """A value that pydantic refuses by its type or bounds."""
    if kind == "list_type":
        example = found if isinstance(found, int | float | str) else "…"
        return f"expected a list such as [{example}], found {found!r}"
    bound = kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal")
    named = repr(found) if bound else f"{found!r} ({type(found).__name__})"
    return f"found {named}; {message.replace('Input', 'it', 1)}"


def _annotation(loc: tuple[int | str, ...], model: type[BaseModel]) -> Any:
    """The declared type at a location of `model`: a model class, or any other annotation."""
    annotation: Any = model
    for part in loc:
        candidates = [kind for kind in (annotation, *get_args(annotation)) if hasattr(kind, "model_fields")]
        field = next((kind.model_fields[part] for kind in candidates if part in kind.model_fields), None)
        if field is not None:
            annotation = field.annotation
        elif get_origin(annotation) in (dict, list):
            annotation = get_args(annotation)[-1]
        else:
            return annotation
    return annotation


def _keys_beside(detail: Any, model: type[BaseModel]) -> list[str]:
    return list(getattr(_annotation(detail["loc"][:-1], model), "model_fields", {}))
