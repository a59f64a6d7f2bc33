"""Made-up text and values: pure functions of a source of random numbers."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, TypeVar
from urllib.parse import unquote

from pool_core.errors import BackendError
from pool_core.interfaces.values import Cause

__all__ = ["make_code", "make_text", "make_value"]

T = TypeVar("T")

_WORDS = (  # noqa: SIM905 - a list of one word a line would be most of the file
    "after again air along also and apple around autumn back barn before bell bench between bird blue boat book bread "
    "bridge bright broad brook build calm carry cat chair change city clay clear climb cloud coat cook corn day deep "
    "door draw early earth east evening farm field fire first floor flower follow forest found four fox garden gate "
    "lake lamp land late leaf letter light line listen long map meadow mile mill moon morning mountain near night "
    "north note oak old once open orchard other paper path pear people pine plain point pond quiet rain reach read "
    "red ripe river road rock roof room rope round sail salt sand school sea second seed shade ship shore silver "
    "simple sing slow small snow song south spring stand star still stone story street summer sun table that the "
    "their then there they three through time town trail tree turn two under until valley very voice walk wall warm"
).split()
_COUNT = len(_WORDS)
_STUB = 4  # a last sentence of fewer words is joined to the one before it
#: Deeper than this, optional properties and items are left out and the simplest branch is taken.
_DEEP = 6
#: A schema that still goes on here has no end.
_ENDLESS = 40

_ANNOTATIONS = frozenset(
    "title description default examples deprecated readOnly writeOnly discriminator "  # noqa: SIM905
    "$schema $id $comment $defs definitions".split()
)
#: Keywords that decide a value alone, and those that may stand beside them.
_WHOLE: Mapping[str, frozenset[str]] = {
    "$ref": frozenset(["$ref"]),
    "const": frozenset(["const", "type"]),
    "enum": frozenset(["enum", "type"]),
    "anyOf": frozenset(["anyOf"]),
    "oneOf": frozenset(["oneOf"]),
    "allOf": frozenset(["allOf"]),
}
#: Keywords of the types. As JSON Schema has it, those of another type say nothing about a value.
_KNOWN = frozenset(
    "type format minLength maxLength minimum maximum exclusiveMinimum exclusiveMaximum "  # noqa: SIM905
    "properties required additionalProperties items minItems maxItems".split()
)
_TYPE_NAMES: Mapping[type, frozenset[str]] = {
    str: frozenset(["string"]),
    int: frozenset(["integer", "number"]),
    float: frozenset(["number"]),
    list: frozenset(["array"]),
    dict: frozenset(["object"]),
    type(None): frozenset(["null"]),
}
_FORMATS: Mapping[str, Callable[[Random], str]] = {
    "date": lambda rng: f"20{_roll(rng, 10, 29)}-{_roll(rng, 1, 12):02}-{_roll(rng, 1, 28):02}",
    "time": lambda rng: f"{_roll(rng, 0, 23):02}:{_roll(rng, 0, 59):02}:{_roll(rng, 0, 59):02}Z",
    "date-time": lambda rng: f"{_FORMATS['date'](rng)}T{_FORMATS['time'](rng)}",
    "email": lambda rng: f"{_word(rng)}@{_word(rng)}.example",
    "uuid": lambda rng: f"{_roll(rng, 0, 2**32 - 1):08x}-0000-4000-8000-{_roll(rng, 0, 2**48 - 1):012x}",
}


def make_text(rng: Random, words: int) -> str:
    """Plain sentences of ``words`` words together."""
    roll = rng.random
    found = [_WORDS[int(roll() * _COUNT)] for _ in range(words)]
    start = 0
    while start < words:
        end = min(words, start + 5 + int(roll() * 10))
        if words - end < _STUB:
            end = words
        found[start] = found[start].capitalize()
        found[end - 1] += "."
        start = end
    return " ".join(found)


def make_code(rng: Random) -> str:
    """A fenced block with a small Python function that works."""
    verb, noun, doc = _word(rng), _word(rng), make_text(rng, 6)
    factor, offset = _roll(rng, 2, 9), _roll(rng, 1, 99)
    return (
        f"```python\ndef do_{verb}_{noun}(values):\n"
        f'    """{doc}"""\n'
        f"    return [value * {factor} + {offset} for value in values]\n```"
    )


def make_value(schema: Mapping[str, Any], rng: Random) -> Any:
    """A plain JSON value that satisfies a JSON Schema.

    Knows ``type``, ``properties``, ``required``, ``additionalProperties``, ``items``, ``enum``,
    ``const``, ``anyOf``, ``oneOf`` (whose branches have to exclude each other), ``allOf`` of one,
    ``$ref`` into the schema itself, the bounds of numbers, lengths and items, and some formats.

    Raises:
        BackendError: a keyword is not known, or no value satisfies the schema; the message has the place.
    """
    return _Maker(schema, rng).make(schema, "$", 0)


def _word(rng: Random) -> str:
    return _WORDS[int(rng.random() * _COUNT)]


def _roll(rng: Random, low: int, high: int) -> int:
    """An integer from ``low`` to ``high``, both included."""
    return low + int(rng.random() * (min(high - low, 2**52) + 1))


def _choose(rng: Random, options: Sequence[T]) -> T:
    return options[_roll(rng, 0, len(options) - 1)]


def _refuse(message: str, place: str) -> BackendError:
    return BackendError(
        Cause.BAD_REQUEST,
        message,
        where=f"schema at {place}",
        hint="Simplify the task's schema, or use another backend than `simulate` for it.",
    )


class _Maker:
    """Walks one schema."""

    def __init__(self, root: Mapping[str, Any], rng: Random) -> None:
        self._root = root
        self.rng = rng

    def make(self, schema: Any, place: str, depth: int) -> Any:
        """A value for the part of the schema at ``place``."""
        if depth > _ENDLESS:
            raise _refuse("the schema needs itself without end", place)
        if schema is True:
            return _word(self.rng)
        if not isinstance(schema, Mapping):
            raise _refuse(f"no value satisfies {schema!r}", place)
        for keyword, allowed in _WHOLE.items():
            if keyword in schema:
                _check_keywords(schema, allowed, place)
                return self.make_whole(keyword, schema, place, depth)
        _check_keywords(schema, _KNOWN, place)
        kind = self.choose_kind(schema, depth)
        if kind not in _KINDS:
            raise _refuse(f"the type {kind!r} is not known", place)
        return _KINDS[kind](self, schema, place, depth)

    def make_whole(self, keyword: str, schema: Mapping[str, Any], place: str, depth: int) -> Any:
        """A value for a keyword that decides it alone."""
        value = schema[keyword]
        if keyword == "const":
            return value
        if keyword == "$ref":
            return self.make(self.resolve(value, place), place, depth + 1)
        if keyword == "enum":
            options = [option for option in value if _has_type(option, schema.get("type"))]
        elif keyword == "allOf" and len(value) > 1:
            raise _refuse("an `allOf` of several schemas is not supported", place)
        else:
            options = sorted(value, key=_rank)[:1] if depth > _DEEP else value
        if not options:
            raise _refuse(f"no value satisfies this `{keyword}`", place)
        chosen = _choose(self.rng, options)
        return chosen if keyword == "enum" else self.make(chosen, place, depth + 1)

    def resolve(self, reference: str, place: str) -> Any:
        found: Any = self._root
        head, *names = reference.split("/")
        for name in names:
            key = unquote(name).replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, Mapping) else None
        if head != "#" or found is None:
            raise _refuse(f"there is no {reference!r} in the schema itself", place)
        return found

    def choose_kind(self, schema: Mapping[str, Any], depth: int) -> Any:
        kinds = schema.get("type")
        if kinds is None:
            return "object" if "properties" in schema else "array" if "items" in schema else "string"
        if isinstance(kinds, str):
            return kinds
        return "null" if depth > _DEEP and "null" in kinds else _choose(self.rng, kinds)

    def make_object(self, schema: Mapping[str, Any], place: str, depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        others = schema.get("additionalProperties", True)
        names = [*properties, *(name for name in required if name not in properties)]
        if not names and isinstance(others, Mapping) and depth <= _DEEP:
            names = [_word(self.rng), _word(self.rng)]
        return {
            name: self.make(properties.get(name, others), f"{place}.{name}", depth + 1)
            for name in names
            if depth <= _DEEP or name in required
        }

    def make_array(self, schema: Mapping[str, Any], place: str, depth: int) -> list[Any]:
        low, high = _read_sizes(schema, "minItems", "maxItems", place)
        count = low if depth > _DEEP else _roll(self.rng, min(max(low, 1), high), min(max(low, 1) + 2, high))
        items = schema.get("items", True)
        return [self.make(items, f"{place}[]", depth + 1) for _ in range(count)]

    def make_string(self, schema: Mapping[str, Any], place: str, _: int) -> str:
        low, high = _read_sizes(schema, "minLength", "maxLength", place)
        if "format" in schema:
            if schema["format"] not in _FORMATS:
                raise _refuse(f"the format {schema['format']!r} is not supported", place)
            text = _FORMATS[schema["format"]](self.rng)
            if not low <= len(text) <= high:
                raise _refuse(f"no text of this length has the format {schema['format']!r}", place)
            return text
        text = make_text(self.rng, _roll(self.rng, 2, 8))
        while len(text) < low:
            text = f"{text} {make_text(self.rng, 8)}"
        return text[:high]

    def make_integer(self, schema: Mapping[str, Any], place: str, _: int) -> int:
        low, high, open_low, open_high = _read_bounds(schema, place)
        first = None if low is None else math.floor(low) + 1 if open_low else math.ceil(low)
        last = None if high is None else math.ceil(high) - 1 if open_high else math.floor(high)
        if first is None:
            first = 0 if last is None else last - 100
        if last is None:
            last = first + 100
        if first > last:
            raise _refuse("no integer lies within these bounds", place)
        return _roll(self.rng, first, last)

    def make_number(self, schema: Mapping[str, Any], place: str, _: int) -> float:
        low, high, open_low, open_high = _read_bounds(schema, place)
        first = float(low) if low is not None else 0.0 if high is None else high - 100.0
        last = float(high) if high is not None else first + 100.0
        part = 0.001 + 0.998 * self.rng.random()
        exact = first * (1 - part) + last * part if first < last else first
        for value in (round(exact, 3), exact):
            if first <= value <= last and not (open_low and value == first) and not (open_high and value == last):
                return value
        raise _refuse("no number lies within these bounds", place)


_KINDS: Mapping[str, Callable[[_Maker, Mapping[str, Any], str, int], Any]] = {
    "object": _Maker.make_object,
    "array": _Maker.make_array,
    "string": _Maker.make_string,
    "integer": _Maker.make_integer,
    "number": _Maker.make_number,
    "boolean": lambda maker, schema, place, depth: _roll(maker.rng, 0, 1) == 1,
    "null": lambda maker, schema, place, depth: None,
}


def _check_keywords(schema: Mapping[str, Any], allowed: frozenset[str], place: str) -> None:
    for keyword in schema:
        if keyword not in allowed and keyword not in _ANNOTATIONS:
            raise _refuse(f"the keyword {keyword!r} is not supported here", place)


def _read_sizes(schema: Mapping[str, Any], lowest: str, highest: str, place: str) -> tuple[int, int]:
    low, high = schema.get(lowest, 0), schema.get(highest, sys.maxsize)
    if low > high:
        raise _refuse(f"`{lowest}` is greater than `{highest}`", place)
    return low, high


def _read_bounds(schema: Mapping[str, Any], place: str) -> tuple[float | None, float | None, bool, bool]:
    """The bounds of a number, and for each whether it is excluded itself."""
    for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
        if name in schema and (isinstance(schema[name], bool) or not isinstance(schema[name], int | float)):
            raise _refuse(f"`{name}` is not a number", place)
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    open_low = above is not None and (low is None or above >= low)
    open_high = below is not None and (high is None or below <= high)
    return (above if open_low else low), (below if open_high else high), open_low, open_high


def _has_type(value: Any, kinds: str | Sequence[str] | None) -> bool:
    if kinds is None:
        return True
    found = {"boolean"} if isinstance(value, bool) else _TYPE_NAMES[type(value)]
    return not found.isdisjoint([kinds] if isinstance(kinds, str) else kinds)


def _rank(schema: Any) -> int:
    """How far a branch may lead: the lower, the sooner it ends."""
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    if kind == "null":
        return 0
    if kind is not None and kind not in ("object", "array"):
        return 1
    return 2 if kind == "array" and not schema.get("minItems") else 3
