"""The three ways to lay generations out, and the schema of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from pool_core.errors import RowsError
from pool_core.interfaces.encoding import decode_json
from pool_core.interfaces.types import FieldType
from pool_core.store.records import StoredRow

__all__ = ["Layout", "arrange", "list_names", "make_schema"]

Layout: TypeAlias = Literal["nested", "columns", "long"]

_TEXT = FieldType("str", nullable=True)
_COUNT = FieldType("int", nullable=True)
_USAGE = FieldType("struct", nullable=True, fields=(("input_tokens", _COUNT), ("output_tokens", _COUNT)))
_HEAD: dict[str, FieldType] = {
    "member": _TEXT,
    "model": _TEXT,
    "task": _TEXT,
    "sample": _COUNT,
    "status": _TEXT,
    "cause": _TEXT,
    "message": _TEXT,
}


def arrange(
    layout: Layout, found: Iterable[tuple[StoredRow, list[dict[str, Any]]]], names: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """The records of a file, in input order.

    ``nested``: the row's columns and ``generations``, a list of structs. ``columns``: the row's columns
    and one list per key of a generation, all of one length. ``long``: one record per generation.

    Raises:
        RowsError: a row has a column that the layout writes itself.
    """
    taken = {"generations"} if layout == "nested" else set(names)
    for row, generations in found:
        if layout == "long":
            for generation in generations:
                yield {"row_id": row.row_id, **generation}
            continue
        record = dict(decode_json(row.data))
        if not taken.isdisjoint(record):
            column = min(taken & record.keys())
            raise RowsError(
                f"the row {row.row_id!r} has a column {column!r}, which the layout {layout!r} writes itself",
                hint="choose another layout, such as `long`, or rename the column",
            )
        if layout == "nested":
            record["generations"] = generations
        else:
            record.update({name: [generation[name] for generation in generations] for name in names})
        yield record


def list_names(fields: Iterable[str], *, raw: bool, fallbacks: bool) -> list[str]:
    """The keys of a generation, in their order."""
    tail = [name for name, there in (("answered_by", fallbacks), ("raw", raw)) if there]
    return [*_HEAD, *fields, "usage", *tail]


def make_schema(
    layout: Layout,
    columns: Mapping[str, FieldType],
    fields: Mapping[str, FieldType],
    *,
    raw: bool,
    fallbacks: bool = False,
) -> dict[str, FieldType]:
    """The type of every field that `arrange` makes."""
    types = {**_HEAD, **fields, "usage": _USAGE, "answered_by": _TEXT, "raw": _TEXT}
    generation = {name: types[name] for name in list_names(fields, raw=raw, fallbacks=fallbacks)}
    if layout == "long":
        return {"row_id": FieldType("str"), **generation}
    if layout == "nested":
        struct = FieldType("struct", fields=tuple(generation.items()))
        return {**columns, "generations": FieldType("list", items=struct)}
    return {**columns, **{name: FieldType("list", items=type_) for name, type_ in generation.items()}}
