"""The filters that templates may use. Each takes plain values and counts its work beforehand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from jinja2 import StrictUndefined, Undefined

from pool_core.templates._limits import STEP, SandboxError, foreign_error, spend, to_text, weigh
from pool_core.templates._methods import METHODS, bounded
from pool_core.templates._operations import calculate, expect_key
from pool_core.templates._tests import TESTS

_MAX_PRECISION: Final = 30
_MAX_JSON_INDENT: Final = 8
#: How much longer than its text the JSON of a control character is.
_JSON_GROWTH: Final = 6
#: Characters that ``truncate`` lets pass beyond the length, as Jinja does.
_LEEWAY: Final = 5
#: What the filter ``title`` takes for a word, as Jinja does; ``don't`` is one.
_WORD: Final = re.compile(r"[^-\s({\[<]+")
#: Work for each character of a text that is taken to pieces.
_PIECES_COST: Final = 8


def _on_text(method: str) -> Callable[..., str]:
    """The filter that calls a method of text on the text of any value."""
    function = METHODS[str][method]

    def apply(value: Any, *args: Any, **kwargs: Any) -> str:
        return function(to_text(value), *args, **kwargs)  # type: ignore[no-any-return]

    return apply


def _expect_sequence(value: Any) -> Sequence[Any]:
    if isinstance(value, str | list | tuple):
        return value
    if isinstance(value, dict):
        spend(STEP * len(value))
        return list(value)
    if value is None or isinstance(value, int | float):
        raise SandboxError(f"{type(value).__name__} has no items")
    raise foreign_error(value)


def _as_list(value: Any) -> list[Any]:
    items = _expect_sequence(value)
    spend(STEP * len(items))
    return list(items)


def _default(value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    return default_value if isinstance(value, Undefined) or (boolean and not value) else value


def _first(value: Any) -> Any:
    return _pick(value, 0)


def _last(value: Any) -> Any:
    return _pick(value, -1)


def _pick(value: Any, index: int) -> Any:
    items = _expect_sequence(value)
    if not items:
        raise SandboxError("an empty value has no first or last item")
    return items[index]


def _length(value: Any) -> int:
    if not isinstance(value, dict):
        value = _expect_sequence(value)
    return len(value)


def _items(value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        weigh(value)
        raise SandboxError(f"'items' needs a mapping and not {type(value).__name__}")
    return METHODS[dict]["items"](value)  # type: ignore[no-any-return]


def _join(value: Any, d: str = "", attribute: str | int | None = None) -> str:
    items = _expect_sequence(value)
    texts = [to_text(item if attribute is None else _look_up(item, attribute)) for item in items]
    separator = to_text(d)
    spend(sum(map(len, texts)) + len(separator) * len(texts) + STEP * len(texts))
    return separator.join(texts)


def _replace(value: Any, old: str, new: str, count: int = -1) -> str:
    text = to_text(value)
    weigh(text, old, new, count)
    found = text.count(old)
    spend(max(0, (found if count < 0 else min(found, count)) * (len(new) - len(old))))
    return text.replace(old, new, count)


def _truncate(value: Any, length: int = 255, killwords: bool = False, end: str = "...", leeway: int = _LEEWAY) -> str:
    text = to_text(value)
    weigh(text, length, killwords, end, leeway)
    if length < len(end):
        raise SandboxError(f"'truncate' needs a length of at least {len(end)}, that of its ending, and not {length}")
    if len(text) <= length + leeway:
        return text
    kept = text[: length - len(end)]
    return (kept if killwords else kept.rsplit(" ", 1)[0]) + end


def _indent(value: Any, width: int = 4, first: bool = False, blank: bool = False) -> str:
    lines = METHODS[str]["splitlines"](to_text(value) + "\n")
    weigh(width, first, blank)
    spend(max(width, 0) * (len(lines) + 1))
    pad = " " * width
    rest = [pad + line if line or blank else line for line in lines[1:]]
    return (pad if first else "") + "\n".join([lines[0], *rest])


def _title(value: Any) -> str:
    text = to_text(value)
    spend(_PIECES_COST * len(text))
    return _WORD.sub(lambda word: word[0].capitalize(), text)


def _center(value: Any, width: int = 80) -> str:
    text = to_text(value)
    weigh(text, width)
    spend(max(width, 0))
    return text.center(width)


def _to_json(value: Any, indent: int | None = None) -> str:
    spend(_JSON_GROWTH * weigh(value, indent))
    if indent is None:
        return json.dumps(value, ensure_ascii=False)
    if not 0 <= indent <= _MAX_JSON_INDENT:
        raise SandboxError(f"'tojson' indents by 0 to {_MAX_JSON_INDENT} blanks and not by {indent}")
    pieces = []
    for piece in json.JSONEncoder(ensure_ascii=False, indent=indent).iterencode(value):
        spend(len(piece))
        pieces.append(piece)
    return "".join(pieces)


def _to_int(value: Any, default: int = 0, base: int = 10) -> int:
    weigh(value, default, base)
    try:
        return int(value, base) if type(value) is str else int(value)
    except (TypeError, ValueError, OverflowError):
        return default


def _to_float(value: Any, default: float = 0.0) -> float:
    weigh(value, default)
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return default


def _round(value: float, precision: int = 0) -> float:
    weigh(value, precision)
    if not -_MAX_PRECISION <= precision <= _MAX_PRECISION:
        raise SandboxError(f"'round' takes a precision of -{_MAX_PRECISION} to {_MAX_PRECISION} and not {precision}")
    return round(value, precision)


def _look_up(item: Any, attribute: str | int) -> Any:
    """Take ``a.b`` of nested mappings and lists; undefined where there is none."""
    for name in [attribute] if type(attribute) is int else expect_key(attribute).split("."):
        spend(STEP)
        try:
            item = item[name]
        except (LookupError, TypeError):
            return StrictUndefined(obj=item, name=str(name))
    return item


def _map(value: Any, *, attribute: str | int, default: Any = None) -> list[Any]:
    found = [_look_up(item, attribute) for item in _as_list(value)]
    if default is not None:
        found = [default if isinstance(item, Undefined) else item for item in found]
    weigh(found)
    return found


def _choose(value: Any, wanted: bool, attribute: str | int, test: str | None, args: tuple[Any, ...]) -> list[Any]:
    holds: Callable[..., bool] = bool
    if test is not None:
        if expect_key(test) not in TESTS:
            raise SandboxError(f"there is no test {test!r}", f"The tests are: {', '.join(sorted(TESTS))}.")
        holds = TESTS[test]
    return [item for item in _as_list(value) if holds(_look_up(item, attribute), *args) == wanted]


def _select_by(value: Any, attribute: str | int, test: str | None = None, *args: Any) -> list[Any]:
    return _choose(value, True, attribute, test, args)


def _reject_by(value: Any, attribute: str | int, test: str | None = None, *args: Any) -> list[Any]:
    return _choose(value, False, attribute, test, args)


def _fold(item: Any) -> Any:
    return item.lower() if type(item) is str else item


def _sort(
    value: Any, reverse: bool = False, case_sensitive: bool = False, attribute: str | int | None = None
) -> list[Any]:
    items = _as_list(value)
    spend(weigh(items) * len(items).bit_length())
    keys = items if attribute is None else [_look_up(item, attribute) for item in items]
    if not case_sensitive:
        keys = [_fold(key) for key in keys]
    weigh(keys)
    order = sorted(range(len(items)), key=keys.__getitem__, reverse=reverse)
    return [items[index] for index in order]


def _unique(value: Any, case_sensitive: bool = False) -> list[Any]:
    items = _as_list(value)
    weigh(items)
    seen: dict[Any, Any] = {}
    for item in items:
        if isinstance(item, list | tuple | dict):
            raise SandboxError(f"'unique' needs items that are text or numbers and not {type(item).__name__}")
        seen.setdefault(item if case_sensitive else _fold(item), item)
    return list(seen.values())


def _extreme(choose: Callable[..., Any]) -> Callable[..., Any]:
    def apply(value: Any) -> Any:
        items = _as_list(value)
        weigh(items)
        if not items:
            raise SandboxError("an empty value has no smallest or largest item")
        return choose(items, key=_fold)

    return apply


def _sum(value: Any, attribute: str | int | None = None, start: float = 0) -> Any:
    total: Any = start
    for item in _as_list(value):
        total = calculate("+", total, item if attribute is None else _look_up(item, attribute))
    return total


def _reverse(value: Any) -> Any:
    items = _as_list(value)[::-1]
    return "".join(items) if isinstance(value, str) else items


#: By the names that sources call them by. Jinja's own are not among them.
FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "abs": bounded(abs),
    "capitalize": _on_text("capitalize"),
    "center": _center,
    "count": _length,
    "d": _default,
    "default": _default,
    "first": _first,
    "float": _to_float,
    "indent": _indent,
    "int": _to_int,
    "items": _items,
    "join": _join,
    "last": _last,
    "length": _length,
    "list": _as_list,
    "lower": _on_text("lower"),
    "map": _map,
    "max": _extreme(max),
    "min": _extreme(min),
    "rejectattr": _reject_by,
    "replace": _replace,
    "reverse": _reverse,
    "round": _round,
    "selectattr": _select_by,
    "sort": _sort,
    "string": to_text,
    "sum": _sum,
    "title": _title,
    "tojson": _to_json,
    "trim": _on_text("strip"),
    "truncate": _truncate,
    "unique": _unique,
    "upper": _on_text("upper"),
}
