"""Schemas in the words that the API knows; what it does not know is said in words."""

from __future__ import annotations

import pytest
from pool_anthropic.schemas import can_constrain, simplify_schema


def test_bounds_and_patterns_become_words():
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "score": {"type": "integer", "minimum": 1, "maximum": 10, "description": "How good."},
            "when": {"type": "string", "format": "date"},
            "code": {"type": "string", "pattern": "^[a-z]+$", "format": "slug", "default": "x"},
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 5}, "minItems": 2},
        },
        "required": ["score"],
    }
    assert simplify_schema(schema) == {
        "type": "object",
        "properties": {
            "score": {"type": "integer", "description": "How good.\n\n{minimum: 1, maximum: 10}"},
            "when": {"type": "string", "format": "date"},
            "code": {"type": "string", "description": "{pattern: ^[a-z]+$, format: slug}"},
            "tags": {
                "type": "array",
                "items": {"type": "string", "description": "{maxLength: 5}"},
                "description": "{minItems: 2}",
            },
        },
        "required": ["score"],
        "additionalProperties": False,
    }


def test_definitions_and_choices_are_kept():
    schema = {
        "$defs": {"A": {"type": "object", "properties": {}}},
        "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"oneOf": [{"type": "null"}, {"enum": ["x"]}]}},
        "type": "object",
    }
    assert simplify_schema(schema) == {
        "$defs": {"A": {"type": "object", "properties": {}, "additionalProperties": False}},
        "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"anyOf": [{"type": "null"}, {"enum": ["x"]}]}},
        "type": "object",
        "additionalProperties": False,
    }


def test_the_given_schema_stays_as_it_is():
    schema = {"type": "object", "properties": {"a": {"type": "string", "minLength": 1}}}
    simplify_schema(schema)
    assert schema == {"type": "object", "properties": {"a": {"type": "string", "minLength": 1}}}


A = {"type": "object", "properties": {"a": {"type": "string"}}}


def test_definitions_are_looked_at_once_however_many_lead_to_them():
    """Each of 60 definitions holds the next one twice: two to the power of 60 ways."""
    chain = {
        f"D{n}": {"type": "object", "properties": {side: {"$ref": f"#/$defs/D{n + 1}"} for side in ("left", "right")}}
        for n in range(60)
    }
    schema = {"$defs": {**chain, "D60": A}, "type": "object", "properties": {"a": {"$ref": "#/$defs/D0"}}}
    assert can_constrain(schema)
    schema["$defs"]["D60"] = chain["D0"]
    assert not can_constrain(schema)


@pytest.mark.parametrize(
    ("schema", "able"),
    [
        (A, True),
        ({"type": "object", "properties": {}}, True),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": A}}, True),
        ({"type": "object", "properties": {"additionalProperties": {"type": "string"}}}, True),
        ({"type": "object", "properties": {"a": {"enum": [{"type": "object"}]}}}, True),
        ({"type": "object"}, False),
        ({"type": "object", "additionalProperties": {"type": "string"}}, False),
        ({"type": "object", "properties": {"a": {"type": "object"}}}, False),
        ({"type": "object", "properties": {"a": {"type": ["object", "null"]}}}, False),
        ({"allOf": [A, A]}, False),
        ({"anyOf": [A, {"type": "object", "patternProperties": {"^x": {}}}]}, False),
        ({"type": "object", "properties": {"a": {"$ref": "other.json"}}}, False),
        (
            {
                "$ref": "#/$defs/N",
                "$defs": {"N": {"type": "object", "properties": {"next": {"items": {"$ref": "#/$defs/N"}}}}},
            },
            False,
        ),
    ],
)
def test_knows_what_the_api_can_hold_an_answer_to(schema, able):
    assert can_constrain(schema) is able
