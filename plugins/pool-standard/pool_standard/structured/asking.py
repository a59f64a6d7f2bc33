"""The schema that a model is asked to satisfy, and the way back from its answer. Pure.

Servers that constrain answers want every object closed and all of its properties required (OpenAI calls
it strict). So a property that may be left out is asked for as one that may be null, and a null where the
schema has none is read as a property that was left out. An object that says nothing of other properties
is closed: what it does not list would not be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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

#: No answer that people want is as deep.
_DEEPEST = 64


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
    more, required = found.get("additionalProperties"), schema.get("required") or ()
    if (
        not isinstance(properties, Mapping)
        or "$ref" in found
        or "patternProperties" in found
        or isinstance(more, Mapping)
        or not properties.keys() >= set(required)  # closed, it would forbid what it requires
    ):
        return found
    found["properties"] = {
        name: one if name in required or admits_null(one, root) else {"anyOf": [one, {"type": "null"}]}
        for name, one in properties.items()
    }
    return found | {"required": list(properties), "additionalProperties": False}


def _close_any(schema: Any, root: Mapping[str, Any]) -> Any:
    return _close(schema, root) if isinstance(schema, Mapping) else schema


def drop_nulls(value: Any, schema: Any, root: Mapping[str, Any]) -> Any:
    """``value`` without the nulls that stand for properties which were left out."""
    return _drop(value, [schema], root, 0)


def _drop(value: Any, schemas: Iterable[Any], root: Mapping[str, Any], depth: int) -> Any:
    """A null goes where any of ``schemas`` has none: which of several is meant, the validator finds out."""
    found = _expand(schemas, root) if depth <= _DEEPEST and isinstance(value, dict | list) else []
    if not found:
        return value
    if isinstance(value, list):
        items = [one["items"] for one in found if "items" in one]
        return [_drop(item, items, root, depth + 1) for item in value]
    return {
        name: _drop(item, [_get_property(one, name) for one in found], root, depth + 1)
        for name, item in value.items()
        if item is not None or not any(_has_no_null(one, name, root) for one in found)
    }


def _expand(schemas: Iterable[Any], root: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What ``schemas`` refer to and may choose from, each once: choices of choices would else be without end."""
    found: dict[int, Mapping[str, Any]] = {}
    waiting = list(schemas)
    while waiting:
        one = resolve(waiting.pop(), root)
        if isinstance(one, Mapping) and id(one) not in found:
            found[id(one)] = one
            waiting += [*(one.get("anyOf") or ()), *(one.get("oneOf") or ()), *([one] if "$ref" in one else ())]
    return list(found.values())


def _get_property(schema: Mapping[str, Any], name: str) -> Any:
    return (schema.get("properties") or {}).get(name, schema.get("additionalProperties"))


def _has_no_null(schema: Mapping[str, Any], name: str, root: Mapping[str, Any]) -> bool:
    """Whether ``schema`` lists a property that may be left out, and that null does not satisfy."""
    properties = schema.get("properties") or {}
    return name in properties and name not in (schema.get("required") or ()) and not admits_null(properties[name], root)
