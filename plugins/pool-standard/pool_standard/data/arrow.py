"""Field types as Arrow types, and values made to fit them. Everything is nullable in Arrow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from types import NoneType
from typing import Any, TypeAlias

import pyarrow as pa

from pool_core.errors import PoolError
from pool_core.interfaces.encoding import encode_json
from pool_core.interfaces.types import ANY, FieldType
from pool_standard.data.text import replace_surrogates

__all__ = ["Check", "Fit", "MisfitError", "plan_check", "plan_fit", "to_arrow", "to_arrow_schema"]

#: Makes a value fit its Arrow type.
Fit: TypeAlias = Callable[[Any], Any]
#: Whether Arrow takes all these values as they are, apart from text that is no UTF-8 and numbers that are too large.
Check: TypeAlias = Callable[[Sequence[Any]], bool]

_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
#: By kind, the one Python type whose values Arrow takes as they are.
_EXACT = {"null": NoneType, "bool": bool, "int": int, "float": float, "str": str, "literal": str}
_LISTS, _STRUCTS = frozenset({list, NoneType}), frozenset({dict, NoneType})
_SCALARS = {"null": pa.null(), "bool": pa.bool_(), "int": pa.int64(), "float": pa.float64()}


class MisfitError(Exception):
    """A value that its field's Arrow type cannot hold: where inside the field, and why."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def within(self, step: str) -> MisfitError:
        """The same, seen from what holds the value."""
        return MisfitError(step + self.path, self.reason)


def to_arrow_schema(schema: Mapping[str, FieldType]) -> pa.Schema:
    """The Arrow schema of records with these fields.

    Raises:
        PoolError: two names of one struct are equal in UTF-8.
    """
    return pa.schema(_to_fields(schema.items()))


def to_arrow(type_: FieldType) -> pa.DataType:
    """The Arrow type that holds the values of ``type_``.

    ``any`` is a string of JSON text, and so is a struct without fields, which Parquet cannot hold.

    Raises:
        PoolError: two names of one struct are equal in UTF-8.
    """
    match type_.kind:
        case "list":
            return pa.list_(to_arrow(type_.items or ANY))
        case "map":
            return pa.map_(pa.string(), to_arrow(type_.items or ANY))
        case "struct" if type_.fields:
            return pa.struct(_to_fields(type_.fields))
        case kind:
            return _SCALARS.get(kind, pa.string())


def _to_fields(pairs: Iterable[tuple[str, FieldType]]) -> list[pa.Field]:
    fields = [pa.field(replace_surrogates(name), to_arrow(type_)) for name, type_ in pairs]
    names = [field.name for field in fields]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        message = f"two fields are both named {twice[0]!r} once invalid characters are replaced"
        raise PoolError(message, hint="Rename one of the two, or write JSON Lines.")
    return fields


def plan_check(type_: FieldType) -> Check:
    """What tells whether values need not be made to fit: a look at many at once is faster than a call for each.

    It says no where it is not sure.
    """
    exact = _EXACT.get(type_.kind)
    if exact is not None:
        known = {exact, NoneType}
        return lambda values: known.issuperset(map(type, values))
    if type_.kind == "list":
        check_items = plan_check(type_.items or ANY)
        return lambda values: (
            _LISTS.issuperset(map(type, values)) and check_items([*chain.from_iterable(filter(None, values))])
        )
    if type_.kind == "struct" and type_.fields and all(name == replace_surrogates(name) for name, _ in type_.fields):
        return _plan_struct_check(type_)
    return lambda _: False


def _plan_struct_check(type_: FieldType) -> Check:
    names = frozenset(name for name, _ in type_.fields)
    checks = [(name, plan_check(inner)) for name, inner in type_.fields]

    def check_structs(values: Sequence[Any]) -> bool:
        if not _STRUCTS.issuperset(map(type, values)):
            return False
        there = [*filter(None, values)]
        return all(map(names.issuperset, there)) and all(
            check([value.get(name) for value in there]) for name, check in checks
        )

    return check_structs


def plan_fit(type_: FieldType) -> Fit:
    """What makes a value one that Arrow takes for `to_arrow` of ``type_``. Half surrogate pairs become U+FFFD.

    It raises a `MisfitError` for a value that is not of the type, or too large; its path begins inside the value.
    """
    accepted, make_fit = _FITS[type_.kind]
    fit = make_fit(type_)
    no_bool = type_.kind in ("int", "float")

    def fit_or_refuse(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, accepted) or (no_bool and isinstance(value, bool)):
            raise MisfitError("", f"a value of the type {type_} is expected, and this is a {type(value).__name__}")
        return fit(value)

    return fit_or_refuse


def _keep(_: FieldType) -> Fit:
    return lambda value: value


def _plan_int(_: FieldType) -> Fit:
    def fit_int(value: int) -> int:
        if not _SMALLEST <= value <= _LARGEST:
            raise MisfitError("", "the integer does not fit 64 bits")
        return value

    return fit_int


def _plan_float(_: FieldType) -> Fit:
    def fit_float(value: float) -> float:
        try:
            return float(value)
        except OverflowError as error:
            raise MisfitError("", "the integer does not fit a 64-bit float") from error

    return fit_float


def _plan_list(type_: FieldType) -> Fit:
    fit = plan_fit(type_.items or ANY)

    def fit_list(value: Iterable[Any]) -> list[Any]:
        try:
            return [fit(item) for item in value]
        except MisfitError as error:
            raise error.within("[]") from error

    return fit_list


def _plan_map(type_: FieldType) -> Fit:
    fit = plan_fit(type_.items or ANY)

    def fit_map(value: Mapping[str, Any]) -> list[tuple[str, Any]]:
        items: dict[str, Any] = {}
        for name, item in value.items():
            try:
                items[replace_surrogates(name)] = fit(item)
            except MisfitError as error:
                raise error.within(f".{name}") from error
        if len(items) != len(value):
            raise MisfitError("", "two keys are equal once invalid characters are replaced")
        return list(items.items())

    return fit_map


def _plan_struct(type_: FieldType) -> Fit:
    fits = [(name, replace_surrogates(name), plan_fit(inner)) for name, inner in type_.fields]
    known = {name for name, _ in type_.fields}

    def fit_struct(value: Mapping[str, Any]) -> Any:
        if not value.keys() <= known:
            raise MisfitError("", f"the type {type_} has no field {min(value.keys() - known)!r}")
        if not fits:
            return "{}"
        fitted = {}
        for name, plain, fit in fits:
            try:
                fitted[plain] = fit(value.get(name))
            except MisfitError as error:
                raise error.within(f".{name}") from error
        return fitted

    return fit_struct


#: Of each kind: the Python types of its values, and what plans how one is made to fit.
_FITS: dict[str, tuple[Any, Callable[[FieldType], Fit]]] = {
    "null": ((), _keep),
    "bool": (bool, _keep),
    "int": (int, _plan_int),
    "float": ((int, float), _plan_float),
    "str": (str, lambda _: replace_surrogates),
    "literal": (str, lambda _: replace_surrogates),
    "list": ((list, tuple), _plan_list),
    "map": (Mapping, _plan_map),
    "struct": (Mapping, _plan_struct),
    "any": (object, lambda _: lambda value: encode_json(value).decode("utf-8")),
}
