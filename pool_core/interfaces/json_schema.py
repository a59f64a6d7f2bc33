"""Types of output fields as JSON Schema, draft 2020-12."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pool_core.interfaces.types import FieldType

__all__ = ["describe_fields", "describe_type"]

_SCALARS = {"bool": "boolean", "int": "integer", "float": "number", "str": "string"}


def describe_fields(fields: Mapping[str, FieldType]) -> dict[str, Any]:
    """The schema of an object with exactly these fields; one that may be null may also be missing."""
    return {
        "type": "object",
        "properties": {name: describe_type(type_) for name, type_ in fields.items()},
        "required": [name for name, type_ in fields.items() if not type_.nullable],
        "additionalProperties": False,
    }


def describe_type(type_: FieldType) -> dict[str, Any]:
    """The schema of the values of one type."""
    schema = _describe_choice(type_)
    if not type_.nullable or type_.kind in ("null", "any"):
        return schema
    if "enum" in schema:
        return {**schema, "type": ["string", "null"], "enum": [*schema["enum"], None]}
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def _describe_choice(type_: FieldType) -> dict[str, Any]:
    match type_.kind:
        case "null":
            return {"type": "null"}
        case "any":
            return {}
        case "literal":
            return {"type": "string", "enum": list(type_.values)}
        case "list":
            return {"type": "array", "items": describe_type(type_.items) if type_.items else {}}
        case "map":
            return {"type": "object", "additionalProperties": describe_type(type_.items) if type_.items else {}}
        case "struct":
            return describe_fields(dict(type_.fields))
        case kind:
            return {"type": _SCALARS[kind]}
