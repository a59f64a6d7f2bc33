"""The types of a model's fields as pydantic will write them.

They are read off the core schema, of which pydantic makes its serializer. Annotations do not tell of
computed and excluded fields, of serializers, or of fields beyond the declared ones. What cannot be
known is ``any``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from typing import Any, TypeAlias

from pydantic import BaseModel

from pool_core.interfaces.types import ANY, NULL, FieldType, infer_type, make_struct, merge_types

__all__ = ["find_exact_types", "read_model"]

#: A core schema or its configuration: plain data with a ``type``, see ``pydantic_core.core_schema``.
Schema: TypeAlias = Mapping[str, Any]

_STR = FieldType("str")
_SCALARS = {
    "none": NULL,
    "missing-sentinel": NULL,  # such a field is left out
    "bool": FieldType("bool"),
    "int": FieldType("int"),
    "float": FieldType("float"),
    **dict.fromkeys(("str", "bytes", "decimal", "uuid", "url", "multi-host-url"), _STR),
    **dict.fromkeys(("date", "time", "datetime", "timedelta"), _STR),
    **dict.fromkeys(("format", "to-string"), _STR),
}
#: Settings with which these are written as something else.
_SETTINGS: dict[str, tuple[str, ...]] = {
    "float": ("ser_json_inf_nan",),
    **dict.fromkeys(("date", "time", "datetime"), ("ser_json_temporal",)),
    "timedelta": ("ser_json_temporal", "ser_json_timedelta"),
}
#: Values of such settings that leave the type what it is.
_USUAL = (None, "iso8601", "null", "constants")
#: When serializers act that do not say it.
_WHEN_USED = dict.fromkeys(("format", "to-string"), "json-unless-none")
#: What stands around a schema and leaves what is written as it is.
_WRAPPERS = frozenset({"default", "function-before", "function-after", "function-wrap"})
#: Of two ways to read a value, the one that is surely taken of JSON.
_BRANCHES = {"json-or-python": "json_schema", "lax-or-strict": "strict_schema"}
#: Scalars whose values are written as they are, and the one type of these.
_EXACT: Mapping[str, type] = {"str": str, "int": int, "bool": bool}
_OBJECTS = frozenset({"model-fields", "dataclass-args", "typed-dict"})


def read_model(model: type[BaseModel]) -> dict[str, FieldType]:
    """The fields that ``model`` writes and their types, in order of declaration; computed ones come last.

    Raises:
        ValueError: it is not written as an object whose fields are known.
    """
    if not model.__pydantic_complete__:
        model.model_rebuild()
    schema = model.__pydantic_core_schema__
    fields = _Reader().read_named(schema)
    if fields is None:
        raise ValueError(f"{model.__name__} is written as {_Reader().read(schema, {})}")
    return fields


def find_exact_types(model: type[BaseModel]) -> dict[str, type] | None:
    """The types of the fields' values by name, where all are text, whole numbers or truth values.

    An instance whose values have just these types is written as it declares: pydantic need not look. None where a
    field may hold something else, or is written by code of its own, or fields beyond the declared ones have a type.
    """
    schema: Any = model.__pydantic_core_schema__
    if schema["type"] != "model" or "serialization" in schema:
        return None
    fields = schema["schema"]
    if fields["type"] != "model-fields" or "serialization" in fields or fields.get("computed_fields"):
        return None
    if "extras_schema" in fields:
        return None
    types = {name: _find_exact_type(field) for name, field in fields["fields"].items()}
    known = {name: type_ for name, type_ in types.items() if type_ is not None}
    return known if len(known) == len(types) else None


def _find_exact_type(field: Schema) -> type | None:
    if any(key.startswith("serialization_exclude") for key in field):
        return None
    schema = field["schema"]
    while schema["type"] in _WRAPPERS and "serialization" not in schema:
        schema = schema["schema"]
    return None if "serialization" in schema else _EXACT.get(schema["type"])


class _Reader:
    """Reads one core schema; knows the definitions that it has come by."""

    def __init__(self) -> None:
        self._definitions: dict[str, Schema] = {}
        #: References of the schemas that are being read: one that holds itself has no type of finite size.
        self._open: list[str] = []

    def read_named(self, schema: Schema) -> dict[str, FieldType] | None:
        """The fields of a model, whatever else it may hold; None where they cannot be known."""
        config: dict[str, Any] = {}
        while "serialization" not in schema:
            self._open.append(schema.get("ref", ""))
            config |= schema.get("config") or {}
            if schema["type"] in _OBJECTS:
                return self._read_fields(schema, config)
            if schema["type"] == "definitions":
                self._define(schema)
            elif schema["type"] == "definition-ref":
                schema = self._definitions[schema["schema_ref"]]
                continue
            elif schema["type"] not in _WRAPPERS and schema["type"] not in ("model", "dataclass"):
                return None
            schema = schema["schema"]
        type_ = self.read(schema, config)
        return dict(type_.fields) if type_.kind == "struct" else None

    def read(self, schema: Schema, config: Schema) -> FieldType:
        """The type that values of ``schema`` have when they are written."""
        written = schema.get("serialization")
        if written is None or written["type"].startswith("include-exclude"):
            return self._read_plain(schema, {**config, **(schema.get("config") or {})})
        if written["type"].startswith("function"):
            returned = written.get("return_schema")
            if returned is None:
                function = written["function"]
                if _hides(function):
                    return _STR
                return self._read_own(schema, config) if _is_pydantics(function) else ANY
            type_ = self.read(returned, config)
        else:
            type_ = self._read_plain(written, config)
        # A serializer may be left out for null, which is then written as it is.
        may_be_left = written.get("when_used", _WHEN_USED.get(written["type"], "always")).endswith("unless-none")
        return replace(type_, nullable=True) if may_be_left and self._read_plain(schema, config).nullable else type_

    def _read_own(self, schema: Schema, config: Schema) -> FieldType:
        """The type behind a serializer of pydantic's: it writes what is read of JSON."""
        while schema["type"] in _BRANCHES:
            schema = schema[_BRANCHES[schema["type"]]]
        return self._read_plain(schema, config)

    def _read_plain(self, schema: Schema, config: Schema) -> FieldType:
        """The type without a serializer of its own."""
        reference = schema.get("ref")
        if reference is None:
            return self._read_kind(schema, config)
        if reference in self._open:
            return ANY
        self._open.append(reference)
        try:
            return self._read_kind(schema, config)
        finally:
            self._open.pop()

    def _read_kind(self, schema: Schema, config: Schema) -> FieldType:
        kind = schema["type"]
        if kind in _SCALARS:
            unusual = any(config.get(name) not in _USUAL for name in _SETTINGS.get(kind, ()))
            return ANY if unusual else _SCALARS[kind]
        read = _READERS.get(kind)
        return ANY if read is None else read(self, schema, config)

    def _define(self, schema: Schema) -> None:
        self._definitions |= {definition["ref"]: definition for definition in schema["definitions"]}

    def read_definitions(self, schema: Schema, config: Schema) -> FieldType:
        """What is between a schema and the definitions that it refers to."""
        self._define(schema)
        return self.read(schema["schema"], config)

    def follow(self, schema: Schema, config: Schema) -> FieldType:
        """What a reference refers to."""
        found = self._definitions.get(schema["schema_ref"])
        return ANY if found is None else self.read(found, config)

    def read_part(self, schema: Schema, key: str, config: Schema) -> FieldType:
        """The type of the schema under ``key``, which may be left out."""
        return self.read(schema[key], config) if key in schema else ANY

    def read_all(self, schemas: Iterable[Schema], config: Schema) -> FieldType:
        """One type for several."""
        return merge_types(self.read(schema, config) for schema in schemas)

    def read_either(self, schema: Schema, config: Schema, ways: Sequence[str]) -> FieldType:
        """The type of a schema that depends on the way a value came."""
        one, other = (self.read(schema[way], config) for way in ways)
        return one if one == other else ANY

    def read_object(self, schema: Schema, config: Schema) -> FieldType:
        """A struct, or what a root model holds."""
        if schema.get("root_model"):
            return self.read(schema["schema"], config)
        inner = schema if schema["type"] == "typed-dict" else schema["schema"]
        while inner["type"] in _WRAPPERS:
            inner = inner["schema"]
        extra = inner.get("extra_behavior") or config.get("extra_fields_behavior")
        if inner["type"] not in _OBJECTS or extra == "allow" or config.get("polymorphic_serialization"):
            return ANY
        return make_struct(self._read_fields(inner, config))

    def _read_fields(self, schema: Schema, config: Schema) -> dict[str, FieldType]:
        found: dict[str, FieldType] = {}
        for name, field, inner in _list_fields(schema):
            type_ = self.read(inner, config)
            may_miss = field.get("serialization_exclude_if") is not None or field.get("required") is False
            found[name] = replace(type_, nullable=True) if may_miss else type_
        return found


def _list_fields(schema: Schema) -> Iterator[tuple[str, Schema, Schema]]:
    """The fields that are written: the name, the field, and the schema of its values."""
    fields = schema["fields"]
    named = fields.items() if isinstance(fields, Mapping) else ((field["name"], field) for field in fields)
    for name, field in named:
        if not field.get("serialization_exclude") and not field.get("init_only"):
            yield name, field, field["schema"]
    for field in schema.get("computed_fields") or ():
        yield field["property_name"], field, field["return_schema"]


def _is_pydantics(function: Any) -> bool:
    """Whether a serializer is that of a type of pydantic's; those of its own annotations write whatever there is."""
    module = str(getattr(function, "__module__", ""))
    return module.startswith("pydantic.") and module != "pydantic.functional_serializers"


def _hides(function: Any) -> bool:
    """Whether a serializer is that of pydantic's secrets: it writes asterisks, whatever is hidden."""
    return _is_pydantics(function) and getattr(function, "__name__", "").startswith("_serialize_secret")


def _list_choices(schema: Schema) -> Iterator[Schema]:
    choices = schema["choices"]
    for choice in choices.values() if isinstance(choices, Mapping) else choices:
        yield choice[0] if isinstance(choice, tuple) else choice


def _read_constant(value: Any) -> FieldType:
    plain = value.value if isinstance(value, Enum) else value
    if isinstance(plain, str):
        return FieldType("literal", values=(str(plain),))
    return infer_type(plain) if plain is None or isinstance(plain, bool | int | float) else ANY


#: How the schemas of each kind that is no scalar are read.
_READERS: dict[str, Callable[[_Reader, Schema, Schema], FieldType]] = {
    **dict.fromkeys(_WRAPPERS, lambda reader, schema, config: reader.read(schema["schema"], config)),
    **dict.fromkeys(
        ("list", "set", "frozenset", "generator", "deque"),
        lambda reader, schema, config: FieldType("list", items=reader.read_part(schema, "items_schema", config)),
    ),
    **dict.fromkeys(
        ("dict", "ordered-dict", "counter"),  # in JSON every key is text
        lambda reader, schema, config: FieldType("map", items=reader.read_part(schema, "values_schema", config)),
    ),
    **dict.fromkeys(("model", "dataclass", "typed-dict"), _Reader.read_object),
    **dict.fromkeys(
        ("union", "tagged-union"), lambda reader, schema, config: reader.read_all(_list_choices(schema), config)
    ),
    "tuple": lambda reader, schema, config: FieldType("list", items=reader.read_all(schema["items_schema"], config)),
    "nullable": lambda reader, schema, config: replace(reader.read(schema["schema"], config), nullable=True),
    "literal": lambda _reader, schema, _config: merge_types(map(_read_constant, schema["expected"])),
    "enum": lambda _reader, schema, _config: merge_types(map(_read_constant, schema["members"])),
    "json": lambda reader, schema, config: reader.read_part(schema, "schema", config),
    "chain": lambda reader, schema, config: reader.read(schema["steps"][-1], config),
    "json-or-python": lambda reader, schema, config: reader.read_either(
        schema, config, ("json_schema", "python_schema")
    ),
    "lax-or-strict": lambda reader, schema, config: reader.read_either(schema, config, ("lax_schema", "strict_schema")),
    "definitions": _Reader.read_definitions,
    "definition-ref": _Reader.follow,
}
