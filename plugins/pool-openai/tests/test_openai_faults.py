"""Every fault that the scripted server knows: what the backend makes of it, and that it asks once."""

from __future__ import annotations

import asyncio

import pytest
from pool_openai.backend import OpenAI
from pool_openai.config import OpenAIConfig

from pool_core.errors import BackendError
from pool_core.interfaces.values import Answer, Prompt
from pool_core.testing.faults import FAULTS
from pool_core.testing.server import ScriptedServer

#: Seconds of a call whose server takes longer than anyone waits. The longer one is for a machine on which a request
#: takes more than the shorter one to get there.
LIMITS = (1.0, 30.0)
#: What some answers say in the place of the echo.
TEXTS = {
    "null-content": None,
    "empty-content": "",
    "refusal": None,
    "content-filter": "",
    "length": "Once upon a",
    "tool-call": None,
    "odd-reason": "All the same.",
    "odd-letters": "a\ud800b\0c\u2028d\u202ee",
}
#: Replies in forms that the text API has not: no message that could lack a text.
CHAT_ONLY = {"null-content", "refusal", "tool-call"}
EACH = [(fault, api) for fault in FAULTS.values() for api in ("chat", "completions")]


@pytest.mark.parametrize(
    ("fault", "api"),
    [one for one in EACH if one[1] == "chat" or one[0].name not in CHAT_ONLY],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_fault_is_what_it_says(fault, api, make_request):
    async def run(url, limit, paused):
        backend = OpenAI(OpenAIConfig(model="m", base_url=url, api=api))
        backend.pause = paused.append
        await backend.open()
        prompt = Prompt.chat("Hi") if api == "chat" else Prompt(text="Hi")
        try:
            return await backend.generate(make_request(backend, prompt, timeout=limit))
        except BackendError as error:
            return error
        finally:
            await backend.aclose()

    for limit in LIMITS if fault.slow else (60.0,):
        paused = []
        with ScriptedServer([fault]) as server:
            result = asyncio.run(run(server.url, limit, paused))
        if server.requests:
            break
    assert server.fired == {fault.name: 1}
    assert len(server.requests) == 1
    assert paused == ([] if fault.pause is None else [fault.pause])
    if fault.cause is None:
        assert isinstance(result, Answer), result
        assert result.text == TEXTS.get(fault.name, "echo: Hi")
    else:
        assert isinstance(result, BackendError), result
        assert (result.cause, result.retry_after) == (fault.cause, fault.retry_after)
        assert (result.stops_member, result.maybe_billed) == (fault.stops_member, fault.maybe_billed)
