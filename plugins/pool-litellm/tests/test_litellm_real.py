"""LiteLLM itself against the scripted server: what its exceptions really are. Runs where LiteLLM is installed."""

from __future__ import annotations

import asyncio

import pytest
from pool_litellm.backend import LiteLLM
from pool_litellm.config import LiteLLMConfig

from pool_core.errors import BackendError
from pool_core.interfaces.values import Answer, Cause, Prompt, Request, Usage
from pool_core.testing.faults import FAULTS
from pool_core.testing.server import ScriptedServer

pytest.importorskip("litellm", reason="it is in no environment but its own: `tox run -e litellm`")

#: LiteLLM warns of its own doings.
pytestmark = pytest.mark.filterwarnings("default")

#: What LiteLLM makes of a fault in another way than the table of faults, since its exceptions tell less.
OTHERWISE = {
    "html": Cause.SERVER,
    "no-choices": Cause.SERVER,
    "status-504": Cause.TIMEOUT,
}
NAMES = [
    *("status-400", "status-401", "status-402", "status-403", "status-404", "status-413", "status-422"),
    *("status-429", "status-500", "status-502", "status-503", "status-504", "status-529"),
    *("too-long", "filtered-prompt", "no-quota", "wait-seconds", "wait-day", "wait-text"),
    *("reset-first", "reset-body", "slow-first", "cut-json", "html", "empty-choices", "no-choices"),
    *("refusal", "length", "tool-call", "no-usage", "content-filter"),
]


@pytest.fixture(scope="module")
def ask():
    """Ask a server once, all in one event loop: LiteLLM keeps things of the loop that it was first used in."""
    with asyncio.Runner() as runner:

        async def run(server, seconds):
            backend = LiteLLM(LiteLLMConfig(model="openai/m", api_base=server.url, api_key="env:LITELLM_TEST_KEY"))
            try:
                await backend.open()
                prompt = Prompt.chat("Hi")
                return await backend.generate(Request(0, prompt, {}, 0, backend.encode(prompt, {"seed": 7}), seconds))
            except BackendError as error:
                return error
            finally:
                await backend.aclose()

        yield lambda server, seconds=60.0: runner.run(run(server, seconds))


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("LITELLM_TEST_KEY", "sk-CANARY-0123456789")


def test_an_answer(ask):
    with ScriptedServer() as server:
        answer = ask(server)
    assert (answer.text, answer.finish_reason, answer.usage) == ("echo: Hi", "stop", Usage(7, 2))
    (request,) = server.requests
    assert request.body["seed"] == 7
    assert request.headers["authorization"] == "Bearer sk-CANARY-0123456789"


@pytest.mark.parametrize("name", NAMES)
def test_a_fault_is_what_it_says_and_is_asked_once(name, ask):
    fault = FAULTS[name]
    with ScriptedServer([fault]) as server:
        result = ask(server, 0.5 if fault.slow else 60.0)
    assert len(server.requests) == 1
    cause = OTHERWISE.get(name, fault.cause)
    if cause is None:
        assert isinstance(result, Answer), result
    else:
        assert isinstance(result, BackendError), result
        assert result.cause is cause
        assert result.retry_after == fault.retry_after
        assert "CANARY" not in str(result)
