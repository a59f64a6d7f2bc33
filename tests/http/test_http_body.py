"""Parameters of several sources become one body; what no server could take is refused before it is sent."""

from __future__ import annotations

import json
from types import MappingProxyType

import pytest

from pool_core.errors import BackendError
from pool_core.http.body import add_parameters, encode_body, refuse
from pool_core.interfaces.values import Cause


def test_parameters_follow_what_is_there_in_the_order_of_their_names():
    body = {"model": "m"}
    add_parameters(body, {"top_p": 0.5, "seed": None, "stop": [], "max_tokens": 0}, "sampling")
    add_parameters(body, {"a": False, "extra": ""}, "extra")
    assert list(body.items()) == [("model", "m"), ("max_tokens", 0), ("top_p", 0.5), ("a", False), ("extra", "")]


@pytest.mark.parametrize(
    ("more", "message", "hint"),
    [
        ({"n": 2}, "sampling cannot set n: each request is for one whole answer", "remove n"),
        ({"stream": False}, "sampling cannot set stream: each request is for one whole answer", "remove stream"),
        ({"model": "x"}, "model is set twice, the second time by sampling", "remove one of the two"),
        ({"top_p": float("nan")}, "top_p is nan, which JSON has no word for", "give a finite number"),
        ({"top_p": float("-inf")}, "top_p is -inf, which JSON has no word for", "give a finite number"),
    ],
)
def test_what_cannot_be_added_is_refused(more, message, hint):
    with pytest.raises(BackendError) as caught:
        add_parameters({"model": "m"}, more, "sampling")
    assert (caught.value.cause, caught.value.message, caught.value.hint) == (Cause.BAD_REQUEST, message, hint)


def test_read_only_values_and_any_sequence_are_plain_json():
    body = {"schema": MappingProxyType({"a": MappingProxyType({"b": (1, 2)}), "c": range(2)})}
    assert json.loads(encode_body(body)) == {"schema": {"a": {"b": [1, 2]}, "c": [0, 1]}}


@pytest.mark.parametrize(
    ("value", "message", "hint"),
    [
        (
            "half \ud800",
            "the prompt or a parameter holds half of a surrogate pair, which is no valid text",
            "clean that row's text",
        ),
        (
            object(),
            "the prompt or a parameter cannot be written as JSON: object is no JSON value",
            "use plain JSON values",
        ),
    ],
)
def test_what_is_no_json_is_refused(value, message, hint):
    with pytest.raises(BackendError) as caught:
        encode_body({"a": [value]})
    assert (caught.value.cause, caught.value.message, caught.value.hint) == (Cause.BAD_REQUEST, message, hint)


def test_what_is_nested_too_deeply_is_refused():
    value = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(BackendError, match="cannot be written as JSON"):
        encode_body({"a": value})
    while value:  # level by level: freeing it at once would be as deep
        value = value[0]


def test_a_refusal_is_final():
    with pytest.raises(BackendError) as caught:
        refuse("no", "do not")
    assert (caught.value.cause, caught.value.message, caught.value.hint) == (Cause.BAD_REQUEST, "no", "do not")
