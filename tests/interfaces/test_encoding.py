"""Plain values and answers survive being written as JSON, half characters included."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool_core.interfaces.encoding import decode_answer, decode_json, encode_answer, encode_document, encode_json
from pool_core.interfaces.values import Answer, Usage

#: Any text that JSON can carry, with halves of surrogate pairs that are not beside each other.
TEXT = st.lists(st.text(max_size=4) | st.sampled_from(("\ud83d!", "\ude00", "!\udfff!", "\x00", "\u2028"))).map("".join)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)


@given(PLAIN)
def test_a_plain_value_comes_back(value):
    assert decode_json(encode_json(value)) == value


@given(PLAIN)
def test_what_is_written_is_json_for_everybody(value):
    data = encode_json(value)
    assert json.loads(data) == value
    assert b"\n" not in data


@given(
    st.builds(
        Answer,
        text=st.none() | TEXT,
        finish_reason=st.none() | TEXT,
        usage=st.none() | st.builds(Usage, st.none() | st.integers(0, 10**9), st.none() | st.integers(0, 10**9)),
        model=st.none() | TEXT,
        refusal=st.none() | TEXT,
        reasoning=st.none() | TEXT,
        tool_calls=st.none() | st.lists(st.dictionaries(TEXT, PLAIN, max_size=2), max_size=2),
        extra=st.none() | st.dictionaries(TEXT, PLAIN, max_size=2),
    )
)
def test_an_answer_comes_back_complete(answer):
    assert decode_answer(encode_answer(answer)) == answer


@pytest.mark.parametrize("text", ["plain", "half \ud83d an emoji", "\ude00"])
def test_the_types_inside_an_answer_come_back(text):
    answer = decode_answer(encode_answer(Answer(text, usage=Usage(1, 2))))
    assert (type(answer), type(answer.usage)) == (Answer, Usage)
    assert answer == Answer(text, usage=Usage(1, 2))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("beside", ["x", "\ud83d"])
def test_what_json_has_no_number_for_becomes_null(value, beside):
    assert json.loads(encode_json({"a": [value, (value,)], "b": beside})) == {"a": [None, [None]], "b": beside}


@pytest.mark.parametrize("value", [object(), {"a": [object()]}, ["\ud83d", object()], {(1, 2): 1}, {None: 1}])
def test_what_is_no_plain_value_is_refused(value):
    with pytest.raises(TypeError):
        encode_json(value)


def test_equal_values_are_written_alike_with_or_without_half_characters():
    assert encode_json({"a": 1, "é": [1.5, True, None]}) == '{"a":1,"é":[1.5,true,null]}'.encode()
    assert encode_json({"a": "\ud83d", 1: True}) == b'{"a":"\\ud83d","1":true}'


def test_large_whole_numbers_are_kept():
    assert decode_json(encode_json([2**70, -(2**70), 2**63])) == [2**70, -(2**70), 2**63]


@pytest.mark.parametrize("data", [b"", b"{", b'"\\x"', b"nope"])
def test_what_is_no_json_is_refused(data):
    with pytest.raises(ValueError, match=r".+"):
        decode_json(data)


def test_a_document_is_indented_and_holds_the_text_of_what_is_no_plain_value():
    value = {"a": [1, math.nan], "b": "half \ud83d, é", "path": Path("x.jsonl"), "answer": Usage(1, None)}
    assert encode_document(value).decode("ascii") == (
        '{\n  "a": [\n    1,\n    null\n  ],\n  "b": "half \\ud83d, \\u00e9",\n  "path": "x.jsonl",\n'
        '  "answer": {\n    "input_tokens": 1,\n    "output_tokens": null\n  }\n}\n'
    )
