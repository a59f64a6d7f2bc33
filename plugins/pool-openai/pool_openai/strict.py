"""JSON Schemas as OpenAI's strict mode takes them. Pure.

https://developers.openai.com/api/docs/guides/structured-outputs names the keywords. A schema that has others,
or objects that are open or may lack a property, is sent as it is and not called strict: OpenAI then does its
best, and servers that enforce any schema enforce all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["make_strict"]

_KNOWN = frozenset(
    {
        *("$defs", "$ref", "additionalProperties", "anyOf", "const", "definitions", "description", "enum", "format"),
        *("items", "maxItems", "maximum", "minItems", "minimum", "exclusiveMaximum", "exclusiveMinimum"),
        *("multipleOf", "pattern", "properties", "required", "title", "type"),
    }
)
#: Words that say nothing of what is valid; strict mode does not know them.
_SILENT = frozenset({"$comment", "$id", "$schema", "default", "deprecated", "examples", "readOnly", "writeOnly"})
_FORMATS = frozenset({"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid"})
_MAPS = ("$defs", "definitions", "properties")
_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number"}


def make_strict(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """``schema`` for strict mode, without what says nothing of validity; None where strict mode has no form for it."""
    if schema.get("type") != "object" or "anyOf" in schema:
        return None
    try:
        return _convert(schema)
    except _UnknownError:
        return None


class _UnknownError(Exception):
    """Strict mode has no form for a schema."""


def _convert(schema: Any) -> dict[str, Any]:
    if not isinstance(schema, Mapping):
        raise _UnknownError
    found = {name: _convert_word(name, value) for name, value in schema.items() if name not in _SILENT}
    if found.keys().isdisjoint(("type", "$ref", "anyOf")):
        found["type"] = _infer_type(schema)
    if found.get("type") == "array" and "items" not in found:
        raise _UnknownError
    if schema.get("type") == "object" or "properties" in schema:
        required = schema.get("required") or ()
        if schema.get("additionalProperties") is not False or set(schema.get("properties") or ()) != set(required):
            raise _UnknownError
    return found


def _convert_word(name: str, value: Any) -> Any:
    if name not in _KNOWN or (name == "format" and value not in _FORMATS):
        raise _UnknownError
    if name in _MAPS:
        return {key: _convert(one) for key, one in value.items()}
    if name == "anyOf":
        return [_convert(one) for one in value]
    return _convert(value) if name == "items" else value


def _infer_type(schema: Mapping[str, Any]) -> str:
    """The one type of the values that ``schema`` lists: strict mode wants it said, also where they say it."""
    values = [schema["const"]] if "const" in schema else schema.get("enum") or [None]
    found = {_TYPES.get(type(value)) for value in values}
    kind = found.pop()
    if found or kind is None:
        raise _UnknownError
    return kind
