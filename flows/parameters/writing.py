"""Write params.yaml as its author would: new values, but the same comments, order and layout."""

import io
from pathlib import Path
from typing import Any

from tasks.core.files import whole


def write_params(path: Path, text: str, wanted: dict[str, Any]) -> None:
    """Write `text`, the YAML that is edited, to `path` with the values of `wanted`: the file appears whole or not at all."""
    with whole(path) as temporary:
        temporary.write_text(with_values(text, wanted), encoding="utf-8")


def with_values(text: str, wanted: dict[str, Any]) -> str:
    """The YAML `text` with the values of `wanted`; what is equal stays as it is written."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096  # long lines are the author's
    document = yaml.load(text)
    _update(document, wanted)
    written = io.StringIO()
    yaml.dump(document, written)
    return written.getvalue()


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


def _update(document: Any, wanted: dict[str, Any]) -> None:
    keys = list(document)
    for key, value in wanted.items():
        present = document.get(key)
        if present == value and type(value) in type(present).__mro__:
            continue
        if isinstance(present, dict) and isinstance(value, dict):
            _update(present, value)
        elif isinstance(present, list) and isinstance(value, list):
            present[:] = value  # in place: [64] stays on its line
        else:
            document[key] = _written(value)
            if key not in keys:
                if keys:
                    _move_end(document, keys[-1], key)
                keys.append(key)
    for key in [key for key in document if key not in wanted]:
        del document[key]


def _move_end(document: Any, last: str, added: str) -> None:
    """Move what follows the line of the key that was last, such as an empty line, behind the key that was added after it."""
    from ruamel.yaml.error import CommentMark
    from ruamel.yaml.tokens import CommentToken

    section, key = document, last
    while isinstance(section[key], dict) and section[key] and not section[key].fa.flow_style():
        section = section[key]
        key = list(section)[-1]
    tokens = section.ca.items.get(key)
    if tokens and tokens[2] is not None:
        line, end, rest = tokens[2].value.partition("\n")
        if rest:
            tokens[2].value = line + end
            document.ca.items[added] = [None, None, CommentToken(end + rest, CommentMark(0), None), None]


def _written(value: Any) -> Any:
    """New values in the layout of the file: lists and mappings on one line, and floats that every YAML reader takes for floats.

    1e-09 is a float to YAML 1.2, and a string to readers of YAML 1.1: 1.0e-09 is a float to both.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    text = repr(value)
    if isinstance(value, float) and "e" in text and "." not in text:
        return YAML().load(text.replace("e", ".0e"))
    if isinstance(value, list):
        line = CommentedSeq([_written(item) for item in value])
        line.fa.set_flow_style()
        return line
    if isinstance(value, dict):
        mapping = CommentedMap({key: _written(item) for key, item in value.items()})
        mapping.fa.set_flow_style()
        return mapping
    return value
