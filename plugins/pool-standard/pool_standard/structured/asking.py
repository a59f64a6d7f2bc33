"""The schema that a model is asked to satisfy, and the way back from its answer. Pure.

Servers that constrain answers want every object closed and all of its properties required (OpenAI calls
it strict). So a property that may be left out is asked for as one that may be null, and a null where the
schema has none is read as a property that was left out. An object that says nothing of other properties
is closed: what it does not list would not be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pool_standard.structured.nodes import DEFINITIONS, admits_null, find_keywords, resolve

__all__ = ["drop_nulls", "make_asked"]

#: Words that add up several schemas for one value, or turn one around: objects in them must stay as open as they are.
_ADDING = frozenset(
    {
        *("allOf", "not", "if", "then", "else", "$dynamicRef"),
        *("dependentSchemas", "unevaluatedProperties", "unevaluatedItems"),
    }
)


def make_asked(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What to ask for so that the answer, after `drop_nulls`, satisfies ``schema``; itself where that is not known."""
    words = list(find_keywords(schema))
    if any(name in _ADDING or (name == "$ref" and not str(value).startswith("#")) for name, value in words):
        return dict(schema)
    return _close(schema, schema)


def _close(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(schema)
    for name in (*DEFINITIONS, "properties"):
        if isinstance(found.get(name), Mapping):
            found[name] = {key: _close_any(one, root) for key, one in found[name].items()}
    for name in ("anyOf", "oneOf", "prefixItems"):
        if isinstance(found.get(name), list | tuple):
            found[name] = [_close_any(one, root) for one in found[name]]
    for name in ("items", "additionalProperties"):
        if name in found:
            found[name] = _close_any(found[name], root)
    properties = found.get("properties")
    more = found.get("additionalProperties")
    if (
        not isinstance(properties, Mapping)
        or "$ref" in found
        or "patternProperties" in found
        or isinstance(more, Mapping)
    ):
        return found
    required = schema.get("required") or ()
    found["properties"] = {
        name: one if name in required or admits_null(one, root) else {"anyOf": [one, {"type": "null"}]}
        for name, one in properties.items()
    }
    return found | {"required": list(properties), "additionalProperties": False}


def _close_any(schema: Any, root: Mapping[str, Any]) -> Any:
    return _close(schema, root) if isinstance(schema, Mapping) else schema


def drop_nulls(value: Any, schema: Any, root: Mapping[str, Any], depth: int = 0) -> Any:
    """``value`` without the nulls that stand for properties which were left out."""
    schema = resolve(schema, root)
    if not isinstance(schema, Mapping) or depth > 64:  # noqa: PLR2004 - no schema that people write is as deep
        return value
    for choice in (*(schema.get("anyOf") or ()), *(schema.get("oneOf") or ())):
        value = drop_nulls(value, choice, root, depth + 1)
    if isinstance(value, list) and "items" in schema:
        return [drop_nulls(item, schema["items"], root, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    properties, required = schema.get("properties") or {}, schema.get("required") or ()
    more = schema.get("additionalProperties")
    return {
        name: drop_nulls(item, properties.get(name, more), root, depth + 1)
        for name, item in value.items()
        if item is not None or name not in properties or name in required or admits_null(properties[name], root)
    }
