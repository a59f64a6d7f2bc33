"""Prompts become exact bytes, and hostile replies become answers or errors, never anything else."""

from __future__ import annotations

import json
from types import MappingProxyType

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pool_openai.config import OpenAIConfig
from pool_openai.finish_reasons import FINISH_REASONS
from pool_openai.wire import decode_reply, encode_request

from pool_core.errors import BackendError
from pool_core.http.failures import Failures
from pool_core.interfaces.values import Answer, Cause, Message, Prompt, Usage

CHAT = OpenAIConfig(model="m", base_url="http://h/v1")
TEXT = OpenAIConfig(model="m", base_url="http://h/v1", api="completions")
CLOSED = {
    "type": "object",
    "properties": {"b": {"type": "string"}, "a": {"$ref": "#/$defs/A"}},
    "required": ["b", "a"],
    "additionalProperties": False,
    "$defs": {"A": {"type": "object", "properties": {}, "additionalProperties": False}},
}


def encode(prompt, sampling=None, config=CHAT):
    return json.loads(encode_request(config, prompt, sampling or {}))


def refuse(prompt=None, sampling=None, config=CHAT):
    """Encode what cannot be sent, and return the error."""
    with pytest.raises(BackendError) as caught:
        encode_request(config, prompt or Prompt.chat("Hi"), sampling or {})
    assert caught.value.cause is Cause.BAD_REQUEST
    return caught.value


def decode(reply, api="chat", config=CHAT):
    body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
    return decode_reply(body, api, Failures(config))


def decode_message(**message):
    return decode({"choices": [{"message": message, "finish_reason": "stop"}]})


def fail(reply, api="chat"):
    with pytest.raises(BackendError) as caught:
        decode(reply, api)
    assert caught.value.where == "POST http://h/v1/chat/completions"
    return caught.value


# --- requests


def test_a_chat_request_byte_by_byte():
    prompt = Prompt.chat("Hé", system="S")
    sampling = {"temperature": 0.5, "max_tokens": 9, "extra": {"top_k": 3}, "stop": ["\n"], "seed": 0, "top_p": None}
    assert encode_request(CHAT, prompt, sampling).decode() == (
        '{"model":"m","messages":[{"role":"system","content":"S"},{"role":"user","content":"Hé"}],'
        '"max_tokens":9,"seed":0,"stop":["\\n"],"temperature":0.5,"top_k":3}'
    )


def test_a_text_request_byte_by_byte():
    config = TEXT.model_copy(update={"extra": {"z": {"b": 1, "a": 2}, "min_p": 0.1}})
    body = encode_request(config, Prompt(text="Once"), {"temperature": 1, "stop": []})
    assert body == b'{"model":"m","prompt":"Once","temperature":1,"min_p":0.1,"z":{"b":1,"a":2}}'


@given(st.permutations([("temperature", 0.1), ("max_tokens", 5), ("seed", 3), ("extra", {"top_k": 1})]))
def test_the_order_of_parameters_changes_nothing(items):
    expected = encode_request(
        CHAT, Prompt.chat("Hi"), {"temperature": 0.1, "max_tokens": 5, "seed": 3, "extra": {"top_k": 1}}
    )
    assert encode_request(CHAT, Prompt.chat("Hi"), dict(items)) == expected


def test_parts_and_read_only_values_are_sent_as_they_are():
    parts = (MappingProxyType({"type": "text", "text": "Hi"}),)
    body = encode(Prompt((Message("user", parts),)), MappingProxyType({"extra": MappingProxyType({"a": range(2)})}))
    assert body["messages"][0]["content"] == [{"type": "text", "text": "Hi"}]
    assert body["a"] == [0, 1]


def test_a_schema_becomes_a_response_format_in_its_own_order():
    body = encode_request(CHAT, Prompt((Message("user", "Hi"),), schema=CLOSED), {})
    sent = json.loads(body)["response_format"]
    assert sent == {"type": "json_schema", "json_schema": {"name": "output", "schema": CLOSED, "strict": True}}
    assert list(sent["json_schema"]["schema"]["properties"]) == ["b", "a"]
    assert b"response_format" not in encode_request(TEXT, Prompt(text="Hi", schema=CLOSED), {})


@pytest.mark.parametrize(
    "schema",
    [
        CLOSED | {"additionalProperties": True},
        CLOSED | {"required": ["a"]},
        CLOSED | {"required": None},
        CLOSED | {"$defs": {"A": {"type": "object"}}},
        {"type": "array", "items": {"type": "object"}},
        {"anyOf": [CLOSED, {"type": "object", "additionalProperties": {}}]},
        {"anyOf": [CLOSED, CLOSED]},
        {"$ref": "#/$defs/A", "$defs": {"A": CLOSED}},
        CLOSED | {"$defs": {"A": {"type": "string", "minLength": 1}}},
        CLOSED | {"$defs": {"A": {"type": "string", "format": "slug"}}},
        CLOSED | {"$defs": {"A": {"allOf": [{"type": "string"}]}}},
        CLOSED | {"$defs": {"A": True}},
        CLOSED | {"$defs": {"A": {"title": "A"}}},
        CLOSED | {"$defs": {"A": {"type": "array"}}},
        CLOSED | {"$defs": {"A": {"enum": ["x", 1]}}},
        CLOSED | {"$defs": {"A": {"enum": ["x", None]}}},
    ],
)
def test_a_schema_that_strict_mode_has_no_form_for_is_sent_as_it_is(schema):
    sent = encode(Prompt((Message("user", "Hi"),), schema=schema))["response_format"]["json_schema"]
    assert sent == {"name": "output", "schema": schema, "strict": False}


@pytest.mark.parametrize(
    ("listed", "kind"),
    [
        ({"enum": ["x", "y"]}, "string"),
        ({"const": 3}, "integer"),
        ({"enum": [True]}, "boolean"),
        ({"const": 0.5}, "number"),
    ],
)
def test_strict_mode_is_told_the_type_of_values_that_are_listed(listed, kind):
    """Else it refuses: "schema must have a 'type' key"."""
    schema = CLOSED | {"$defs": {"A": listed}}
    sent = encode(Prompt((Message("user", "Hi"),), schema=schema))["response_format"]["json_schema"]
    assert sent == {"name": "output", "schema": CLOSED | {"$defs": {"A": listed | {"type": kind}}}, "strict": True}


def test_strict_mode_gets_no_words_that_it_does_not_know_and_that_say_nothing():
    silent = {"$schema": "https://json-schema.org/draft/2020-12/schema", "examples": [{}]}
    schema = CLOSED | silent | {"$defs": {"A": {"type": "string", "default": "x", "pattern": "^a"}}}
    sent = encode(Prompt((Message("user", "Hi"),), schema=schema))["response_format"]["json_schema"]
    known = CLOSED | {"$defs": {"A": {"type": "string", "pattern": "^a"}}}
    assert sent == {"name": "output", "schema": known, "strict": True}


def test_a_schema_that_the_server_is_not_to_see_is_not_sent():
    config = OpenAIConfig(model="m", base_url="http://h/v1", json_schema=False)
    assert "response_format" not in encode(Prompt((Message("user", "Hi"),), schema=CLOSED), config=config)


def test_refuses_the_other_kind_of_prompt():
    error = refuse(Prompt(text="Hi"))
    assert error.message == "the prompt is one text, and api: chat takes messages"
    assert error.hint == "remove prompt_format, or set api: completions"
    error = refuse(config=TEXT)
    assert error.message == "the prompt is messages, and api: completions takes one text"
    assert error.hint == "set prompt_format, or set api: chat"


@pytest.mark.parametrize(
    ("prompt", "sampling"),
    [(Prompt.chat("a\ud800"), {}), (Prompt.chat("a", system="\udfff"), {}), (Prompt.chat("a"), {"stop": ["\ud800"]})],
)
def test_refuses_halves_of_surrogate_pairs(prompt, sampling):
    error = refuse(prompt, sampling)
    assert error.message == "the prompt or a parameter holds half of a surrogate pair, which is no valid text"
    assert error.hint == "clean that row's text"


@pytest.mark.parametrize(
    ("sampling", "extra", "message"),
    [
        (
            {"extra": {"temperature": 1}, "temperature": 1},
            {},
            "temperature is set twice, the second time by extra of sampling",
        ),
        ({"temperature": 1}, {"temperature": 1}, "temperature is set twice, the second time by extra"),
        ({"extra": {"top_k": 1}}, {"top_k": 1}, "top_k is set twice, the second time by extra"),
        ({"model": "x"}, {}, "model is set twice, the second time by sampling"),
        ({"messages": [1]}, {}, "messages is set twice, the second time by sampling"),
        ({"n": 2}, {}, "sampling cannot set n: each request is for one whole answer"),
        ({"extra": {"stream": True}}, {}, "extra of sampling cannot set stream: each request is for one whole answer"),
        ({"temperature": float("nan")}, {}, "temperature is nan, which JSON has no word for"),
        ({"temperature": float("inf")}, {}, "temperature is inf, which JSON has no word for"),
        ({"temperature": object()}, {}, "the prompt or a parameter cannot be written as JSON: object is no JSON value"),
    ],
)
def test_refuses_parameters(sampling, extra, message):
    error = refuse(sampling=sampling, config=CHAT.model_copy(update={"extra": extra}))
    assert error.message.startswith(message)
    assert error.hint


def test_a_schema_and_a_response_format_clash():
    error = refuse(Prompt((Message("user", "Hi"),), schema={}), {"response_format": {"type": "json_object"}})
    assert error.message == "response_format is set twice, the second time by the task's schema"


# --- replies


def test_a_full_chat_reply():
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    reply = {
        "id": "r",
        "model": "m-1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hé", "reasoning_content": "hm", "tool_calls": [call]},
                "finish_reason": "stop",
                "logprobs": {"content": [{"token": "H", "logprob": -0.5}]},
                "new_field": 1,
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 0, "details": {}},
        "service_tier": [1],
    }
    assert decode(reply) == Answer(
        text="Hé",
        finish_reason="stop",
        usage=Usage(3, 0),
        model="m-1",
        reasoning="hm",
        tool_calls=[call],
        extra={"id": "r", "logprobs": {"content": [{"token": "H", "logprob": -0.5}]}},
    )


def test_a_text_reply():
    reply = {"choices": [{"text": "there was", "finish_reason": "length"}], "usage": None}
    assert decode(reply, "completions") == Answer(text="there was", finish_reason="length")


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ({"content": ""}, Answer(text="")),
        ({"content": None}, Answer(text=None)),
        ({}, Answer(text=None)),
        ({"content": None, "refusal": "No."}, Answer(text=None, refusal="No.")),
        ({"content": "a", "reasoning": "b"}, Answer(text="a", reasoning="b")),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, Answer(text="ab")),
        ({"content": [{"type": "image"}, 3, {"text": 4}]}, Answer(text=None)),
        ({"content": {"a": 1}, "refusal": "No."}, Answer(text=None, refusal="No.")),
        ({"content": "a", "tool_calls": []}, Answer(text="a")),
        ({"content": "a", "tool_calls": [1, {"id": "c"}]}, Answer(text="a", tool_calls=[{"id": "c"}])),
        ({"content": "a", "refusal": 5, "reasoning": {}, "tool_calls": "x"}, Answer(text="a")),
    ],
)
def test_what_a_message_can_hold(message, answer):
    given = decode_message(**message)
    assert (given.text, given.refusal, given.reasoning, given.tool_calls) == (
        answer.text,
        answer.refusal,
        answer.reasoning,
        answer.tool_calls,
    )
    assert given.finish_reason == "stop"


@pytest.mark.parametrize(
    ("indices", "text"),
    [([0, 1], "0"), ([1, 0], "1"), ([0, 0], "0"), ([2, 1, 1], "1"), ([None, 1], "0"), ([1, "0"], "1")],
)
def test_of_several_choices_the_first_of_the_lowest_index_is_taken(indices, text):
    choices = [{"index": index, "message": {"content": str(place)}} for place, index in enumerate(indices)]
    answer = decode({"choices": choices})
    assert (answer.text, answer.extra) == (text, {"choices": len(indices)})


EACH_REASON = {
    "stop": "stop eos eos_token end_turn stop_sequence STOP",
    "length": "length max_tokens model_length MAX_TOKENS",
    "content_filter": "content_filter safety prohibited_content",
    "tool_calls": "tool_calls function_call",
    "new_reason": "new_reason",
    "Odd": "Odd",
}


@pytest.mark.parametrize(
    ("ours", "theirs"), [(ours, one) for ours, all_ in EACH_REASON.items() for one in all_.split()]
)
def test_why_a_model_stopped_has_one_word(ours, theirs):
    assert decode({"choices": [{"message": {"content": "a"}, "finish_reason": theirs}]}).finish_reason == ours


def test_every_known_reason_is_tested():
    assert FINISH_REASONS.keys() <= set(" ".join(EACH_REASON.values()).split())


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 1, "completion_tokens": 2}, Usage(1, 2)),
        ({"prompt_tokens": -1, "completion_tokens": 2}, Usage(None, 2)),
        ({"prompt_tokens": 1.5, "completion_tokens": "2"}, None),
        ({"prompt_tokens": True, "completion_tokens": None}, None),
        ({}, None),
        ([], None),
        ("many", None),
    ],
)
def test_usage_counts_or_is_none(usage, expected):
    answer = decode({"choices": [{"message": {"content": "a"}}], "usage": usage})
    assert (answer.text, answer.usage) == ("a", expected)


def test_a_huge_number_is_no_count():
    answer = decode(b'{"choices":[{"message":{"content":7}}],"usage":{"prompt_tokens":1e400,"completion_tokens":1}}')
    assert (answer.text, answer.usage) == (None, Usage(None, 1))


@pytest.mark.parametrize("number", [b"NaN", b"-Infinity", b"Infinity", b"1e400", b"9" * 5000, b"-" + b"9" * 5000])
def test_a_number_that_cannot_be_kept_costs_no_answer(number):
    body = b'{"choices":[{"message":{"content":"a"},"logprobs":%b}],"usage":{"prompt_tokens":%b,"completion_tokens":1}}'
    answer = decode(body % (number, number))
    assert (answer.text, answer.usage, answer.extra) == ("a", Usage(None, 1), None)


def test_half_a_surrogate_pair_loses_no_answer():
    assert decode(b'{"choices":[{"message":{"content":"a\\ud800b"}}]}').text == "a\ud800b"
    assert decode(b'{"choices":[{"message":{"content":"\\ud83d\\ude00"}}]}').text == "\U0001f600"


def test_a_byte_order_mark_loses_no_answer():
    assert decode(b'\xef\xbb\xbf{"choices":[{"message":{"content":"a"}}]}').text == "a"


@pytest.mark.parametrize(
    ("body", "excerpt"),
    [
        (b"", "the reply is empty"),
        (b'{"choices":[{"message":{"content":"tr', '{"choices":[{"message":{"content":"tr'),
        (b"<html>\r\n\x1b[31mLogin", "<html>\\r\\n\\x1b[31mLogin"),
        (b'{"choices":[{"message":{"content":"\xff"}}]}', '{"choices":[{"message":{"content":"\\\\xff"}}]}'),
        (b'{"choices":[{"message":{"content":"a"}}],"x":nan}', '{"choices"'),
        (b"[1]", "[1]"),
        (b'"text"', '"text"'),
        (b"null", "null"),
        (b"[" * 100_000, "[[[["),
        (b'{"choices":[],"x":' + b"[" * 100_000, '{"choices"'),
        ('{"a": "\u202e\u2028b'.encode(), '{"a": "\\u202e\\u2028b'),
    ],
)
def test_what_is_no_reply_is_said_and_shown_in_part(body, excerpt):
    error = fail(body)
    assert (error.cause, error.maybe_billed) == (Cause.BAD_REPLY, True)
    assert error.message.startswith("not JSON: " + excerpt.replace("\\\\", "\\"))
    assert len(error.message) <= len("not JSON: ") + 200 + 40
    assert error.message.isprintable()
    assert error.hint == "check base_url; most servers want it to end in /v1"


def test_at_most_200_characters_of_a_body_are_shown():
    assert fail(b"x" * 1000).message == "not JSON: " + "x" * 200


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"choices": None},
        {"choices": []},
        {"choices": {}},
        {"choices": [None, 1]},
        {"choices": [{}]},
        {"choices": [{"message": None}]},
    ],
)
def test_no_choices_is_a_bad_reply(reply):
    error = fail(reply)
    assert (error.cause, error.maybe_billed) == (Cause.BAD_REPLY, True)
    assert error.message == f"the reply has no choices: {json.dumps(reply)}"


def test_a_text_reply_without_text_is_a_bad_reply():
    with pytest.raises(BackendError, match="no choices") as caught:
        decode({"choices": [{"message": {"content": "a"}}]}, "completions", TEXT)
    assert caught.value.cause is Cause.BAD_REPLY


@pytest.mark.parametrize(
    ("error", "cause", "said"),
    [
        ({"message": "slow down", "code": "rate_limit_exceeded"}, Cause.RATE_LIMIT, "slow down (rate_limit_exceeded)"),
        ({"message": "no credit", "code": 402}, Cause.QUOTA_EXHAUSTED, "no credit"),
        ({"message": "busy", "code": 503}, Cause.OVERLOADED, "busy"),
        ({"message": "bad", "type": "invalid_request_error"}, Cause.BAD_REQUEST, "bad (invalid_request_error)"),
        ({"message": "bad", "code": "what"}, Cause.SERVER, "bad (what)"),
        ("it broke", Cause.SERVER, "it broke"),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_an_error_in_a_reply_that_claims_success(error, cause, said, inside):
    choices = [{"message": {"content": None}, "finish_reason": "error"} | ({"error": error} if inside else {})]
    caught = fail({"choices": choices} if inside else {"error": error, "choices": choices})
    assert caught.cause is cause
    assert caught.message == f"200 OK with an error: {said}"


@pytest.mark.parametrize("error", [None, {}, "", False])
def test_an_empty_error_is_none(error):
    assert decode({"error": error, "choices": [{"message": {"content": "a"}}]}).text == "a"


def test_an_error_without_a_message_is_shown_as_it_came():
    error = fail({"error": {"odd": ["\ud800"]}})
    assert (error.cause, error.message) == (Cause.SERVER, '200 OK with an error: {"error": {"odd": ["\\ud800"]}}')


def test_an_error_of_an_odd_type_is_no_answer():
    assert fail({"error": 7}).cause is Cause.BAD_REPLY


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "message", "content", "error", "usage", "text", "code", "model"]), inner
        )
    ),
    max_leaves=20,
)


@given(JSON, st.sampled_from(["chat", "completions"]))
@example({"choices": [{"message": {"content": ["\ud800"]}}], "error": {"message": ["\ud800"]}}, "chat")
def test_any_json_gives_an_answer_or_a_backend_error(reply, api):
    body = json.dumps(reply).encode()
    for content in (body, b'{"choices":[%b]}' % body, b'{"choices":[{"text":"","message":%b}]}' % body):
        try:
            answer = decode_reply(content, api, Failures(CHAT))
        except BackendError as error:
            assert error.message.isprintable()  # noqa: PT017
        else:
            assert answer.text is None or isinstance(answer.text, str)


@given(st.binary())
def test_any_bytes_give_a_backend_error(body):
    with pytest.raises(BackendError):
        decode_reply(body, "chat", Failures(CHAT))
