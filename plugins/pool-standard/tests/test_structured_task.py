"""The task ``structured-generation``: what it asks, what it reads, and what it refuses."""

from __future__ import annotations

import json
from datetime import date
from typing import Literal

import pytest
from pool_standard.structured.shapes import SchemaShape
from pool_standard.tasks.structured_generation import StructuredGeneration, StructuredGenerationConfig
from pydantic import BaseModel, Field, ValidationError

from pool_core.errors import ParseError
from pool_core.interfaces.model_types import read_model
from pool_core.interfaces.values import Answer, Cause, Message

SCHEMA = {
    "type": "object",
    "properties": {
        "thing": {"type": "string", "minLength": 2},
        "score": {"type": "integer", "minimum": 0, "maximum": 10},
        "note": {"type": "string"},
    },
    "required": ["thing", "score"],
}


class Review(BaseModel):
    """What a reviewer says."""

    verdict: Literal["good", "bad"]
    day: date
    tags: list[str] = Field(default_factory=list)


def make(**config):
    return StructuredGeneration(StructuredGenerationConfig(**config))


def parse(task, value):
    text = value if isinstance(value, str) else json.dumps(value)
    return task.parse(Answer(text), {}).model_dump(mode="json", warnings="error")


def refuse(task, value):
    with pytest.raises(ParseError) as caught:
        parse(task, value)
    return caught.value.cause, caught.value.message


def test_asks_with_the_schema_that_servers_can_hold_an_answer_to():
    task = make(json_schema=SCHEMA, system_prompt="Be fair.", template="Rate {{ text }}.")
    prompt = task.render({"text": "it"})
    assert prompt.messages == (Message("system", "Be fair."), Message("user", "Rate it."))
    assert prompt.schema["required"] == ["thing", "score", "note"]
    assert prompt.schema["additionalProperties"] is False
    assert prompt.schema["properties"]["score"] == SCHEMA["properties"]["score"]
    assert task.inputs == ("text",)
    assert {name: str(type_) for name, type_ in read_model(task.output).items()} == {
        "thing": "str",
        "score": "int",
        "note": "str?",
    }


def test_reads_what_satisfies_the_schema():
    task = make(json_schema=SCHEMA)
    assert parse(task, {"thing": "fox", "score": 6}) == {"thing": "fox", "score": 6, "note": None}
    assert parse(task, {"thing": "fox", "score": 6.0, "note": None}) == {"thing": "fox", "score": 6, "note": None}
    assert parse(task, {"thing": "fox", "score": 6, "more": 1}) == {"thing": "fox", "score": 6, "note": None}
    assert parse(task, "Sure: {'thing': 'fox', 'score': 6,}") == {"thing": "fox", "score": 6, "note": None}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"thing": "fox"}, 'the answer does not satisfy the schema: "score" is a required property'),
        (
            {"thing": "fox", "score": 11},
            "the answer does not satisfy the schema: score: 11 is greater than the maximum of 10",
        ),
        ({"thing": "fox", "score": "6"}, 'the answer does not satisfy the schema: score: "6" is not of type "integer"'),
        ({"thing": None, "score": 6}, 'the answer does not satisfy the schema: thing: null is not of type "string"'),
    ],
)
def test_says_what_does_not_satisfy_the_schema(value, message):
    assert refuse(make(json_schema=SCHEMA), value) == (Cause.SCHEMA, message)


def test_a_message_is_short():
    cause, message = refuse(make(json_schema=SCHEMA), {"thing": "fox", "score": "9" * 9999})
    assert cause is Cause.SCHEMA
    assert len(message) < 400


def test_what_is_wrong_is_not_looked_for_without_end():
    """In an answer to a recursive union, each choice is wrong for reasons that are choices again."""
    either = {"anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}]}
    a, b = ({"type": "object", "properties": {"k": {"const": k}, "c": either}, "required": ["k"]} for k in "ab")
    schema = {"type": "object", "properties": {"r": either}, "required": ["r"], "$defs": {"A": a, "B": b}}
    value = {"k": "z"}
    for n in range(40):
        value = {"k": "ab"[n % 2], "c": value}
    text = "the answer does not satisfy the schema: what is wrong with it is not looked for, since it is nested more"
    assert refuse(make(json_schema=schema), {"r": value}) == (Cause.SCHEMA, f"{text} than 10 deep")
    assert "is not valid under any" in refuse(make(json_schema=schema), {"r": {"k": "z"}})[1]
    assert parse(make(json_schema=schema), {"r": {"k": "a"}}) == {"r": {"k": "a", "c": None}}


def test_half_a_letter_does_not_cost_the_cell():
    found = parse(make(json_schema=SCHEMA), '{"thing": "a\\ud800", "score": 1}')
    assert found == {"thing": "a\ud800", "score": 1, "note": None}


def test_no_object_is_another_cause():
    assert refuse(make(json_schema=SCHEMA), "I cannot.") == (Cause.PARSE, "the answer has no JSON object")
    assert refuse(make(json_schema=SCHEMA, repair=False), "{'thing': 'fox', 'score': 6}")[0] is Cause.PARSE


def test_a_class_says_what_an_answer_is():
    task = make(output_class=Review)
    assert task.output is Review
    asked = task.render({"instruction": "Go."}).schema
    assert asked["required"] == ["verdict", "day", "tags"]
    assert parse(task, {"verdict": "good", "day": "2026-11-25", "tags": None}) == {
        "verdict": "good",
        "day": "2026-11-25",
        "tags": [],
    }
    assert refuse(task, {"verdict": "fine", "day": "2026-11-25"}) == (
        Cause.SCHEMA,
        "the answer does not satisfy the schema: verdict: Input should be 'good' or 'bad'",
    )


def test_a_file_is_read_once_and_is_part_of_the_configuration(tmp_path):
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(SCHEMA))
    task = StructuredGeneration(
        StructuredGenerationConfig.model_validate({"json_schema": "schema.json"}, context={"folder": tmp_path})
    )
    path.unlink()
    assert task.config.json_schema == SCHEMA
    assert task.fingerprint == json.dumps(SCHEMA)
    assert make(output_class=Review).fingerprint is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read the schema .*: No such file or directory"),
        ("{", "the schema .* is no JSON"),
        ("x" * (1024 * 1024 + 1), "the schema .* has more than 1048576 bytes"),
    ],
)
def test_a_file_that_is_no_schema_is_refused(tmp_path, content, message):
    path = tmp_path / "schema.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValidationError, match=message):
        StructuredGenerationConfig(json_schema=path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "give `json_schema` or `output_class`, one of the two"),
        ({"json_schema": SCHEMA, "output_class": Review}, "give `json_schema` or `output_class`, one of the two"),
        ({"output_class": "os:system"}, "only a recipe names a class by text; give the class itself"),
        ({"output_class": int}, "should be a subclass of BaseModel"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(config, message):
    with pytest.raises(ValidationError, match=message):
        StructuredGenerationConfig(**config)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "object", "properties": {"a": {"type": "text"}}}, "it is no JSON Schema: "),
        ({"type": "object", "properties": {"a": {"pattern": "("}}}, "it is no JSON Schema: "),
        ({"type": "object", "properties": {"a": {"$ref": "https://elsewhere.invalid/a"}}}, "nothing is fetched"),
        ({"type": "object", "properties": {"a": {"$ref": "file:///etc/passwd"}}}, "nothing is fetched"),
        ({"type": "array"}, "the schema has to describe an object with properties"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(schema, message):
    with pytest.raises(ValueError, match=message):
        SchemaShape(schema)
