"""Plain values as YAML on one line, which `pool_core.recipe.yaml_source` reads back: for fixes and contracts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

__all__ = ["quote_text", "write_fix", "write_value"]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_YAML_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null"})


def write_fix(key: str, value: Mapping[str, Any] | Sequence[str]) -> str:
    """One line of YAML that sets ``key`` to ``value``; a mapping in name order.

    Raises:
        ValueError: ``value`` holds what YAML has no plain form for.
    """
    return f"{key}: {write_value(dict(sorted(value.items())) if isinstance(value, Mapping) else value)}"


def write_value(value: Any) -> str:
    """``value`` as a YAML value, mappings and lists in braces and brackets. Raises `ValueError` as `write_fix` does."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case float() if isfinite(value):
            return _write_float(value)
        case str():
            return quote_text(value)
        case Mapping() if all(isinstance(name, str) for name in value):
            return f"{{{', '.join(f'{quote_text(name)}: {write_value(item)}' for name, item in value.items())}}}"
        case list() | tuple():
            return f"[{', '.join(map(write_value, value))}]"
    raise ValueError(f"a {type(value).__name__} such as {value!r} cannot be written in a recipe")


def _write_float(value: float) -> str:
    """With a point always: YAML 1.1 takes ``1e+16`` for text."""
    digits, exponent, power = repr(float(value)).partition("e")
    return f"{digits if '.' in digits else f'{digits}.0'}{exponent}{power}"


def quote_text(text: str) -> str:
    """``text`` as a YAML scalar, in quotes where it would not be plain text."""
    if _PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS:
        return text
    return '"' + "".join(_escape(character) for character in text) + '"'


def _escape(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08x}"
