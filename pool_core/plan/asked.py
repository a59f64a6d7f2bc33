"""Which of the sampled rows each member is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pool_core.errors import TemplateError
from pool_core.interfaces.types import FieldType
from pool_core.interfaces.values import Row
from pool_core.plan.model import PlannedMember
from pool_core.plan.rows import merge_columns

__all__ = ["AskedRows", "find_asked"]


@dataclass(frozen=True, slots=True)
class AskedRows:
    """The sampled rows that one member is asked for."""

    #: Each with its number, from 1.
    rows: Sequence[tuple[int, Row]]
    #: Their columns and types, and those that the input itself declares.
    columns: Mapping[str, FieldType]
    #: Whether any row may be for it; False where its ``when`` admits none, and all were looked at.
    possible: bool = True


def find_asked(
    members: Sequence[PlannedMember],
    sample: Sequence[Row],
    columns: Mapping[str, FieldType],
    declared: Mapping[str, FieldType],
    *,
    complete: bool,
    routed: bool,
) -> list[AskedRows]:
    """The rows of ``sample`` for each member: all, or with ``routed`` those that its ``when`` admits.

    Args:
        columns: those of all of ``sample``.
        declared: those whose type the input itself declares.
        complete: whether ``sample`` are all rows.
    """
    whole = AskedRows(tuple(enumerate(sample, start=1)), columns)
    if not routed:
        return [whole] * len(members)
    return [_select_rows(member, whole, declared, complete=complete) for member in members]


def _select_rows(
    member: PlannedMember, whole: AskedRows, declared: Mapping[str, FieldType], *, complete: bool
) -> AskedRows:
    rows = [(number, row) for number, row in whole.rows if _admits(member, row)]
    if len(rows) == len(whole.rows):
        return whole
    if complete and not rows:
        return AskedRows((), {}, possible=False)
    return AskedRows(rows, {**merge_columns([row for _, row in rows]), **declared})


def _admits(member: PlannedMember, row: Row) -> bool:
    """Whether the member is asked for ``row``; a ``when`` that cannot be evaluated fails the cell by itself."""
    try:
        return member.when is None or member.when.test(row)
    except TemplateError:
        return False
