"""Arrow values as plain JSON values: how each Arrow type is read, and which are refused."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyarrow as pa
from pyarrow import types

from pool_core.interfaces.types import NULL, FieldType

__all__ = ["Reading", "UnreadableError", "describe_type", "plan_reading"]

Convert: TypeAlias = Callable[[Any], Any]


class UnreadableError(Exception):
    """An Arrow type or value that has no plain JSON value; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How the values of an Arrow type are read: two casts in Arrow, then a function over Python values."""

    #: The type with timestamps in UTC and no zones.
    unzoned: pa.DataType
    #: The same with text in place of times and decimals, which keeps every digit of them.
    text: pa.DataType
    #: From what Arrow gives for a value of ``text`` that is not null to the plain value; None if it is one already.
    convert: Convert | None = None

    def cast(self, column: pa.Array) -> pa.Array:
        """Make ``column`` one that `convert` reads."""
        for target in (self.unzoned, self.text):
            if column.type != target:
                column = column.cast(target)
        return column


def plan_reading(type_: pa.DataType, path: str) -> Reading:
    """Say how values of ``type_`` are read.

    Dates, times and timestamps become ISO 8601 text (with a zone: in UTC, ending in Z), decimals
    their digits, bytes base64, numbers that are not finite null, maps with string keys objects.

    Raises:
        UnreadableError: the type has no plain JSON value.
    """
    for holds, plan in _PLANS:
        if holds(type_):
            return plan(type_, path)
    raise UnreadableError(f"the column {path!r} has the Arrow type {type_}, which has no plain JSON value")


def describe_type(type_: pa.DataType, *, nullable: bool) -> FieldType:
    """The type of the plain values that `plan_reading` makes of ``type_``, which it can read."""
    if types.is_null(type_):
        return NULL
    if types.is_dictionary(type_):
        return describe_type(type_.value_type, nullable=nullable)
    if types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_):
        return FieldType("list", nullable, items=_describe_field(type_.value_field))
    if types.is_map(type_):
        return FieldType("map", nullable, items=_describe_field(type_.item_field))
    if types.is_struct(type_):
        fields = (type_.field(index) for index in range(type_.num_fields))
        return FieldType("struct", nullable, fields=tuple(sorted((f.name, _describe_field(f)) for f in fields)))
    if types.is_floating(type_):
        return FieldType("float", nullable=True)  # NaN and the infinities are read as null
    if types.is_boolean(type_) or types.is_integer(type_):
        return FieldType("bool" if types.is_boolean(type_) else "int", nullable)
    return FieldType("str", nullable)


def _describe_field(field: pa.Field) -> FieldType:
    return describe_type(field.type, nullable=field.nullable)


def _is_any_of(*tests: Callable[[pa.DataType], bool]) -> Callable[[pa.DataType], bool]:
    return lambda type_: any(test(type_) for test in tests)


_is_text = _is_any_of(types.is_string, types.is_large_string, types.is_string_view)
_is_plain = _is_any_of(types.is_null, types.is_boolean, types.is_integer, _is_text)


def _plan_list(type_: pa.DataType, path: str) -> Reading:
    inner = plan_reading(type_.value_type, f"{path}[]")
    convert = None if inner.convert is None else _make_list_reader(inner.convert)
    if inner.text == type_.value_type:
        return Reading(type_, type_, convert)
    return Reading(pa.large_list(inner.unzoned), pa.large_list(inner.text), convert)


def _plan_struct(type_: pa.DataType, path: str) -> Reading:
    fields = [type_.field(index) for index in range(type_.num_fields)]
    names = [field.name for field in fields]
    if len(set(names)) != len(names):
        raise UnreadableError(f"the column {path!r} has two fields of one name: {', '.join(map(repr, names))}")
    inner = {field.name: plan_reading(field.type, f"{path}.{field.name}") for field in fields}
    convert = _make_struct_reader({name: reading.convert for name, reading in inner.items() if reading.convert})
    if all(inner[field.name].text == field.type for field in fields):
        return Reading(type_, type_, convert)
    unzoned = pa.struct([(name, reading.unzoned) for name, reading in inner.items()])
    return Reading(unzoned, pa.struct([(name, reading.text) for name, reading in inner.items()]), convert)


def _plan_map(type_: pa.DataType, path: str) -> Reading:
    inner = plan_reading(type_.item_type, f"{path}.*")
    convert = _make_map_reader(inner.convert, path)
    if inner.text == type_.item_type:
        return Reading(type_, type_, convert)
    return Reading(pa.map_(type_.key_type, inner.unzoned), pa.map_(type_.key_type, inner.text), convert)


def _read_float(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _read_bytes(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _read_time(value: str) -> str:
    if value.startswith("<"):  # Arrow's words where its calendar ends
        raise UnreadableError(f"a date cannot be written: {value.strip('<>')}")
    return value.replace(" ", "T", 1)


def _read_moment(value: str) -> str:
    return f"{_read_time(value)}Z"


def _make_list_reader(convert: Convert) -> Convert:
    return lambda values: [None if value is None else convert(value) for value in values]


def _make_struct_reader(converts: dict[str, Convert]) -> Convert | None:
    def read_struct(value: dict[str, Any]) -> dict[str, Any]:
        return value | {name: convert(value[name]) for name, convert in converts.items() if value[name] is not None}

    return read_struct if converts else None


def _make_map_reader(convert: Convert | None, path: str) -> Convert:
    def read_map(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = {key: value if convert is None or value is None else convert(value) for key, value in pairs}
        if len(found) != len(pairs):
            raise UnreadableError(f"a map in the column {path!r} has one key twice")
        return found

    return read_map


def _plan_timestamp(type_: pa.DataType, _: str) -> Reading:
    return Reading(pa.timestamp(type_.unit), pa.string(), _read_moment if type_.tz else _read_time)


#: Tests of a type, and what plans its reading.
_PLANS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.DataType, str], Reading]], ...] = (
    (_is_plain, lambda type_, _: Reading(type_, type_)),
    (types.is_floating, lambda type_, _: Reading(type_, type_, _read_float)),
    (types.is_timestamp, _plan_timestamp),
    (
        _is_any_of(types.is_date, types.is_time, types.is_decimal),
        lambda type_, _: Reading(type_, pa.string(), _read_time),
    ),
    (
        _is_any_of(types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view),
        lambda type_, _: Reading(type_, type_, _read_bytes),
    ),
    (_is_any_of(types.is_list, types.is_large_list, types.is_fixed_size_list), _plan_list),
    (types.is_struct, _plan_struct),
    (lambda type_: types.is_map(type_) and _is_text(type_.key_type), _plan_map),
    (lambda type_: types.is_dictionary(type_) and _is_plain(type_.value_type), lambda type_, _: Reading(type_, type_)),
)
