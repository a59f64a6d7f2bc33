"""Walking JSON Schemas. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["DEFINITIONS", "admits_null", "find_keywords", "resolve"]

DEFINITIONS = ("$defs", "definitions")
#: Words whose values map names to schemas.
_MAPS = (*DEFINITIONS, "properties", "patternProperties", "dependentSchemas")
#: Words whose values are data, whatever they look like.
_DATA = ("const", "default", "enum", "examples", "required")


def resolve(schema: Any, root: Mapping[str, Any]) -> Any:
    """What ``schema`` refers to within ``root``, as far as one reference leads; None where there is nothing."""
    reference = schema.get("$ref") if isinstance(schema, Mapping) else None
    if not isinstance(reference, str):
        return schema
    if reference == "#":
        return root
    found: Any = root if reference.startswith("#/") else None
    for part in reference[2:].split("/"):
        found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    return found


def find_keywords(schema: Any) -> Iterator[tuple[str, Any]]:
    """Every keyword in ``schema`` and its value, at every depth."""
    if isinstance(schema, list | tuple):
        for one in schema:
            yield from find_keywords(one)
    elif isinstance(schema, Mapping):
        for name, value in schema.items():
            yield name, value
            if name in _MAPS and isinstance(value, Mapping):
                yield from find_keywords(list(value.values()))
            elif name not in _DATA:
                yield from find_keywords(value)


def admits_null(schema: Any, root: Mapping[str, Any]) -> bool:
    """Whether null satisfies ``schema``, as far as that can be seen without trying."""
    for _ in range(16):  # as many references as anybody would chain
        if not isinstance(schema, Mapping) or "$ref" not in schema:
            break
        schema = resolve(schema, root)
    if not isinstance(schema, Mapping):
        return bool(schema)
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return any(admits_null(choice, root) for choice in choices)
    if "enum" in schema:
        return None in schema["enum"]
    if "const" in schema:
        return schema["const"] is None
    kinds = schema.get("type")
    return kinds is None or kinds == "null" or (isinstance(kinds, list) and "null" in kinds)
