"""The JSON object in an answer: found where it stands, mended where it is nearly one, and never made up."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pool_standard.structured.reading import read_object

from pool_core.errors import ParseError

VALUE = {"a": 1, "b": ["x", None], "c": {"d": "{"}}
PLAIN = json.dumps(VALUE)


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        f"\n  {PLAIN}\n",
        f"```json\n{PLAIN}\n```",
        f"```\n{PLAIN}\n```",
        f"Here you are:\n\n```json\n{PLAIN}\n```\nAnything else?",
        f"Sure! {PLAIN} I hope it helps.",
        f"A set {{1, 2}} first. {PLAIN}",
        f"{{}} is empty, so: {PLAIN}",
        f'<think>Maybe {{"a": 2}}?</think>\n{PLAIN}',
    ],
)
def test_finds_the_object(text):
    assert read_object(text, repair=False) == VALUE


@pytest.mark.parametrize("said", ["</think>", "a </think> b", "```json\n{}\n```", "{}"])
def test_what_stands_in_a_string_of_the_object_is_no_part_of_the_form(said):
    assert read_object(json.dumps({"a": said}), repair=False) == {"a": said}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a': 1, 'b': 'x'}", {"a": 1, "b": "x"}),
        ('{"a": 1, "b": [1, 2,],}', {"a": 1, "b": [1, 2]}),
        ('{"a": 1 "b": 2}', {"a": 1, "b": 2}),
        ('{"a": True, "b": None}', {"a": True, "b": None}),
        ("{a: 1}", {"a": 1}),
        ('Well: {"a": 1, // one\n "b": 2}', {"a": 1, "b": 2}),
        ('```json\n{"a": 1,}\n```', {"a": 1}),
    ],
)
def test_mends_what_is_nearly_json(text, value):
    assert read_object(text) == value
    with pytest.raises(ParseError):
        read_object(text, repair=False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No.",
        "[1, 2]",
        "null",
        '"{}"',
        "{",
        "[" * 100_000,
        "{" * 10_000,
    ],
)
@pytest.mark.parametrize("repair", [True, False])
def test_says_so_where_there_is_none(text, repair):
    with pytest.raises(ParseError) as caught:
        read_object(text, repair=repair)
    assert caught.value.message == "the answer has no JSON object"
    assert caught.value.hint.startswith("`reask: {times: 2}` asks again")


@pytest.mark.parametrize("text", ['{"a":' * 100_000, '{"a": ' + "9" * 5000 + "}"])
def test_what_is_too_deep_or_too_long_is_not_read(text):
    with pytest.raises(ParseError):
        read_object(text, repair=False)


@pytest.mark.parametrize("text", ["{a," * 20_000, '{"' * 150_000, '{"a":' + '"x",' * 100_000, "{[" * 30 + '"a"'])
def test_what_would_take_long_to_mend_is_not_mended(text):
    with pytest.raises(ParseError):
        read_object(text)


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": Infinity}', '{"a": 1e999}'])
def test_takes_no_number_that_json_has_not(text):
    with pytest.raises(ParseError):
        read_object(text, repair=False)


@given(st.text() | st.text(alphabet='{}[]",:` \n\\truefalsn01'))
def test_any_text_gives_an_object_or_an_error(text):
    try:
        found = read_object(text)
    except ParseError:
        return
    assert isinstance(found, dict)
    json.dumps(found, allow_nan=False)


@given(st.dictionaries(st.text(), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists)))
def test_every_object_is_read_as_it_is(value):
    assert read_object(json.dumps(value)) == value
