"""Adapters: per member, the columns its task reads and the names its fields get in the pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel

from pool_core.errors import ParseError, RecipeError, TemplateError
from pool_core.interfaces.cast import can_cast, cast_value, find_non_finite, holds_floats
from pool_core.interfaces.frozen import freeze
from pool_core.interfaces.model_types import find_exact_types, read_model
from pool_core.interfaces.paths import InputPath
from pool_core.interfaces.task import Task
from pool_core.interfaces.type_text import parse_type
from pool_core.interfaces.types import FieldType, infer_type
from pool_core.interfaces.values import Cause, Row
from pool_core.recipe.locate import locate
from pool_core.recipe.models import Member
from pool_core.recipe.yaml_source import KeyPath, Source

__all__ = ["ADAPTERS", "Adapter", "adapt_member"]

#: The keys of a member that are adapters.
ADAPTERS = ("inputs", "outputs", "drop", "cast", "collect", "constant")


@dataclass(frozen=True, slots=True)
class Adapter:
    """The renames and conversions of one member: rows on the way in, fields on the way out. All of it is read-only."""

    #: The task's input: the column.
    inputs: Mapping[str, str]
    #: The task's input: the type that it has to have, where the task says one.
    input_types: Mapping[str, FieldType]
    #: The places inside inputs that prompts need, by the key of the task's configuration that says so.
    input_paths: Mapping[str, Sequence[InputPath]]
    #: The task's own fields and their types, before anything is done to them.
    fields: Mapping[str, FieldType]
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
    #: The pool's fields that hold floats, before their cast.
    floats: tuple[str, ...] = ()
    #: The types of the output's values where they are known exactly, see `find_exact_types`.
    exact_types: Mapping[str, type] | None = None

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
            ParseError: a value is missing, is a number that JSON does not have, or cannot be cast; the
                cause is ``schema``.
        """
        try:
            adapted = {name: values[source] for name, source in self.sources.items()}
        except KeyError:
            adapted = {name: self._take(values, source) for name, source in self.sources.items()}
        for name in self.floats:
            type_ = self.fields[self.sources[name]]
            if (path := find_non_finite(adapted[name], type_, name)) is not None:
                raise ParseError(
                    f"the field {path!r} is no finite number, and JSON has no other",
                    cause=Cause.SCHEMA,
                    hint="a field that may be null, as in `float | None`, is null then",
                )
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

    def _take(self, values: Mapping[str, Any], source: str) -> Any:
        """A field that may have been left out is null then; another one may not be missing."""
        if source not in values and not self.fields[source].nullable:
            raise ParseError(f"the task gave no field {source!r}, which its output declares", cause=Cause.SCHEMA)
        return values.get(source)


def adapt_member(member: Member, task: Task[Any], source: Source | None, path: KeyPath) -> Adapter:
    """Check the adapters of ``member`` against its task and put them together.

    Fields are dropped and renamed first, then cast, then collected; constants come last.

    Raises:
        RecipeError: an adapter names an input or field that is not there, gives one name twice, or
            asks for a cast that no value survives.
    """
    place = _Place(member, source, path)
    inputs = {name: name for name in _read_inputs(task, place)}
    for name, column in member.inputs.items():
        place.check_known(name, inputs, f"the task {member.task.use!r} has no input", ("inputs", name))
        inputs[name] = column
    types = _read_output(task, place)
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
    return Adapter(
        inputs=freeze(inputs),
        input_types=freeze(_read_input_types(task, place)),
        input_paths=freeze(_read_input_paths(task, place)),
        fields=freeze(types),
        sources=freeze(sources),
        outputs=freeze(outputs),
        casts=freeze(casts),
        collected=tuple(member.collect),
        constants=freeze(member.constant),
        floats=tuple(name for name, own in sources.items() if holds_floats(types[own])),
        exact_types=freeze(find_exact_types(task.output)),
    )


def _read_inputs(task: Task[Any], place: _Place) -> tuple[str, ...]:
    inputs = task.inputs
    if isinstance(inputs, tuple | list | AbstractSet) and all(isinstance(name, str) for name in inputs):
        return tuple(inputs)
    hint = f"a comma makes it one: ({inputs!r},)" if isinstance(inputs, str) else "report it to the task's authors"
    raise place.refuse(f"{place.task}: its inputs are {inputs!r} and not a tuple of names", ("task",), hint)


def _read_input_types(task: Task[Any], place: _Place) -> dict[str, FieldType]:
    types = task.input_types
    if isinstance(types, Mapping) and all(isinstance(type_, FieldType) for type_ in types.values()):
        return dict(types)
    hint = "report it to the task's authors"
    raise place.refuse(f"{place.task}: its input types are {types!r} and not FieldType by name", ("task",), hint)


def _read_input_paths(task: Task[Any], place: _Place) -> Mapping[str, Sequence[InputPath]]:
    paths = task.input_paths
    if isinstance(paths, Mapping) and all(map(_are_paths, paths.values())):
        return paths
    hint = "report it to the task's authors"
    raise place.refuse(f"{place.task}: its input paths are {paths!r} and not lists of InputPath", ("task",), hint)


def _are_paths(found: object) -> bool:
    return isinstance(found, tuple | list) and all(isinstance(path, InputPath) for path in found)


def _read_output(task: Task[Any], place: _Place) -> dict[str, FieldType]:
    model = task.output
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        hint = "it must be a class that derives from pydantic's BaseModel"
        raise place.refuse(f"{place.task}: its output is {model!r} and not a model", ("task",), hint)
    try:
        return read_model(model)
    except ValueError as error:
        hint = "the pool needs its fields by name: declare them, and use computed fields in place of a model serializer"
        raise place.refuse(f"{place.task}: its output {error}, not as named fields", ("task",), hint) from error


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

    @property
    def task(self) -> str:
        return f"the task {self.member.task.use!r}"

    def check_known(self, name: str, known: Mapping[str, Any], message: str, path: KeyPath) -> None:
        """Raise `RecipeError` where ``name`` is not among ``known``."""
        if name not in known:
            close = get_close_matches(name, known, n=1, cutoff=0.6)
            hint = f"did you mean {close[0]!r}?" if close else f"it has: {', '.join(known) or 'none'}"
            raise self.refuse(f"{message} {name!r}", path, hint)

    def refuse(self, message: str, path: KeyPath, hint: str) -> RecipeError:
        return RecipeError(message, where=locate(self.source, (*self.path, *path)), hint=hint)
