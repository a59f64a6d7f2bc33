"""Field types as Arrow types, and values made to fit them. Everything is nullable in Arrow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pyarrow as pa

from pool_core.errors import PoolError
from pool_core.interfaces.encoding import encode_json
from pool_core.interfaces.types import ANY, FieldType
from pool_standard.data.text import replace_surrogates

__all__ = ["MisfitError", "fit_value", "to_arrow", "to_arrow_schema"]

_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_SCALARS = {"null": pa.null(), "bool": pa.bool_(), "int": pa.int64(), "float": pa.float64()}


class MisfitError(Exception):
    """A value that its field's Arrow type cannot hold: where inside the field, and why."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason


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


def fit_value(value: Any, type_: FieldType, path: str) -> Any:
    """Make ``value`` what Arrow takes for `to_arrow` of ``type_``. Half surrogate pairs become U+FFFD.

    Args:
        path: The field, and where inside it the value stands, for the error.

    Raises:
        MisfitError: the value is not of the type, or too large.
    """
    if value is None:
        return None
    accepted, fit = _FITS[type_.kind]
    if not isinstance(value, accepted) or (isinstance(value, bool) and type_.kind in ("int", "float")):
        raise MisfitError(path, f"a value of the type {type_} is expected, and this is a {type(value).__name__}")
    return fit(value, type_, path)


def _fit_int(value: int, _: FieldType, path: str) -> int:
    if not _SMALLEST <= value <= _LARGEST:
        raise MisfitError(path, "the integer does not fit 64 bits")
    return value


def _fit_float(value: float, _: FieldType, path: str) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise MisfitError(path, "the integer does not fit a 64-bit float") from error


def _fit_map(value: Mapping[str, Any], type_: FieldType, path: str) -> list[tuple[str, Any]]:
    items = {replace_surrogates(name): fit_value(v, type_.items or ANY, f"{path}.{name}") for name, v in value.items()}
    if len(items) != len(value):
        raise MisfitError(path, "two keys are equal once invalid characters are replaced")
    return list(items.items())


def _fit_struct(value: Mapping[str, Any], type_: FieldType, path: str) -> Any:
    if unknown := sorted(value.keys() - {name for name, _ in type_.fields}):
        raise MisfitError(path, f"the type {type_} has no field {unknown[0]!r}")
    if not type_.fields:
        return "{}"
    return {replace_surrogates(name): fit_value(value.get(name), t, f"{path}.{name}") for name, t in type_.fields}


#: Of each kind: the Python types of its values, and what makes one fit.
_FITS: dict[str, tuple[Any, Callable[[Any, FieldType, str], Any]]] = {
    "null": ((), lambda value, _type, _path: value),
    "bool": (bool, lambda value, _type, _path: value),
    "int": (int, _fit_int),
    "float": ((int, float), _fit_float),
    "str": (str, lambda value, _type, _path: replace_surrogates(value)),
    "literal": (str, lambda value, _type, _path: replace_surrogates(value)),
    "list": ((list, tuple), lambda value, type_, path: [fit_value(v, type_.items or ANY, f"{path}[]") for v in value]),
    "map": (Mapping, _fit_map),
    "struct": (Mapping, _fit_struct),
    "any": (object, lambda value, _type, _path: encode_json(value).decode("utf-8")),
}
