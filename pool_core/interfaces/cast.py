"""Casts: the explicit conversions that an adapter may ask for.

What loses nothing needs no cast: `unify` widens it. A cast may lose, or fail for a value; it stands
in the recipe, where a person can see it.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from pool_core.interfaces.encoding import encode_json
from pool_core.interfaces.types import FieldType

__all__ = ["can_cast", "cast_value", "find_non_finite", "holds_floats"]

_SCALARS = frozenset({"bool", "int", "float", "str", "literal"})
#: Literals are text, and a float is written as no truth: 1.0 is not 1.
_NEVER = frozenset({("float", "bool"), ("bool", "literal"), ("int", "literal"), ("float", "literal")})
_TRUE = frozenset({"true", "yes", "1"})
_FALSE = frozenset({"false", "no", "0"})


def can_cast(source: FieldType, target: FieldType) -> bool:
    """Whether any value of ``source`` can become one of ``target``; a single value may still not."""
    if source.kind == "any" or target.kind == "any":
        return True
    if source.nullable and not target.nullable:
        return False
    if source.kind == "null" or target.kind in ("null", "str"):
        return source.kind == "null" or target.kind == "str"  # of all values only null is null: no conversion
    if source.kind == "literal":
        return any(_survives(value, target) for value in source.values)
    if source.kind in _SCALARS and target.kind in _SCALARS:
        return (source.kind, target.kind) not in _NEVER
    if source.kind == target.kind and source.items is not None and target.items is not None:
        return can_cast(source.items, target.items)
    if source.kind == "struct" and target.kind == "map" and target.items is not None:
        return all(can_cast(type_, target.items) for _, type_ in source.fields)
    if source.kind == target.kind == "struct":
        theirs = dict(source.fields)
        return all(can_cast(theirs[name], type_) if name in theirs else type_.nullable for name, type_ in target.fields)
    return False


def _survives(value: Any, target: FieldType) -> bool:
    try:
        cast_value(value, target)
    except ValueError:
        return False
    return True


def cast_value(value: Any, target: FieldType) -> Any:
    """``value`` as a value of ``target``. Text of what is no text is its JSON.

    Raises:
        ValueError: it cannot be one.
    """
    if value is None:
        if not target.nullable:
            raise ValueError(f"null is no {target}")
        return None
    if target.kind == "any":
        return value
    if target.kind in _SCALARS:
        return _cast_scalar(value, target)
    if target.kind == "list" and isinstance(value, list) and target.items is not None:
        return [cast_value(item, target.items) for item in value]
    if target.kind == "map" and isinstance(value, Mapping) and target.items is not None:
        return {name: cast_value(item, target.items) for name, item in value.items()}
    if target.kind == "struct" and isinstance(value, Mapping):
        return {name: cast_value(value.get(name), type_) for name, type_ in target.fields}
    raise ValueError(f"a {type(value).__name__} is no {target}")


def _cast_scalar(value: Any, target: FieldType) -> Any:
    if target.kind == "str":
        return value if isinstance(value, str) else encode_json(value).decode()
    if isinstance(value, list | Mapping):
        raise ValueError(f"a {type(value).__name__} is no {target}")  # noqa: TRY004 - one error for all values
    match target.kind:
        case "bool":
            return _cast_bool(value)
        case "int":
            return _cast_int(value)
        case "float":
            return _cast_float(value)
        case _:
            if value not in target.values:
                raise ValueError(f"{value!r} is none of {target}")
            return value


def _cast_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError(f"{value!r} is neither true nor false")


def _cast_float(value: Any) -> float:
    try:
        number = float(value)
    except OverflowError as error:
        raise ValueError("the number is too large for a float") from error
    if not isfinite(number):
        raise ValueError(f"{value!r} is not finite")
    return number


def _cast_int(value: Any) -> int:
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str) and value.strip().lstrip("+-").isdecimal():
        return int(value)
    number = _cast_float(value)
    if not number.is_integer():
        raise ValueError(f"{value!r} is no whole number")
    return int(number)


def holds_floats(type_: FieldType) -> bool:
    """Whether values of ``type_`` have floats in them that may not be null."""
    inner = [found for _, found in type_.fields] if type_.items is None else [type_.items]
    return (type_.kind == "float" and not type_.nullable) or any(map(holds_floats, inner))


def find_non_finite(value: Any, type_: FieldType, path: str) -> str | None:
    """Where in ``value`` an infinity or NaN stands in place of a float of ``type_``; None for nowhere.

    JSON has no such numbers: they are written as null, which is right only where ``type_`` allows it.
    """
    match value:
        case float() if type_.kind == "float" and not type_.nullable:
            return None if isfinite(value) else path
        case list() if type_.items is not None:
            parts = ((item, type_.items, f"{path}[]") for item in value)
        case Mapping() if type_.items is not None:
            items = type_.items
            parts = ((item, items, f"{path}.{name}") for name, item in value.items())
        case Mapping():
            parts = ((value.get(name), found, f"{path}.{name}") for name, found in type_.fields)
        case _:
            return None
    return next((found for part in parts if (found := find_non_finite(*part)) is not None), None)
