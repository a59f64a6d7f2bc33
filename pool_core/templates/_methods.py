"""The methods of text, lists and mappings that templates may call; there are no others."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final

from jinja2.runtime import LoopContext

from pool_core.templates._limits import BUDGET, STEP, spend, weigh
from pool_core.templates._operations import expect_key

_LINE_ENDS: Final = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Count the size of all arguments as work before ``function`` runs, and admit plain values only."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        weigh(*args, *kwargs.values())
        return function(*args, **kwargs)

    return call


class Method:
    """An allowed method of a value, ready to be called. Templates can do nothing else with it."""

    __slots__ = ("function", "receiver")

    def __init__(self, function: Callable[..., Any], receiver: Any) -> None:
        self.function = function
        self.receiver = receiver

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(self.receiver, *args, **kwargs)


def _bound_strip(strip: Callable[[str, str | None], str]) -> Callable[..., Any]:
    def call(text: str, chars: str | None = None) -> str:
        spend(len(text) * len(chars or ""))
        return strip(text, chars)

    return bounded(call)


def _split(text: str, sep: str | None = None, maxsplit: int = -1) -> list[str]:
    affordable = BUDGET.get().left // STEP + 1
    parts = text.split(sep, affordable if maxsplit < 0 else min(maxsplit, affordable))
    spend(STEP * len(parts))
    return parts


def _split_lines(text: str, keepends: bool = False) -> list[str]:
    spend(STEP * (1 + sum(map(text.count, _LINE_ENDS))))
    return text.splitlines(keepends)


def _list_items(mapping: dict[str, Any]) -> list[tuple[str, Any]]:
    spend(3 * STEP * len(mapping))
    return list(mapping.items())


def _list_keys(mapping: dict[str, Any]) -> list[str]:
    spend(STEP * len(mapping))
    return list(mapping)


def _list_values(mapping: dict[str, Any]) -> list[Any]:
    spend(STEP * len(mapping))
    return list(mapping.values())


def _get(mapping: dict[str, Any], key: str, default: Any = None) -> Any:
    return mapping.get(expect_key(key), default)


def _cycle(loop: LoopContext, *values: Any) -> Any:
    weigh(*values)
    return loop.cycle(*values)


def _changed(loop: LoopContext, *values: Any) -> bool:
    weigh(*values)
    return loop.changed(*values)


#: Exact type to the methods that may be called on it.
METHODS: Final[Mapping[type, Mapping[str, Callable[..., Any]]]] = {
    str: {
        "lower": bounded(str.lower),
        "upper": bounded(str.upper),
        "title": bounded(str.title),
        "capitalize": bounded(str.capitalize),
        "strip": _bound_strip(str.strip),
        "lstrip": _bound_strip(str.lstrip),
        "rstrip": _bound_strip(str.rstrip),
        "startswith": bounded(str.startswith),
        "endswith": bounded(str.endswith),
        "split": bounded(_split),
        "splitlines": bounded(_split_lines),
        "removeprefix": bounded(str.removeprefix),
        "removesuffix": bounded(str.removesuffix),
    },
    list: {"index": bounded(list.index), "count": bounded(list.count)},
    tuple: {"index": bounded(tuple.index), "count": bounded(tuple.count)},
    dict: {"items": _list_items, "keys": _list_keys, "values": _list_values, "get": _get},
    LoopContext: {"cycle": _cycle, "changed": _changed},
}

#: What ``loop.`` gives besides its methods.
LOOP_VALUES: Final = frozenset(
    {"index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem", "depth", "depth0"}
)
