"""The Messages API of the scripted server: it echoes, and refuses what the API refuses, in its words."""

from __future__ import annotations

import http.client
import json

import pytest

from pool_core.testing.server import Reply, ScriptedServer

GOOD = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
VERSION = {"anthropic-version": "2023-06-01"}


def ask(body, headers=VERSION, script=()):
    with ScriptedServer(script) as server:
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        client.request("POST", "/v1/messages", json.dumps(body), headers)
        reply = client.getresponse()
        found = reply.status, json.loads(reply.read())
        client.close()
    return found


def test_it_echoes_as_the_api_answers():
    status, reply = ask(GOOD)
    assert (status, reply["content"], reply["stop_reason"]) == (200, [{"type": "text", "text": "echo: Hi"}], "end_turn")
    assert reply["usage"]["input_tokens"] == 7


@pytest.mark.parametrize(
    ("change", "headers", "message"),
    [
        ({}, {}, "anthropic-version: header is required"),
        ({"max_tokens": None}, VERSION, "max_tokens: Field required"),
        ({"seed": 1}, VERSION, "seed: Extra inputs are not permitted"),
        ({"messages": []}, VERSION, "messages: at least one message is required"),
        (
            {"messages": [{"role": "system", "content": "S"}]},
            VERSION,
            "messages: Unexpected role. Use the top-level `system` parameter for system prompts",
        ),
    ],
)
def test_it_refuses_what_the_api_refuses(change, headers, message):
    body = {name: value for name, value in (GOOD | change).items() if value is not None}
    status, reply = ask(body, headers)
    assert (status, reply["type"]) == (400, "error")
    assert reply["error"] == {"type": "invalid_request_error", "message": message}


@pytest.mark.parametrize(
    ("status", "kind"),
    [(429, "rate_limit_error"), (529, "overloaded_error"), (418, "invalid_request_error"), (500, "api_error")],
)
def test_a_status_has_its_type(status, kind):
    assert ask(GOOD, script=[Reply(status)])[1]["error"]["type"] == kind
