"""JSON Schemas as the API takes them for constrained answers. Pure.

The API knows a part of JSON Schema: https://platform.claude.com/docs/en/build-with-claude/structured-outputs.
What it does not know becomes words in the description, as Anthropic's own client does it: the model is
told, the server does not enforce it, and the task looks at the answer in any case.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["can_constrain", "simplify_schema"]

_FORMATS = frozenset({"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid"})
#: Words that say nothing of what is valid, and those that are written anew.
_SILENT = frozenset(
    {
        *("$comment", "$id", "$schema", "default", "deprecated", "examples", "readOnly", "writeOnly"),
        *("additionalProperties", "description"),
    }
)
#: Words under which an object has properties that it does not list: closed, as the API wants it, it would admit none.
_OPENING = frozenset({"allOf", "dependentSchemas", "patternProperties", "unevaluatedProperties", "$dynamicRef"})
_KEPT = frozenset({"$ref", "const", "enum", "required", "title", "type"})
_LISTS = {"allOf": "allOf", "anyOf": "anyOf", "oneOf": "anyOf"}
_MAPS = ("$defs", "definitions", "properties")
#: Words whose values are data, whatever they look like.
_DATA = ("const", "default", "enum", "examples", "required")


def can_constrain(schema: Mapping[str, Any]) -> bool:
    """Whether the API can hold an answer to ``schema``: every object in it lists its properties, and none is recursive.

    A map of any names, or an object whose definition holds itself, has to be described in words.
    """
    return _is_listed(schema) and not _is_recursive(schema)


def _is_listed(schema: Any) -> bool:
    if isinstance(schema, list | tuple):
        return all(map(_is_listed, schema))
    if not isinstance(schema, Mapping):
        return True
    if not _OPENING.isdisjoint(schema) or isinstance(schema.get("additionalProperties"), Mapping):
        return False
    kinds = schema.get("type")
    if "object" in (kinds if isinstance(kinds, list) else [kinds]) and "properties" not in schema:
        return False
    maps = [one for name in _MAPS for one in (schema.get(name) or {}).values()]
    return all(map(_is_listed, (*maps, *(value for name, value in schema.items() if name not in (*_MAPS, *_DATA)))))


def _is_recursive(root: Mapping[str, Any]) -> bool:
    """Whether a definition holds itself, or stands somewhere else than in the schema."""

    known: dict[str, bool] = {}

    def visit(reference: str, path: tuple[str, ...]) -> bool:
        if reference in path or not reference.startswith("#/"):
            return True
        if reference not in known:  # many may lead to one definition
            known[reference] = look(reference, path)
        return known[reference]

    def look(reference: str, path: tuple[str, ...]) -> bool:
        target: Any = root
        for part in reference[2:].split("/"):
            target = target.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
        return any(visit(one, (*path, reference)) for one in _list_references(target))

    return any(visit(one, ()) for one in _list_references(root))


def _list_references(value: Any) -> Iterator[str]:
    """What a schema refers to, without what its definitions do."""
    if isinstance(value, list | tuple):
        for one in value:
            yield from _list_references(one)
    elif isinstance(value, Mapping):
        for name, one in value.items():
            if name == "$ref" and isinstance(one, str):
                yield one
            elif name not in ("$defs", "definitions", *_DATA):
                yield from _list_references(one)


def simplify_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """``schema`` in the words that the API knows; other constraints stand in the description."""
    found: dict[str, Any] = {}
    left: dict[str, Any] = {}
    for name, value in schema.items():
        if name in _LISTS:
            found[_LISTS[name]] = [_simplify(one) for one in value]
        elif name in _MAPS:
            found[name] = {key: _simplify(one) for key, one in value.items()}
        elif name == "items" and isinstance(value, Mapping):
            found[name] = _simplify(value)
        elif name in _KEPT or (name == "format" and value in _FORMATS) or (name == "minItems" and value in (0, 1)):
            found[name] = value
        elif name not in _SILENT:
            left[name] = value
    if found.get("type") == "object" or "properties" in found:
        found["additionalProperties"] = False
    words = [str(schema["description"])] if "description" in schema else []
    if left:
        words.append("{" + ", ".join(f"{name}: {_write(value)}" for name, value in left.items()) + "}")
    return {**found, "description": "\n\n".join(words)} if words else found


def _simplify(schema: Any) -> Any:
    return simplify_schema(schema) if isinstance(schema, Mapping) else schema


def _write(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
