"""The tests that templates may use after ``is``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from jinja2 import Undefined

from pool_core.templates._limits import weigh
from pool_core.templates._operations import calculate, compare, contains


def _is_of(*kinds: type) -> Callable[[Any], bool]:
    """The test for exact types; an undefined name is of none and raises."""

    def test(value: Any) -> bool:
        if isinstance(value, Undefined):
            weigh(value)
        return type(value) in kinds

    return test


def _compares(sign: str) -> Callable[[Any, Any], bool]:
    return lambda left, right: compare((left, right), sign)


#: By the names that sources call them by. Jinja's own are not among them.
TESTS: Final[dict[str, Callable[..., bool]]] = {
    "boolean": _is_of(bool),
    "defined": lambda value: not isinstance(value, Undefined),
    "divisibleby": lambda value, number: calculate("%", value, number) == 0,
    "eq": _compares("eq"),
    "equalto": _compares("eq"),
    "even": lambda value: calculate("%", value, 2) == 0,
    "false": lambda value: value is False,
    "float": _is_of(float),
    "ge": _compares("gteq"),
    "gt": _compares("gt"),
    "in": lambda value, container: contains(container, value),
    "integer": _is_of(int),
    "iterable": _is_of(str, list, tuple, dict),
    "le": _compares("lteq"),
    "lt": _compares("lt"),
    "mapping": _is_of(dict),
    "ne": _compares("ne"),
    "none": _is_of(type(None)),
    "number": _is_of(int, float),
    "odd": lambda value: calculate("%", value, 2) == 1,
    "sequence": _is_of(str, list, tuple, dict),
    "string": _is_of(str),
    "true": lambda value: value is True,
    "undefined": lambda value: isinstance(value, Undefined),
    "==": _compares("eq"),
    "!=": _compares("ne"),
    "<": _compares("lt"),
    "<=": _compares("lteq"),
    ">": _compares("gt"),
    ">=": _compares("gteq"),
}
