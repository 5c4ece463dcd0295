"""The JSON schema of params.yaml, for editors: the sections of every stage, merged."""

from importlib import import_module
from pathlib import Path
from typing import Any

from flows.parameters.checking import own_stages
from tasks.core.errors import GoodfitError

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def params_schema(root: Path) -> dict[str, Any]:
    """What params.yaml may hold: every section, every component that can be chosen, and the options of each.

    Raises:
        GoodfitError: no stage of dvc.yaml has sections that are known here.
    """
    stages = own_stages(root)
    if not stages:
        raise GoodfitError("no stage of dvc.yaml is a stage of goodfit; there is no schema for its parameters")
    merged: dict[str, Any] = {}
    for name in stages:
        own = import_module(f"tasks.{name}").Params.model_json_schema()
        merged = _merged(merged, _inlined(own, {}))
    return {"$schema": DIALECT, "title": "params.yaml", **{key: value for key, value in merged.items() if key != "title"}}


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """The schema with its references replaced by what they refer to: sections of two stages may share a name."""
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    definitions = definitions | schema.get("$defs", {})
    if "$ref" in schema:
        target = definitions[schema["$ref"].rpartition("/")[2]]
        return _inlined(target | {key: value for key, value in schema.items() if key != "$ref"}, definitions)
    return {key: _inlined(value, definitions) for key, value in schema.items() if key != "$defs"}


def _merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Both objects in one: a section of which two stages read different parts has both."""
    if not (first.get("type") == second.get("type") == "object"):
        return first or second
    properties = dict(first.get("properties", {}))
    for key, value in second.get("properties", {}).items():
        properties[key] = _merged(properties[key], value) if key in properties else value
    required = list(dict.fromkeys([*first.get("required", []), *second.get("required", [])]))
    return first | {"properties": properties} | ({"required": required} if required else {})
