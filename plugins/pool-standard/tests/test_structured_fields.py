"""The output fields of a JSON Schema: their types are those of the pool."""

from __future__ import annotations

import pickle

import pytest
from pool_standard.structured.fields import make_model

from pool_core.interfaces.model_types import read_model


def read(schema):
    return {name: str(type_) for name, type_ in read_model(make_model(schema)).items()}


def read_one(one, **more):
    return read({"type": "object", "properties": {"a": one}, "required": ["a"], **more})["a"]


@pytest.mark.parametrize(
    ("one", "type_"),
    [
        ({"type": "string"}, "str"),
        ({"type": "string", "format": "date"}, "str"),
        ({"type": "integer"}, "int"),
        ({"type": "number"}, "float"),
        ({"type": "boolean"}, "bool"),
        ({"type": "null"}, "null"),
        ({"type": ["string", "null"]}, "str?"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "int?"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "float"),
        ({"anyOf": [{"type": "integer"}, {}]}, "any"),
        ({"enum": ["x", "y"]}, "'x' | 'y'"),
        ({"enum": ["x", None]}, "'x'?"),
        ({"enum": [1, 2]}, "int"),
        ({"const": "x"}, "'x'"),
        ({"enum": [{"b": 1}]}, "any"),
        ({"type": "array", "items": {"type": "string"}}, "list[str]"),
        ({"type": "array"}, "list[any]"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "map[int]"),
        ({"type": "object"}, "map[any]"),
        ({"type": "object", "properties": {"b": {"type": "string"}}}, "{b: str?}"),
        ({"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"]}, "{b: str}"),
        ({"allOf": [{"type": "string"}]}, "str"),
        ({"allOf": [{"type": "string"}, {"minLength": 1}]}, "any"),
        ({}, "any"),
        (True, "any"),
        ({"$ref": "#/$defs/S"}, "str"),
        ({"$ref": "#/$defs/T"}, "{next: any}"),
        ({"$ref": "#/$defs/None"}, "any"),
    ],
)
def test_a_property_has_a_type(one, type_):
    tree = {"type": "object", "properties": {"next": {"$ref": "#/$defs/T"}}, "required": ["next"]}
    assert read_one(one, **{"$defs": {"S": {"type": "string"}, "T": tree}}) == type_


def test_what_is_not_required_may_be_null():
    assert read({"properties": {"a": {"type": "string"}, "b": {"type": "integer"}}, "required": ["b"]}) == {
        "a": "str?",
        "b": "int",
    }


def test_the_root_may_be_a_reference():
    assert read({"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "properties": {"b": {}}}}}) == {"b": "any"}


@pytest.mark.parametrize("name", ["copy", "json", "schema", "model_dump_x", "a-b", "class", "é"])
def test_a_field_may_be_called_as_it_likes(name):
    schema = {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]}
    assert read(schema) == {name: "str"}
    assert make_model(schema).model_validate({name: "x"}).model_dump(mode="json", warnings="error") == {name: "x"}


@pytest.mark.parametrize("name", ["_a", "model_config"])
def test_a_name_that_no_field_can_have_is_refused(name):
    with pytest.raises(ValueError, match="a property has a name that no output field can have"):
        make_model({"type": "object", "properties": {name: {"type": "string"}}})


@pytest.mark.parametrize(
    "schema", [{"type": "array"}, {"type": "object"}, {}, {"$ref": "#/$defs/A"}, {"type": "string"}]
)
def test_a_schema_without_properties_is_refused(schema):
    with pytest.raises(ValueError, match="the schema has to describe an object with properties"):
        make_model(schema)


def test_values_survive_pickling_though_no_module_has_their_class():
    schema = {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"type": "integer"}}}}}
    value = make_model(schema).model_validate({"a": {"b": 1}})
    assert pickle.loads(pickle.dumps(value)).model_dump() == {"a": {"b": 1}}
