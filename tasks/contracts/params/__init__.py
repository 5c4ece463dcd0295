"""Typed parameters: one file a section, read once, in the stage that owns it.

Models state types and bounds, `params.yaml` states every value: no default lives in two places.
"""

from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from tasks.contracts.errors import ParamsError

PARAMS_FILE = "params.yaml"


class Section(BaseModel):
    """A part of `params.yaml`: frozen, strict about types, and without room for a key it does not know."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Seeded(Section):
    """The top-level keys that every stage with random numbers shares."""

    seed: int = Field(ge=0, lt=2**63)


class Computing(Seeded):
    """The top-level keys of a stage that computes with torch: another number of threads adds floats in another order."""

    threads: int = Field(ge=1, le=1024)


Stage = TypeVar("Stage", bound=Section)


def read_params(model: type[Stage], root: Path = Path()) -> Stage:
    """Read from `params.yaml` the top-level keys that `model` names, and no others.

    Raises:
        ParamsError: the file is missing or not YAML, or a key or a value is not allowed.
    """
    document = load_yaml(root / PARAMS_FILE)
    return validate(model, {key: document[key] for key in model.model_fields if key in document})


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML 1.2 mapping, as DVC reads it."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        document = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(
            f"{path} is missing; expected the parameters of every stage: `goodfit use digits` writes it"
        ) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path} is not YAML: {error}") from None
    if not isinstance(document, dict):
        raise ParamsError(f"{path} holds {type(document).__name__}; expected sections such as `train:`")
    return document


def validate(model: type[Stage], document: dict[str, Any]) -> Stage:
    """Check `document` against `model`.

    Raises:
        ParamsError: one line for each offence: the key, the value found, what is allowed and the nearest spelling.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        lines = "\n".join(f"  {describe(detail, model)}" for detail in error.errors())
        raise ParamsError(f"{PARAMS_FILE} is not valid:\n{lines}") from None


def describe(detail: ErrorDetails, model: type[BaseModel]) -> str:
    """One offence in one line: `train.optimizer.name: 'adm' is not …; did you mean 'adam'?`."""
    key = ".".join(str(part) for part in detail["loc"])
    found, context = detail["input"], detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            return f"{key}: unknown key; {_choices(str(detail['loc'][-1]), _keys_beside(detail, model))}"
        case "missing":
            return f"{key}: missing; expected a value (the recipes state every key: `goodfit use digits`)"
        case "literal_error":
            return f"{key}: {found!r} is not a known name; {_choices(str(found), _allowed(detail, model))}"
        case "value_error":  # a rule of our own, over several keys: it names them and their values
            return f"{key}: {context['error']}" if key else str(context["error"])
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            return f"{key}: found {found!r}; {detail['msg'].replace('Input', 'it', 1)}"
        case _:
            return f"{key}: found {found!r} ({type(found).__name__}); {detail['msg'].replace('Input', 'it', 1)}"


def _choices(found: str, allowed: list[str]) -> str:
    nearest = get_close_matches(found, allowed, n=1, cutoff=0.5)
    hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
    return f"expected one of {', '.join(allowed)}{hint}"


def _annotation(loc: tuple[int | str, ...], model: type[BaseModel]) -> Any:
    """The declared type at a location of `model`: a model class, or any other annotation."""
    annotation: Any = model
    for part in loc:
        candidates = [kind for kind in (annotation, *get_args(annotation)) if hasattr(kind, "model_fields")]
        field = next((kind.model_fields[part] for kind in candidates if part in kind.model_fields), None)
        if field is None:
            return annotation
        annotation = field.annotation
    return annotation


def _keys_beside(detail: ErrorDetails, model: type[BaseModel]) -> list[str]:
    return list(getattr(_annotation(detail["loc"][:-1], model), "model_fields", {}))


def _allowed(detail: ErrorDetails, model: type[BaseModel]) -> list[str]:
    return [str(name) for name in get_args(_annotation(detail["loc"], model))]
