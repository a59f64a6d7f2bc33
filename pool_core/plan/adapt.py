"""Adapters: per member, the columns its task reads and the names its fields get in the pool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from pool_core.errors import ParseError, RecipeError, TemplateError
from pool_core.interfaces.cast import can_cast, cast_value
from pool_core.interfaces.task import Task
from pool_core.interfaces.type_text import parse_type
from pool_core.interfaces.types import FieldType, infer_type, read_model
from pool_core.interfaces.values import Cause, Row
from pool_core.recipe.locate import locate
from pool_core.recipe.models import Member
from pool_core.recipe.yaml_source import KeyPath, Source

__all__ = ["ADAPTERS", "Adapter", "adapt_member"]

#: The keys of a member that are adapters.
ADAPTERS = ("inputs", "outputs", "drop", "cast", "collect", "constant")


@dataclass(frozen=True, slots=True)
class Adapter:
    """The renames and conversions of one member: rows on the way in, fields on the way out."""

    #: The task's input: the column.
    inputs: Mapping[str, str]
    #: The pool's field: the task's field it is read from.
    sources: Mapping[str, str]
    #: The pool's field: its type in the pool.
    outputs: Mapping[str, FieldType]
    #: The pool's field: what it is cast to.
    casts: Mapping[str, FieldType] = field(default_factory=dict)
    #: Fields of the pool that become lists of one item, after their cast.
    collected: tuple[str, ...] = ()
    #: The pool's field: its value in every cell.
    constants: Mapping[str, Any] = field(default_factory=dict)

    def adapt_row(self, row: Row) -> Row:
        """The row as the task reads it: its own columns, and each input under the task's name.

        Raises:
            TemplateError: the row lacks a column.
        """
        renamed: dict[str, Any] = {}
        for name, column in self.inputs.items():
            if column not in row:
                raise TemplateError(f"the row has no column {column!r}", hint=f"it has: {', '.join(row) or 'none'}")
            if name != column:
                renamed[name] = row[column]
        return {**row, **renamed} if renamed else row

    def adapt_output(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The pool's fields of what the task read.

        Raises:
            ParseError: a value cannot be cast; the cause is ``schema``.
        """
        adapted = {name: values[source] for name, source in self.sources.items()}
        for name, target in self.casts.items():
            try:
                adapted[name] = cast_value(adapted[name], target)
            except ValueError as error:
                raise ParseError(
                    f"the field {name!r} cannot be cast to {target}: {error}", cause=Cause.SCHEMA
                ) from error
        for name in self.collected:
            adapted[name] = [adapted[name]]
        return {**adapted, **self.constants} if self.constants else adapted


def adapt_member(member: Member, task: Task[Any], source: Source | None, path: KeyPath) -> Adapter:
    """Check the adapters of ``member`` against its task and put them together.

    Fields are dropped and renamed first, then cast, then collected; constants come last.

    Raises:
        RecipeError: an adapter names an input or field that is not there, gives one name twice, or
            asks for a cast that no value survives.
    """
    place = _Place(member, source, path)
    inputs = {name: name for name in task.inputs}
    for name, column in member.inputs.items():
        place.check_known(name, inputs, f"the task {member.task.use!r} has no input", ("inputs", name))
        inputs[name] = column
    types = read_model(task.output)
    sources = _rename_fields(member, types, place)
    outputs = {name: types[own] for name, own in sources.items()}
    casts = _read_casts(member, outputs, place)
    outputs |= casts
    for number, name in enumerate(member.collect):
        place.check_known(name, outputs, "the pool gets no field", ("collect", number))
        outputs[name] = FieldType("list", items=outputs[name])
    for name, value in member.constant.items():
        if name in outputs:
            raise place.refuse(
                f"the field {name!r} is there already",
                ("constant", name),
                f"drop the task's own: `drop: [{sources[name]}]`",
            )
        outputs[name] = infer_type(value)
    return Adapter(inputs, sources, outputs, casts, tuple(member.collect), dict(member.constant))


def _rename_fields(member: Member, types: Mapping[str, FieldType], place: _Place) -> dict[str, str]:
    """The pool's field: the task's field, without what is dropped."""
    for number, name in enumerate(member.drop):
        place.check_known(name, types, f"the task {member.task.use!r} has no field", ("drop", number))
    for name, own in member.outputs.items():
        place.check_known(own, types, f"the task {member.task.use!r} has no field", ("outputs", name))
        if own in member.drop:
            raise place.refuse(f"the field {own!r} is dropped and renamed", ("outputs", name), "do one of both")
    renamed = {*member.outputs.values(), *member.drop}
    sources = {own: own for own in types if own not in renamed}
    for name, own in member.outputs.items():
        if name in sources:
            raise place.refuse(
                f"the field {name!r} is there already",
                ("outputs", name),
                f"rename the task's own {name!r} as well, as in `other: {name}`",
            )
        sources[name] = own
    return sources


def _read_casts(member: Member, outputs: Mapping[str, FieldType], place: _Place) -> dict[str, FieldType]:
    casts = {}
    for name, text in member.cast.items():
        place.check_known(name, outputs, "the pool gets no field", ("cast", name))
        try:
            target = parse_type(text)
        except ValueError as error:
            raise place.refuse(
                str(error), ("cast", name), "a type is written as in `float`, `str?`, `list[str]`"
            ) from error
        if not can_cast(outputs[name], target):
            nullable = outputs[name].nullable and not target.nullable
            hint = f"it may be null: write `{target}?`" if nullable else "no value of the one is a value of the other"
            raise place.refuse(f"{outputs[name]} cannot be cast to {target}", ("cast", name), hint)
        casts[name] = target
    return casts


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a member stands, for messages."""

    member: Member
    source: Source | None
    path: KeyPath

    def check_known(self, name: str, known: Mapping[str, Any], message: str, path: KeyPath) -> None:
        """Raise `RecipeError` where ``name`` is not among ``known``."""
        if name not in known:
            close = get_close_matches(name, known, n=1, cutoff=0.6)
            hint = f"did you mean {close[0]!r}?" if close else f"it has: {', '.join(known) or 'none'}"
            raise self.refuse(f"{message} {name!r}", path, hint)

    def refuse(self, message: str, path: KeyPath, hint: str) -> RecipeError:
        return RecipeError(message, where=locate(self.source, (*self.path, *path)), hint=hint)
