"""The schema that is asked for: closed and complete, and an answer to it satisfies the given one."""

from __future__ import annotations

import json

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pool_standard.structured.asking import drop_nulls, make_asked

TEXT, NULL = {"type": "string"}, {"type": "null"}


def is_strict(schema):
    """Whether every object is closed and requires all of its properties."""
    if isinstance(schema, list):
        return all(map(is_strict, schema))
    if not isinstance(schema, dict):
        return True
    if "properties" in schema:
        closed = schema.get("additionalProperties") is False
        if not closed or list(schema["properties"]) != schema.get("required"):
            return False
    return all(map(is_strict, schema.values()))


def test_what_may_be_left_out_may_be_null():
    schema = {"type": "object", "properties": {"a": TEXT, "b": TEXT}, "required": ["a"]}
    assert make_asked(schema) == {
        "type": "object",
        "properties": {"a": TEXT, "b": {"anyOf": [TEXT, NULL]}},
        "required": ["a", "b"],
        "additionalProperties": False,
    }
    assert drop_nulls({"a": "x", "b": None}, schema, schema) == {"a": "x"}
    assert drop_nulls({"a": None, "b": "y"}, schema, schema) == {"a": None, "b": "y"}


@pytest.mark.parametrize(
    "one",
    [
        {"type": ["string", "null"]},
        {"anyOf": [TEXT, NULL]},
        {"oneOf": [TEXT, NULL]},
        {"enum": ["x", None]},
        {"const": None},
        {"$ref": "#/$defs/N"},
        NULL,
        {},
        True,
    ],
)
def test_what_may_be_null_already_stays_as_it_is(one):
    schema = {"type": "object", "properties": {"a": one}, "$defs": {"N": {"$ref": "#/$defs/M"}, "M": NULL}}
    assert make_asked(schema)["properties"]["a"] == one
    assert drop_nulls({"a": None}, schema, schema) == {"a": None}


def test_objects_inside_are_closed_too():
    inner = {"type": "object", "properties": {"x": TEXT}}
    schema = {
        "type": "object",
        "properties": {
            "list": {"type": "array", "items": inner},
            "one": {"$ref": "#/$defs/I"},
            "either": {"anyOf": [inner, TEXT]},
        },
        "required": ["list", "one", "either"],
        "$defs": {"I": inner},
    }
    asked = make_asked(schema)
    assert is_strict(asked)
    answer = {"list": [{"x": None}, {"x": "a"}], "one": {"x": None}, "either": {"x": None}}
    jsonschema_rs.validator_for(asked).validate(answer)
    assert drop_nulls(answer, schema, schema) == {"list": [{}, {"x": "a"}], "one": {}, "either": {}}


def test_an_object_that_requires_what_it_does_not_list_stays_open():
    schema = {"type": "object", "properties": {"a": TEXT}, "required": ["a", "x"]}
    assert make_asked(schema) == schema


def test_choices_within_choices_are_looked_at_once_a_level():
    """A recursive union has as many ways down as its choices to the power of the depth."""

    class Counted(dict):
        looks = 0

        def get(self, *key):
            Counted.looks += 1
            if Counted.looks > 10_000:
                pytest.fail("the looks grow with more than the depth")
            return super().get(*key)

    either = {"anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}]}
    made = {"type": "object", "properties": {"child": either, "note": TEXT}}
    root = {"$defs": {"A": Counted(made), "B": Counted(made)}, **either}
    value = expected = {}
    for _ in range(40):
        value, expected = {"child": value, "note": None}, {"child": expected}
    assert drop_nulls(value, root, root) == expected


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [{"type": "object", "properties": {"a": TEXT}}, {"type": "object", "properties": {"b": TEXT}}]},
        {"type": "object", "properties": {"a": TEXT}, "if": {"required": ["a"]}, "then": {"required": ["b"]}},
        {"type": "object", "properties": {"a": {"not": {"properties": {"b": TEXT}}}}},
        {"type": "object", "properties": {"a": TEXT}, "unevaluatedProperties": False},
        {"type": "object", "properties": {"a": {"$ref": "https://elsewhere.invalid/a.json"}}},
    ],
)
def test_a_schema_that_cannot_be_closed_alone_stays_as_it_is(schema):
    assert make_asked(schema) == schema


def test_maps_stay_open():
    schema = {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": TEXT}}}
    assert make_asked(schema)["additionalProperties"]["required"] == ["a"]
    assert "required" not in make_asked(schema)
    patterned = {"type": "object", "properties": {"a": TEXT}, "patternProperties": {"^x": TEXT}}
    assert make_asked(patterned) == patterned


def test_a_property_may_be_called_like_a_word_of_schemas():
    schema = {"type": "object", "properties": {"allOf": TEXT, "$ref": TEXT}, "required": ["allOf"]}
    assert make_asked(schema)["required"] == ["allOf", "$ref"]


def test_the_given_schema_is_not_changed():
    schema = {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": TEXT}}}}
    before = json.dumps(schema)
    make_asked(schema)
    assert json.dumps(schema) == before


LEAVES = st.sampled_from([TEXT, {"type": "integer"}, {"type": ["boolean", "null"]}, {"enum": ["x", "y"]}, NULL])


def make_objects(inner):
    names = st.sampled_from(["a", "b", "c"])
    properties = st.dictionaries(names, inner, max_size=3)
    return properties.flatmap(
        lambda found: st.fixed_dictionaries(
            {
                "type": st.just("object"),
                "properties": st.just(found),
                "required": st.lists(st.sampled_from(sorted(found)), unique=True) if found else st.just([]),
            }
        )
    )


SCHEMAS = make_objects(
    st.recursive(
        LEAVES,
        lambda inner: st.one_of(
            make_objects(inner),
            inner.map(lambda one: {"type": "array", "items": one}),
        ),
        max_leaves=6,
    )
)


def answer(schema, choose):
    """An answer that satisfies ``schema``, null wherever ``choose`` says so and it may be."""
    if "anyOf" in schema:
        return None if choose() else answer(schema["anyOf"][0], choose)
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema["type"]
    if isinstance(kind, list):
        return None if choose() else True
    if kind == "object":
        return {name: answer(one, choose) for name, one in schema["properties"].items()}
    if kind == "array":
        return [answer(schema["items"], choose), answer(schema["items"], choose)]
    return {"string": "s", "integer": 1, "null": None}[kind]


@given(SCHEMAS, st.data())
def test_every_answer_to_what_is_asked_satisfies_what_was_given(schema, data):
    asked = make_asked(schema)
    assert is_strict(asked)
    value = answer(asked, lambda: data.draw(st.booleans()))
    jsonschema_rs.validator_for(asked).validate(value)
    jsonschema_rs.validator_for(schema).validate(drop_nulls(value, schema, schema))
