"""The registry of faults: names, words, and what they promise."""

from __future__ import annotations

import pytest

from pool_core.interfaces.values import Cause
from pool_core.testing.faults import FAULTS, make_redirect
from pool_core.testing.server import ReceivedRequest

REQUEST = ReceivedRequest("POST", "/v1/chat/completions", {}, {"messages": [{"content": "Hi"}]}, b"", 0.0, 0)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_has_its_name_and_words(name):
    fault = FAULTS[name]
    assert fault.name == name
    assert fault.what
    assert fault.make_reply(REQUEST)


def test_no_two_faults_share_their_words():
    said = [fault.what for fault in FAULTS.values()]
    assert len(said) == len(set(said))


def test_faults_are_of_every_kind_that_a_call_can_fail_with():
    """The other causes are given by the pool itself."""
    assert {fault.cause for fault in FAULTS.values()} == {
        None,
        Cause.TRANSPORT,
        Cause.TIMEOUT,
        Cause.RATE_LIMIT,
        Cause.OVERLOADED,
        Cause.SERVER,
        Cause.BAD_REPLY,
        Cause.AUTH,
        Cause.QUOTA_EXHAUSTED,
        Cause.BAD_REQUEST,
        Cause.CONTEXT_LENGTH,
        Cause.CONTENT_FILTER,
    }


def test_a_redirect_is_made_for_a_place():
    fault = make_redirect(308, "http://127.0.0.1:1/x")
    assert (fault.name, fault.cause, fault.stops_member) == ("redirect-308", Cause.BAD_REQUEST, True)
    reply = fault.make_reply(REQUEST)
    assert (reply.status, reply.headers) == (308, {"Location": "http://127.0.0.1:1/x"})
