"""Made-up values satisfy their schema: pydantic, which wrote the schema, is the judge."""

from __future__ import annotations

import datetime as dt
import enum
import json
import uuid
from random import Random
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pool_replay.made_up import make_code, make_text, make_value
from pydantic import BaseModel, Field, TypeAdapter, create_model

from pool_core.errors import BackendError
from pool_core.interfaces.values import Cause


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Tree(BaseModel):
    name: str
    parent: Tree | None
    branches: list[Tree]


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: Annotated[int, Field(ge=1, le=9)]


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: dict[str, bool]


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]

scalars = st.sampled_from(
    [
        str,
        int,
        float,
        bool,
        None,
        Colour,
        Literal["a", "b", 3] | None,
        Literal["only"],
        Annotated[int, Field(ge=-5, le=-3)],
        Annotated[int, Field(gt=3, lt=5)],
        Annotated[int, Field(gt=-(10**6))],
        Annotated[int, Field(lt=2**80, gt=2**79)],
        Annotated[float, Field(gt=0, lt=0.0001)],
        Annotated[float, Field(ge=1.5, le=1.5)],
        Annotated[float, Field(le=-1000)],
        Annotated[float, Field(ge=-1e308, le=1e308)],
        Annotated[str, Field(min_length=3, max_length=3)],
        Annotated[str, Field(min_length=500)],
        Annotated[str, Field(max_length=0)],
        dt.date,
        dt.datetime,
        dt.time,
        uuid.UUID,
        Pet,
        Tree,
        Any,
    ]
)
annotations = st.recursive(
    scalars,
    lambda inner: st.one_of(
        inner.map(lambda one: list[one]),
        inner.map(lambda one: Annotated[list[one], Field(min_length=2, max_length=4)]),
        inner.map(lambda one: dict[str, one]),
        inner.map(lambda one: one | None if one is not None else None),
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1] if pair[0] is not None else pair[1]),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda kinds: create_model("Made", **{f"field_{n}": (kind, ...) for n, kind in enumerate(kinds)})
        ),
    ),
    max_leaves=5,
)


@given(annotations, st.integers(0, 2**32))
def test_value_satisfies_the_schema(annotation, seed):
    adapter = TypeAdapter(annotation)
    value = make_value(adapter.json_schema(), Random(seed))
    adapter.validate_json(json.dumps(value))


def test_recursive_schema_ends_at_once_and_also_goes_deeper():
    sizes = {len(json.dumps(make_value(Tree.model_json_schema(), Random(seed)))) for seed in range(200)}
    assert max(sizes) < 20_000
    assert len(sizes) > 20


def test_optional_properties_are_given_too_and_required_ones_without_a_schema():
    schema = {"properties": {"a": {"type": "null"}}, "required": ["b"]}
    value = make_value(schema, Random(0))
    assert value.keys() == {"a", "b"}
    assert isinstance(value["b"], str)


@pytest.mark.parametrize(
    ("schema", "allowed"),
    [
        ({"enum": ["a", 1, True, None], "type": "string"}, ["a"]),
        ({"enum": ["a", 1, True, None], "type": ["integer", "null"]}, [1, None]),
        ({"enum": ["a", 1, True], "type": "boolean"}, [True]),
        ({"const": {"x": [1]}}, [{"x": [1]}]),
        ({"type": ["null"]}, [None]),
        ({"oneOf": [{"const": 1}, {"const": 2}]}, [1, 2]),
        ({"allOf": [{"const": 1}], "description": "d"}, [1]),
        ({"$ref": "#/$defs/a~1b%25", "$defs": {"a/b%": {"const": 3}}}, [3]),
        ({"type": "array", "items": {"const": 0}, "maxItems": 0}, [[]]),
        ({"type": "array", "items": {"const": 0}, "minItems": 3, "maxItems": 3}, [[0, 0, 0]]),
        ({"type": "integer", "minimum": 0.5, "maximum": 1.5}, [1]),
        ({"type": "integer", "maximum": 3, "exclusiveMaximum": 1, "minimum": 0}, [0]),
        ({"type": "integer", "minimum": 3, "exclusiveMinimum": 1, "maximum": 3}, [3]),
        ({"type": "null", "minimum": 3, "minLength": 2}, [None]),
    ],
)
def test_all_allowed_values_and_no_others_come_up(schema, allowed):
    found = [make_value(schema, Random(seed)) for seed in range(60)]
    assert {json.dumps(value) for value in found} == {json.dumps(value) for value in allowed}


@pytest.mark.parametrize(
    ("schema", "message", "place"),
    [
        ({"type": "string", "pattern": "a+"}, "the keyword 'pattern' is not supported here", "$"),
        ({"properties": {"a": {"not": {}}}}, "the keyword 'not' is not supported here", "$.a"),
        ({"$ref": "#", "minimum": 3}, "the keyword 'minimum' is not supported here", "$"),
        ({"type": "string", "format": "ipv6"}, "the format 'ipv6' is not supported", "$"),
        ({"type": "string", "format": "date", "maxLength": 3}, "no text of this length has the format 'date'", "$"),
        ({"type": "word"}, "the type 'word' is not known", "$"),
        ({"properties": {"a": {"$ref": "#/$defs/none"}}}, "there is no '#/$defs/none' in the schema itself", "$.a"),
        ({"$ref": "https://example.com/schema"}, "there is no 'https://example.com/schema' in the schema itself", "$"),
        ({"$ref": "#"}, "the schema needs itself without end", "$"),
        ({"allOf": [{}, {}]}, "an `allOf` of several schemas is not supported", "$"),
        ({"enum": [1], "type": "string"}, "no value satisfies this `enum`", "$"),
        ({"anyOf": []}, "no value satisfies this `anyOf`", "$"),
        ({"required": ["a"], "properties": {}, "additionalProperties": False}, "no value satisfies False", "$.a"),
        ({"items": False, "minItems": 1}, "no value satisfies False", "$[]"),
        ({"type": "array", "minItems": 2, "maxItems": 1}, "`minItems` is greater than `maxItems`", "$"),
        ({"type": "string", "minLength": 2, "maxLength": 1}, "`minLength` is greater than `maxLength`", "$"),
        ({"type": "integer", "minimum": 0.1, "maximum": 0.9}, "no integer lies within these bounds", "$"),
        ({"type": "number", "exclusiveMinimum": 1, "maximum": 1}, "no number lies within these bounds", "$"),
        ({"type": "number", "minimum": 2, "maximum": 1}, "no number lies within these bounds", "$"),
        ({"type": "number", "exclusiveMinimum": True}, "`exclusiveMinimum` is not a number", "$"),
    ],
)
def test_what_cannot_be_made_is_an_error_with_its_place(schema, message, place):
    with pytest.raises(BackendError) as caught:
        make_value(schema, Random(0))
    assert caught.value.message == message
    assert caught.value.where == f"schema at {place}"
    assert caught.value.hint == "Simplify the task's schema, or use another backend than `simulate` for it."
    assert caught.value.cause is Cause.BAD_REQUEST


@given(st.integers(0, 2**64), st.integers(1, 200))
def test_text_has_as_many_words_as_asked(seed, words):
    text = make_text(Random(seed), words)
    assert len(text.split()) == words
    assert text[0].isupper()
    assert text.endswith(".")


def test_code_defines_a_function():
    code = make_code(Random(0)).removeprefix("```python\n").removesuffix("```")
    assert code.startswith("def do_")
    compile(code, "code", "exec")
