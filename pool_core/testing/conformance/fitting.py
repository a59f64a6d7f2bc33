"""Whether a value is of a type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pool_core.interfaces.types import FieldType

__all__ = ["fits"]


def fits(type_: FieldType, value: Any) -> bool:  # noqa: C901 - one case for each kind of type
    """Whether the plain JSON ``value`` is one of ``type_``. A whole number is a float as well."""
    if value is None:
        return type_.nullable or type_.kind in ("null", "any")
    match type_.kind:
        case "any":
            return True
        case "bool":
            return isinstance(value, bool)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "str":
            return isinstance(value, str)
        case "literal":
            return value in type_.values
        case "list":
            inner = type_.items
            return isinstance(value, list | tuple) and inner is not None and all(fits(inner, item) for item in value)
        case "map":
            inner = type_.items
            return isinstance(value, Mapping) and inner is not None and all(fits(inner, one) for one in value.values())
        case "struct":
            fields = dict(type_.fields)
            return (
                isinstance(value, Mapping)
                and value.keys() <= fields.keys()
                and all(fits(inner, value.get(name)) for name, inner in fields.items())
            )
        case _:
            return False
