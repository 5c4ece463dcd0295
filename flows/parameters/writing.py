"""Write params.yaml as its author would: new values, but the same comments, order and layout."""

from pathlib import Path
from typing import Any

from flows.parameters.editing import edited, is_same
from tasks.core.errors import ParamsError
from tasks.core.files import whole
from tasks.core.settings import parse_yaml


def write_params(path: Path, text: str, wanted: dict[str, Any]) -> None:
    """Write `text`, the YAML that is edited, to `path` with the values of `wanted`: the file appears whole or not at all."""
    with whole(path) as temporary:
        temporary.write_text(with_values(text, wanted), encoding="utf-8")


def with_values(text: str, wanted: dict[str, Any]) -> str:
    """The YAML `text` with the values of `wanted`; what is equal stays as it is written.

    Raises:
        ParamsError: the text shares values between keys (`&`, `*`, `<<`) that shall differ now.
    """
    from ruamel.yaml.error import YAMLError

    try:
        written = edited(text, parse_yaml(text), wanted)
        if is_same(parse_yaml(written), wanted):
            return written
    except (YAMLError, ValueError):
        pass
    raise ParamsError(
        "the new values cannot be written into this YAML text, where an anchor (&, *, <<), a tag or another rare form gives one of "
        "them; write that value out where it is used"
    )


def merged(base: dict[str, Any], differences: dict[str, Any]) -> dict[str, Any]:
    """`base` with `differences` laid over it, section by section.

    A mapping with a `name` is the choice of a component and replaces the one in `base` as a whole: the options of another component
    would not fit.
    """
    result = dict(base)
    for key, value in differences.items():
        below = result.get(key)
        if isinstance(value, dict) and isinstance(below, dict) and "name" not in value:
            result[key] = merged(below, value)
        else:
            result[key] = value
    return result
