"""The key goes to the configured server and nowhere else: not into texts, pickles, logs or other servers."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import logging
import pickle
import traceback
from urllib.parse import quote

import pytest
from pool_openai.backend import OpenAI
from pool_openai.config import OpenAIConfig

from pool_core.errors import BackendError
from pool_core.testing.server import Reply, ScriptedServer, make_chat_body

FAULTS = {
    "401": lambda key: Reply(401, {"error": {"message": f"Incorrect API key provided: {key}.", "code": key}}),
    "500": lambda key: Reply(500, f"<html>Authorization: Bearer {key}".encode()),
    "307": lambda key: Reply(307, b"", {"Location": f"http://{key.replace('/', '')}.example/{quote(key, safe='')}"}),
    "location": lambda key: Reply(302, b"", {"Location": f"/{key}"}),
    "200 error": lambda key: Reply(200, {"error": {"message": f"{base64.b64encode(key.encode()).decode()}"}}),
    "200 html": lambda key: Reply(200, f"<p>{key}".encode()),
    "200 empty": lambda key: Reply(200, {"choices": [], "echo": key}),
    "200 json": lambda key: Reply(200, json.dumps({"x": key}).replace("/", "\\/").encode()),
    "429": lambda key: Reply(429, {"detail": key}, {"Retry-After": key}),
    "header": lambda key: Reply(429, headers={"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": key}),
    "option": lambda key: Reply(422, {"error": {"message": "no", "param": key}}),
    "cut": lambda key: Reply(200, {"x": key}, cut="body"),
    "gzip": lambda key: Reply(200, key.encode(), {"Content-Encoding": "gzip"}),
}


def spell(key):
    """The key in the forms that would give it away."""
    return {key, quote(key, safe=""), base64.b64encode(key.encode()).decode(), key.replace("/", "\\/")}


def show(backend):
    """All that could be printed of a backend."""
    parts = [backend, backend.config, backend._failures, vars(backend), pickle.dumps(backend), copy.deepcopy(backend)]
    parts += [backend.quota, backend.endpoint, backend.config.model_dump(), backend.config.model_dump_json()]
    return "\n".join([*map(repr, parts), *map(str, parts)])


@pytest.mark.parametrize("fault", FAULTS)
def test_no_error_shows_the_key(fault, canary, make_request, caplog):
    caplog.set_level(logging.DEBUG)

    async def run(url):
        backend = OpenAI(OpenAIConfig(model="m", base_url=url, api_key="env:CANARY"))
        await backend.open()
        try:
            await backend.generate(make_request(backend))
        except BackendError as error:
            return show(backend), error
        finally:
            await backend.aclose()

    with ScriptedServer([FAULTS[fault](canary)]) as server:
        shown, error = asyncio.run(run(server.url))
    # the source lines of this test are no leak, so the traceback is read without them
    trace = "".join(traceback.TracebackException.from_exception(error).format_exception_only())
    shown += "\n".join([str(error), repr(error), str(vars(error)), repr(pickle.dumps(error)), trace, caplog.text])
    assert error.__cause__ is None
    assert server.requests[0].headers["authorization"] == f"Bearer {canary}"
    assert not [spelling for spelling in spell(canary) if spelling in shown]


def test_a_pickled_backend_has_no_key_and_can_be_opened(canary, make_request):
    async def run(url):
        backend = OpenAI(OpenAIConfig(model="m", base_url=url, api_key="env:CANARY"))
        await backend.open()
        other = pickle.loads(pickle.dumps(backend))
        await backend.aclose()
        assert other.config == backend.config
        await other.open()
        answer = await other.generate(make_request(other))
        await other.aclose()
        return answer.text

    with ScriptedServer() as server:
        assert asyncio.run(run(server.url)) == "echo: Hi"


def test_the_key_is_forgotten_when_closed(canary):
    async def run():
        backend = OpenAI(OpenAIConfig(model="m", base_url="http://h/v1", api_key="env:CANARY"))
        await backend.open()
        await backend.aclose()
        return backend

    backend = asyncio.run(run())
    assert backend._failures.key is None


def test_an_answer_is_kept_as_it_is(canary, ask):
    with ScriptedServer([Reply(body=make_chat_body(f"the text {canary}"))]) as server:
        assert ask(server.url, api_key="env:CANARY").text == f"the text {canary}"


def test_no_log_of_an_odd_answer_shows_the_key(canary, ask, caplog):
    with ScriptedServer([Reply(body=make_chat_body("a", finish_reason=f"because {canary}"))]) as server:
        ask(server.url, api_key="env:CANARY")
    assert 'the finish_reason "because ***" is not known' in caplog.text
    assert not [spelling for spelling in spell(canary) if spelling in caplog.text]


def test_the_key_is_in_no_body(canary, ask):
    with ScriptedServer() as server:
        ask(server.url, api_key="env:CANARY")
    assert canary.encode() not in server.requests[0].raw
