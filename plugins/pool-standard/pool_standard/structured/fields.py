"""The output fields of a JSON Schema, as a pydantic model. Pure.

The types are those of the pool. What a schema says beyond them, bounds and patterns, is the validator's.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from functools import reduce
from operator import or_
from typing import Any, ClassVar, Literal, Optional

from pydantic import BaseModel, ConfigDict, create_model
from pydantic.errors import PydanticUserError

from pool_standard.structured.nodes import resolve

__all__ = ["make_model"]

_SCALARS: dict[Any, Any] = {"string": str, "integer": int, "number": float, "boolean": bool, "null": None}


class _Fields(BaseModel):
    """Base of the models that are made here. A pickle has the schema: no module has the class."""

    model_config = ConfigDict(protected_namespaces=())
    #: The schema, where it is that of a whole answer.
    _pool_schema: ClassVar[Mapping[str, Any] | None] = None

    def __reduce__(self) -> tuple[Any, ...]:
        if self._pool_schema is None:
            return super().__reduce__()  # type: ignore[return-value]
        return _restore, (self._pool_schema, self.model_dump())


def _restore(schema: Mapping[str, Any], values: dict[str, Any]) -> BaseModel:
    return make_model(schema).model_validate(values)


def make_model(schema: Mapping[str, Any]) -> type[BaseModel]:
    """A model whose fields are the properties of ``schema``; one that is not required is null where it is left out.

    Raises:
        ValueError: it describes no object with properties, or one has a name that no field can have.
    """
    root = resolve(schema, schema)
    if not isinstance(root, Mapping) or root.get("type", "object") != "object" or not root.get("properties"):
        raise ValueError("the schema has to describe an object with properties: they are the output fields")
    model = _make_object(str(root.get("title") or "Output"), root, schema, ())
    model._pool_schema = schema  # noqa: SLF001 - of a class that is made here
    return model


def _make_object(name: str, schema: Mapping[str, Any], root: Mapping[str, Any], path: tuple[str, ...]) -> type[_Fields]:
    required = schema.get("required") or ()
    fields: dict[str, Any] = {}
    for field, one in schema["properties"].items():
        if field.startswith("_"):
            raise ValueError(
                f"a property has a name that no output field can have: {field!r} begins with an underscore"
            )
        type_ = _read(one, root, path)
        fields[field] = (type_, ...) if field in required else (Optional[type_], None)  # noqa: UP045 - of a value
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a field named `copy` hides a method, which nobody calls here
            return create_model(name, __base__=_Fields, **fields)
    except (NameError, TypeError, ValueError, PydanticUserError) as error:
        raise ValueError(f"a property has a name that no output field can have: {str(error).splitlines()[0]}") from None


def _read(schema: Any, root: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """The type of the values of ``schema``; `Any` where it is not one of the pool's."""
    if not isinstance(schema, Mapping):
        return Any
    if "$ref" in schema:
        reference = str(schema["$ref"])
        return Any if reference in path else _read(resolve(schema, root), root, (*path, reference))
    if "const" in schema or "enum" in schema:
        return _read_values([schema["const"]] if "const" in schema else schema["enum"])
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return _unite(_read(choice, root, path) for choice in choices)
    if len(schema.get("allOf") or ()) == 1:
        return _read(schema["allOf"][0], root, path)
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return _unite(_read({**schema, "type": kind}, root, path) for kind in kinds)
    if kinds == "array":
        return list[_read(schema.get("items"), root, path)]  # type: ignore[misc]
    if kinds == "object":
        if schema.get("properties"):
            return _make_object(str(schema.get("title") or "Struct"), schema, root, path)
        return dict[str, _read(schema.get("additionalProperties"), root, path)]  # type: ignore[misc]
    return _SCALARS.get(kinds, Any)


def _read_values(values: Iterable[Any]) -> Any:
    texts = [value for value in values if isinstance(value, str)]
    others = [value for value in values if not isinstance(value, str)]
    types: list[Any] = [Literal[tuple(texts)]] if texts else []
    types += [
        None if value is None else type(value) if isinstance(value, bool | int | float) else Any for value in others
    ]
    return _unite(types) if types else Any


def _unite(types: Iterable[Any]) -> Any:
    found = list(types)
    if any(type_ is Any for type_ in found):
        return Any
    kinds = [type_ for type_ in found if type_ is not None]
    united = reduce(or_, kinds) if kinds else None
    return Optional[united] if len(kinds) < len(found) and united is not None else united  # noqa: UP045 - of a value
