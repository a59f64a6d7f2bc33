"""Anthropic's own client takes the test server for Anthropic: answers, errors, broken connections."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from pool_core.testing.message_faults import MESSAGE_FAULTS
from pool_core.testing.messages import make_message_body, make_message_error
from pool_core.testing.replies import Reply
from pool_core.testing.server import ScriptedServer

if find_spec("anthropic") is None:
    pytest.skip("not installed: anthropic, the official client", allow_module_level=True)

import anthropic

ASKED = [{"role": "user", "content": "Hi"}]
#: What the client makes of a status.
CLASSES = {
    400: anthropic.BadRequestError,
    401: anthropic.AuthenticationError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    413: anthropic.APIStatusError,
    429: anthropic.RateLimitError,
    500: anthropic.InternalServerError,
    529: anthropic.APIStatusError,
}


@pytest.fixture
def ask():
    """Asks a server once, with a client that tries nothing twice."""

    def ask(server, **more):
        address = server.url.removesuffix("/v1")
        with anthropic.Anthropic(base_url=address, api_key="sk-test", max_retries=0, timeout=60.0) as client:
            return client.messages.create(**{"model": "m", "max_tokens": 9, "messages": ASKED, **more})

    return ask


def test_a_message(ask):
    with ScriptedServer() as server:
        answer = ask(server, system="S", stop_sequences=["x"])
    assert type(answer).__name__ == "Message"
    assert [(block.type, block.text) for block in answer.content] == [("text", "echo: Hi")]
    assert (answer.role, answer.stop_reason, answer.model) == ("assistant", "end_turn", "scripted-model")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (7, 2)
    assert server.requests[0].headers["authorization"] == "Bearer sk-test"


def test_reasoning_comes_before_the_text(ask):
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
    with ScriptedServer([Reply(body=make_message_body("Yes.", before=[thought], stop_reason="max_tokens"))]) as server:
        answer = ask(server)
    assert [block.type for block in answer.content] == ["thinking", "text"]
    assert answer.stop_reason == "max_tokens"


@pytest.mark.parametrize("status", CLASSES)
def test_a_status_is_the_exception_of_its_class(status, ask):
    reply = Reply(status, make_message_error(status, "It failed."))
    with ScriptedServer([reply]) as server, pytest.raises(CLASSES[status]) as caught:
        ask(server)
    assert caught.value.status_code == status
    assert caught.value.body["error"] == make_message_error(status, "It failed.")["error"]
    assert len(server.requests) == 1


def test_what_the_api_would_refuse_is_refused(ask):
    with ScriptedServer() as server:
        with pytest.raises(anthropic.BadRequestError, match="no_such_field: Extra inputs are not permitted"):
            ask(server, extra_body={"no_such_field": 1})
        with pytest.raises(anthropic.BadRequestError, match="at least one message is required"):
            ask(server, messages=[])


@pytest.mark.parametrize("name", ["reset-first", "reset-headers", "reset-body"])
def test_a_broken_connection_is_one(name, ask):
    fault = next(fault for fault in MESSAGE_FAULTS.values() if fault.name == name)
    with ScriptedServer([fault]) as server, pytest.raises(anthropic.APIConnectionError):
        ask(server)
