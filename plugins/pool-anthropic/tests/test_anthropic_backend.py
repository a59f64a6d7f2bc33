"""The backend over real sockets: what it sends, and what it makes of what comes back."""

from __future__ import annotations

import json
import pickle

import pytest
from pool_anthropic.backend import Anthropic
from pool_anthropic.config import AnthropicConfig

from pool_core.errors import BackendError
from pool_core.interfaces.values import Capabilities, Cause, Message, Offer, Prompt, Usage
from pool_core.testing.messages import make_message_body, make_message_error
from pool_core.testing.server import Reply, ScriptedServer


def test_says_what_it_is_and_can():
    config = AnthropicConfig(model="m", base_url="http://h/", api_key="env:MINE", betas=("a", "b"))
    backend = Anthropic(config)
    assert (backend.model, backend.endpoint) == ("m", "POST http://h/v1/messages")
    assert backend.quota == "http://h with env:MINE"
    assert '"anthropic-beta": "a,b"' in backend.identity
    assert backend.describe_headers()["x-api-key"] == "*** (env:MINE)"
    offer = Offer("m", "http://h")
    assert Anthropic.capabilities(config, {}) == Capabilities("chat", seed=False, stop=True, schema=True, offer=offer)


def test_a_call(ask):
    with ScriptedServer() as server:
        answer = ask(server, Prompt.chat("Hé", system="S"), {"temperature": 0, "stop": ["x"]})
    assert (answer.text, answer.finish_reason, answer.model) == ("echo: Hé", "stop", "scripted-model")
    assert answer.usage == Usage(7, 2)
    assert answer.extra == {"id": answer.extra["id"]}
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/v1/messages")
    assert request.body == {
        "model": "m",
        "system": "S",
        "messages": [{"role": "user", "content": "Hé"}],
        "max_tokens": 4096,
        "stop_sequences": ["x"],
        "temperature": 0,
    }
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"] == "pool-anthropic"
    assert not {"authorization", "x-api-key", "anthropic-beta", "cookie"} & request.headers.keys()


@pytest.mark.parametrize(("header", "value"), [("x-api-key", "{}"), ("authorization", "Bearer {}")])
def test_the_key_goes_into_one_header(header, value, ask, canary):
    with ScriptedServer() as server:
        ask(server, api_key="env:CANARY", key_header=header)
    carrying = {name: content for name, content in server.requests[0].headers.items() if canary in content}
    assert carrying == {header: value.format(canary)}


def test_anthropics_own_key_stays_at_home(ask, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-home")
    assert str(AnthropicConfig(model="m").key_reference) == "env:ANTHROPIC_API_KEY"
    with ScriptedServer() as server:
        ask(server)
    assert "sk-ant-home" not in str(server.requests[0].headers)


@pytest.mark.parametrize("status", [401, 500, 200])
def test_no_error_shows_the_key(status, canary, ask):
    told = make_message_error(status, f"the key {canary} is wrong")
    with ScriptedServer([Reply(status, told)]) as server, pytest.raises(BackendError) as caught:
        ask(server, api_key="env:CANARY")
    assert canary not in str(caught.value)
    assert "***" in str(caught.value)
    assert canary.encode() not in pickle.dumps(caught.value)


def test_a_message_names_the_request(ask):
    reply = Reply(529, headers={"request-id": "req_1"})
    with ScriptedServer([reply]) as server, pytest.raises(BackendError) as caught:
        ask(server)
    assert caught.value.message == "529: scripted status 529 (overloaded_error) [request req_1]"


def test_the_cache_counts_as_input_and_is_kept(ask):
    usage = {"input_tokens": 1, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 300, "output_tokens": 4}
    with ScriptedServer([Reply(body=make_message_body("a", usage=usage), headers={"request-id": "req_1"})]) as server:
        answer = ask(server)
    assert answer.usage == Usage(321, 4)
    assert answer.extra["cache_creation_input_tokens"] == 20
    assert answer.extra["cache_read_input_tokens"] == 300
    assert answer.extra["request_id"] == "req_1"


def test_thinking_is_kept_whole_beside_the_text(ask):
    blocks = [
        {"type": "thinking", "thinking": "One.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "eA=="},
        {"type": "text", "text": "A"},
        {"type": "thinking", "thinking": "Two.", "signature": "c2ln"},
    ]
    with ScriptedServer([Reply(body=make_message_body("B", before=blocks))]) as server:
        answer = ask(server)
    assert (answer.text, answer.reasoning) == ("AB", "One.\n\nTwo.")
    assert answer.extra["thinking"] == [blocks[0], blocks[1], blocks[3]]


def test_a_call_of_a_tool_has_the_form_of_all_backends(ask):
    block = {"type": "tool_use", "id": "toolu_1", "name": "search", "input": {"q": "é"}}
    with ScriptedServer([Reply(body=make_message_body(None, stop_reason="tool_use", before=[block]))]) as server:
        answer = ask(server)
    assert (answer.text, answer.finish_reason) == (None, "tool_calls")
    function = {"name": "search", "arguments": '{"q": "é"}'}
    assert answer.tool_calls == [{"id": "toolu_1", "type": "function", "function": function}]


@pytest.mark.parametrize(
    ("more", "refusal"),
    [
        ({"text": "First you"}, "First you"),
        ({"text": None, "stop_details": {"type": "refusal", "explanation": "No."}}, "No."),
        ({"text": None, "stop_details": {"type": "refusal", "category": "bio"}}, "bio"),
        ({"text": None, "stop_details": None}, "no reason was given"),
    ],
)
def test_a_refusal_is_no_answer_whatever_was_said_before(more, refusal, ask):
    with ScriptedServer([Reply(body=make_message_body(stop_reason="refusal", **more))]) as server:
        answer = ask(server)
    assert (answer.text, answer.refusal, answer.finish_reason) == (None, refusal, "refusal")


def test_an_unknown_stop_reason_is_logged_once(ask, caplog, canary):
    with ScriptedServer([Reply(body=make_message_body("a", stop_reason=f"because {canary}"))]) as server:
        assert ask(server, api_key="env:CANARY").finish_reason == f"because {canary}"
    assert 'the stop_reason "because ***" is not known' in caplog.text


def encode(messages, sampling=None, schema=None, **config):
    prompt = Prompt(tuple(messages), schema=schema)
    return json.loads(Anthropic(AnthropicConfig(model="m", **config)).encode(prompt, sampling or {}))


def test_system_messages_at_the_front_are_one_system_prompt():
    user = Message("user", "Hi")
    assert encode([Message("system", "A"), Message("developer", "B"), user])["system"] == "A\n\nB"
    parts = [{"type": "text", "text": "C", "cache_control": {"type": "ephemeral"}}]
    blocks = encode([Message("system", "A"), Message("system", parts), user])["system"]
    assert blocks == [{"type": "text", "text": "A"}, *parts]


def test_images_become_blocks_and_other_parts_stay():
    document = {"type": "document", "source": {"type": "url", "url": "https://h/a.pdf"}}
    parts = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "https://h/a.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
        document,
    ]
    (message,) = encode([Message("user", parts)])["messages"]
    assert message["content"] == [
        parts[0],
        {"type": "image", "source": {"type": "url", "url": "https://h/a.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
        document,
    ]


@pytest.mark.parametrize(
    ("prompt", "sampling", "config", "message"),
    [
        (Prompt(text="Hi"), {}, {}, "the prompt is one text, and the Messages API takes messages"),
        (
            Prompt((Message("user", "a"), Message("system", "b"))),
            {},
            {},
            "a message of the role system stands among the turns, where the Messages API takes none",
        ),
        (Prompt((Message("system", "b"),)), {}, {}, "the prompt has no user message"),
        (Prompt.chat("a"), {"min_p": 0.1}, {}, "the Messages API has no parameter min_p"),
        (Prompt.chat("a"), {"n": 2}, {}, "sampling cannot set n: each request is for one whole answer"),
        (Prompt.chat("a"), {"top_k": 1}, {"extra": {"top_k": 2}}, "top_k is set twice, the second time by extra"),
        (Prompt.chat("a"), {"temperature": float("nan")}, {}, "temperature is nan, which JSON has no word for"),
        (
            Prompt.chat("\ud800"),
            {},
            {},
            "the prompt or a parameter holds half of a surrogate pair, which is no valid text",
        ),
        (
            Prompt((Message("user", [{"type": "image_url"}]),)),
            {},
            {},
            "an image_url part has no url",
        ),
    ],
)
def test_what_cannot_be_sent_is_refused(prompt, sampling, config, message):
    with pytest.raises(BackendError) as caught:
        Anthropic(AnthropicConfig(model="m", **config)).encode(prompt, sampling)
    assert (caught.value.cause, caught.value.message) == (Cause.BAD_REQUEST, message)
    assert caught.value.hint


def test_a_schema_constrains_the_answer_and_goes_with_an_effort():
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    body = encode([Message("user", "Hi")], schema=schema, extra={"output_config": {"effort": "low"}})
    form = {"type": "json_schema", "schema": schema | {"additionalProperties": False}}
    assert body["output_config"] == {"effort": "low", "format": form}


def test_a_schema_that_the_api_cannot_hold_is_told_in_words():
    schema = {"type": "object", "additionalProperties": {"type": "integer"}}
    body = encode([Message("user", "Count.")], schema=schema)
    assert "output_config" not in body
    assert body["messages"][0]["content"].startswith("Count.\n\nAnswer with one JSON object that satisfies")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"base_url": "http://h/v1"}, "base_url ends before /v1/messages; the backend adds that part"),
        ({"base_url": "http://h/v1/messages"}, "base_url ends before /v1/messages"),
        ({"version": "latest"}, "version is a date, such as 2023-06-01"),
        ({"betas": ["a b"]}, "betas has a name that none can have"),
        ({"headers": {"anthropic-version": "x"}}, "the header anthropic-version is the backend's own"),
        ({"extra": {"system": "x"}}, "extra cannot set system: the backend does"),
        ({"api_key": "sk-ant-1"}, "api_key must say where the key is, env:NAME or file:PATH"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(given, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")) as caught:
        AnthropicConfig(model="m", **given)
    assert "sk-ant-1" not in str(caught.value)


def test_prices_are_known_at_the_providers_own_address():
    pytest.importorskip("genai_prices")
    from pool_core.plan.prices import find_price

    config = AnthropicConfig(model="claude-sonnet-4-5")
    price = find_price(None, Anthropic.capabilities(config, {}).offer)
    assert price is not None
    assert (price.base.input, price.base.output) == (3.0, 15.0)
