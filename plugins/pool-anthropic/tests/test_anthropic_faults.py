"""Every fault of a Messages server: what the backend makes of it, and that it asks once."""

from __future__ import annotations

import pytest

from pool_core.errors import BackendError
from pool_core.interfaces.values import Answer
from pool_core.testing.message_faults import MESSAGE_FAULTS
from pool_core.testing.server import ScriptedServer

#: Seconds of a call whose server takes longer than anyone waits. The longer one is for a machine on which a request
#: takes more than the shorter one to get there.
LIMITS = (1.0, 30.0)
#: What some answers say in the place of the echo.
TEXTS = {
    "empty-content": None,
    "refusal": None,
    "late-refusal": None,
    "length": "Once upon a",
    "window": "Once",
    "pause": "Let me",
    "stop-sequence": "One",
    "tool-use": None,
    "thinking": "So.",
    "odd-block": "So.",
    "odd-reason": "All the same.",
    "odd-letters": "a\ud800b\0c\u2028d\u202ee",
    "negative-usage": "So.",
    "nan-usage": "So.",
}


@pytest.mark.parametrize("fault", MESSAGE_FAULTS.values(), ids=MESSAGE_FAULTS)
def test_a_fault_is_what_it_says(fault, ask):
    for limit in LIMITS if fault.slow else (60.0,):
        paused = []
        with ScriptedServer([fault]) as server:
            try:
                result = ask(server, timeout=limit, paused=paused)
            except BackendError as error:
                result = error
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
