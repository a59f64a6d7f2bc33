"""A schema in words, where it stands in a prompt; and whether an answer looks as if it was constrained."""

from __future__ import annotations

import json

import pytest

from pool_core.interfaces.structured import describe_schema, honours_schema, write_schema
from pool_core.interfaces.values import Message, Prompt

SCHEMA = {"type": "object", "properties": {"é": {"type": "integer"}}}
TOLD = (
    "Answer with one JSON object that satisfies this JSON Schema, and with nothing else:\n"
    '{"type":"object","properties":{"é":{"type":"integer"}}}'
)


def describe(*messages):
    found = describe_schema(Prompt(messages, schema=SCHEMA))
    assert found.schema is None
    return found.messages


def test_the_words_have_the_whole_schema():
    assert write_schema(SCHEMA) == TOLD
    assert json.loads(TOLD.partition("\n")[2]) == SCHEMA


def test_it_stands_in_the_first_user_message_which_stays_where_it_is():
    system, first, said, again = (
        Message("system", "S"),
        Message("user", "Q"),
        Message("assistant", "x"),
        Message("user", "A"),
    )
    told = Message("user", f"Q\n\n{TOLD}")
    assert describe(system, first) == (system, told)
    assert describe(system, first, said, again) == (system, told, said, again)


def test_parts_get_one_more():
    parts = [{"type": "image_url", "image_url": {"url": "https://h/a.png"}}]
    (message,) = describe(Message("user", parts))
    assert message.content == [*parts, {"type": "text", "text": TOLD}]


def test_without_a_user_message_there_is_one():
    assert describe(Message("system", "S")) == (Message("system", "S"), Message("user", TOLD))


def test_a_text_goes_on_with_it():
    assert describe_schema(Prompt(text="Once", schema=SCHEMA)) == Prompt(text=f"Once\n\n{TOLD}\n")


def test_a_prompt_without_a_schema_stays_as_it_is():
    prompt = Prompt.chat("Hi")
    assert describe_schema(prompt) is prompt


@pytest.mark.parametrize(
    ("text", "honoured"),
    [
        ('{"a": 1}', True),
        (' {"a": null, "b": 2}\n', True),
        ('{"b": 2}', False),
        ("[]", False),
        ('Sure! {"a": 1}', False),
        ('```json\n{"a": 1}\n```', False),
        ('{"a": ', False),
        ("", False),
        ("[" * 100_000, False),
        ('{"a": "\ud800"}', True),
    ],
)
def test_looks_at_an_answer_to_tell_whether_a_schema_was_heeded(text, honoured):
    assert honours_schema(text, {"type": "object", "required": ["a"]}) is honoured


def test_a_schema_that_requires_nothing_is_heeded_by_any_object():
    assert honours_schema("{}", {"$ref": "#/$defs/A"})
