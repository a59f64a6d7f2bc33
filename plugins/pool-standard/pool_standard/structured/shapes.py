"""What an answer has to be: a JSON Schema, or a pydantic class."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NoReturn

from pydantic import BaseModel, ValidationError

from pool_core.errors import ParseError
from pool_core.interfaces.values import Cause
from pool_standard.structured.asking import drop_nulls, make_asked
from pool_standard.structured.fields import make_model

__all__ = ["ClassShape", "SchemaShape", "Shape"]

_LONGEST = 300
_DEEPEST_EXPLAINED = 10


class Shape(ABC):
    """What an answer has to be, what is asked so that it is, and how it is held against it."""

    def __init__(self, schema: Mapping[str, Any], output: type[BaseModel]) -> None:
        self._schema = schema
        #: What stands in the prompt, or constrains the answer.
        self.asked = make_asked(schema)
        #: The model of the output fields.
        self.output = output

    def read(self, value: dict[str, Any]) -> BaseModel:
        """The output fields of ``value``.

        Raises:
            ParseError: it does not satisfy the schema, with the cause ``schema``.
        """
        try:
            return self._validate(value)
        except ValueError as error:
            pruned = drop_nulls(value, self._schema, self._schema)
            if pruned == value:
                raise _refuse(str(error)) from None
        try:
            return self._validate(pruned)
        except ValueError as error:
            raise _refuse(str(error)) from None

    @abstractmethod
    def _validate(self, value: dict[str, Any]) -> BaseModel:
        """The output fields. Raises `ValueError`, whose text says what is wrong."""


def _refuse(text: str) -> ParseError:
    shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return ParseError(f"the answer does not satisfy the schema: {shown}", cause=Cause.SCHEMA)


class SchemaShape(Shape):
    """What a JSON Schema says.

    Raises:
        ValueError: it is no JSON Schema, refers to another file, or describes no object with properties.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        import jsonschema_rs  # noqa: PLC0415 - optional

        plain = json.loads(json.dumps(schema))
        super().__init__(plain, make_model(plain))
        try:
            self._validator = jsonschema_rs.validator_for(plain, validate_formats=True, retriever=_fetch_nothing)
        except (ValueError, jsonschema_rs.ReferencingError) as error:
            raise ValueError(f"it is no JSON Schema: {str(error).splitlines()[0]}") from None

    def _validate(self, value: dict[str, Any]) -> BaseModel:
        if not self._validator.is_valid(value):
            raise ValueError(self._explain(value))
        return self.output.model_validate(value)

    def _explain(self, value: dict[str, Any]) -> str:
        """What is wrong. Finding that out tries all choices, those within choices too: time with the power of depth."""
        if _is_deeper(value, _DEEPEST_EXPLAINED):
            return f"what is wrong with it is not looked for, since it is nested more than {_DEEPEST_EXPLAINED} deep"
        error = next(self._validator.iter_errors(value))
        place = ".".join(map(str, error.instance_path))
        return f"{place}: {error.message}" if place else error.message


def _is_deeper(value: Any, depth: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth < 0 or any(_is_deeper(one, depth - 1) for one in inner)


def _fetch_nothing(address: str) -> NoReturn:
    raise ValueError(f"it refers to {address}, and nothing is fetched")


class ClassShape(Shape):
    """What a pydantic class says. Values are read as JSON: a date is text, a set is a list."""

    def __init__(self, output: type[BaseModel]) -> None:
        super().__init__(output.model_json_schema(), output)

    def _validate(self, value: dict[str, Any]) -> BaseModel:
        try:
            return self.output.model_validate_json(json.dumps(value))
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from None
