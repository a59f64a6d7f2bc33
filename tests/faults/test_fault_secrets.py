"""The key goes to the configured server alone: no fault brings it into an error, and no redirect to another origin."""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
import traceback

import pytest

from pool_core.errors import BackendError
from pool_core.interfaces.values import Prompt, Request
from pool_core.testing.faults import FAULTS, make_redirect
from pool_core.testing.server import ScriptedServer

pytestmark = pytest.mark.plugins("openai")

CODES = (301, 302, 303, 307, 308)
#: What carries the key, and a header that says who asks.
HEADERS = ("authorization", "api-key", "x-api-key", "openai-organization")


@pytest.fixture
def ask(canary):
    """Ask a server once; the backend, and its answer or error."""
    from pool_openai.backend import OpenAI
    from pool_openai.config import OpenAIConfig

    def ask_once(url, *, timeout=120.0, **config):
        async def run():
            backend = OpenAI(OpenAIConfig(model="m", base_url=url, api_key="env:CANARY", **config))
            backend.pause = lambda seconds: None
            await backend.open()
            prompt = Prompt.chat("Hi")
            try:
                return backend, await backend.generate(
                    Request(0, prompt, {}, 0, backend.encode(prompt, {}), timeout=timeout)
                )
            except BackendError as error:
                canary.extend(show(backend))
                return backend, error
            finally:
                await backend.aclose()

        return asyncio.run(run())

    return ask_once


def show(thing):
    """All that could be printed or kept of something."""
    yield from (repr(thing), str(thing), repr(vars(thing)), pickle.dumps(thing).decode("latin-1"))
    if isinstance(thing, BaseException):
        yield from traceback.TracebackException.from_exception(thing).format_exception_only()
        yield repr([thing.__cause__, thing.args])


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_no_fault_brings_the_key_into_an_error_or_its_backend(fault, ask, reflect, canary):
    seconds = 1.0 if fault.slow else 120.0
    with ScriptedServer([reflect(fault)]) as server:
        _, result = ask(server.url, timeout=seconds)
        while not server.requests:  # the time was over before the server had the request: that was not the fault
            seconds *= 2
            _, result = ask(server.url, timeout=seconds)
    assert server.fired == {fault.name: 1}
    assert isinstance(result, BackendError) == (fault.cause is not None)
    if fault.cause is not None:
        canary.extend(show(result))


@pytest.mark.parametrize("target", ["host", "port", "scheme"])
@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("code", CODES)
def test_a_redirect_sends_nothing_to_another_origin(code, header, target, ask, canary):
    host = "localhost" if target == "host" else "127.0.0.1"
    scheme = "https" if target == "scheme" else "http"
    config = {"organization": "acme"} if header == "openai-organization" else {"key_header": header}
    with socket.create_server(("127.0.0.1", 0)) as other:
        goal = f"{scheme}://{host}:{other.getsockname()[1]}"
        with ScriptedServer([make_redirect(code, f"{goal}/v1/chat/completions")]) as server:
            _, error = ask(server.url, **config)
        other.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody has come
            other.accept()
    assert server.fired == {f"redirect-{code}": 1}
    wanted = {"openai-organization": "acme", "authorization": f"Bearer {os.environ['CANARY']}"}
    assert [request.headers[header] for request in server.requests] == [wanted.get(header, os.environ["CANARY"])]
    assert (error.message, error.stops_member) == (f"{code}: redirect to {goal}", True)
    canary.extend(show(error))
