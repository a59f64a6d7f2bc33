"""Adapters: per member, the columns its task reads and the names its fields get in the pool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pool_core.errors import RecipeError, TemplateError
from pool_core.interfaces.task import Task
from pool_core.interfaces.types import FieldType, read_model
from pool_core.interfaces.values import Row
from pool_core.recipe.locate import locate
from pool_core.recipe.models import Member
from pool_core.recipe.yaml_source import KeyPath, Source

__all__ = ["Adapter", "adapt_member"]


@dataclass(frozen=True, slots=True)
class Adapter:
    """The renames of one member, applied to rows on the way in and to fields on the way out."""

    #: The task's input: the column.
    inputs: Mapping[str, str]
    #: The pool's field: the task's field.
    sources: Mapping[str, str]
    #: The pool's field: its type.
    outputs: Mapping[str, FieldType]

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
        """The pool's fields of what the task read."""
        return {field: values[source] for field, source in self.sources.items()}


def adapt_member(member: Member, task: Task[Any], source: Source | None, path: KeyPath) -> Adapter:
    """Check the renames of ``member`` against its task.

    Raises:
        RecipeError: a rename names an input or field that the task has not, or gives one name twice.
    """
    inputs = {name: name for name in task.inputs}
    for name, column in member.inputs.items():
        if name not in inputs:
            raise _refuse(
                f"the task {member.task.use!r} has no input {name!r}", name, inputs, source, (*path, "inputs", name)
            )
        inputs[name] = column
    types = read_model(task.output)
    for field, own in member.outputs.items():
        if own not in types:
            raise _refuse(
                f"the task {member.task.use!r} has no field {own!r}", own, types, source, (*path, "outputs", field)
            )
    renamed = set(member.outputs.values())
    sources = {own: own for own in types if own not in renamed}
    for field, own in member.outputs.items():
        if field in sources:
            raise RecipeError(
                f"the field {field!r} is there already",
                where=locate(source, (*path, "outputs", field)),
                hint=f"rename the task's own {field!r} as well, as in `other: {field}`",
            )
        sources[field] = own
    return Adapter(inputs, sources, {field: types[own] for field, own in sources.items()})


def _refuse(message: str, name: str, known: Mapping[str, Any], source: Source | None, path: KeyPath) -> RecipeError:
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]!r}?" if close else f"it has: {', '.join(known) or 'none'}"
    return RecipeError(message, where=locate(source, path), hint=hint)
