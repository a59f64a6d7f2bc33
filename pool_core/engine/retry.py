"""What each cause leads to, and how long to wait before trying again.

The one retry loop of the pool acts on this table; transports and SDKs retry nothing.
"""

from __future__ import annotations

from enum import StrEnum
from random import Random

from pool_core.interfaces.values import Cause

__all__ = ["ACTIONS", "Action", "compute_backoff"]


class Action(StrEnum):
    """What the engine does with a failed call."""

    RETRY = "retry"  #: wait and send it again, a bounded number of times
    WAIT = "wait"  #: pause the quota as long as the server asks, then send it again
    FAIL = "fail"  #: the cell has failed
    STOP_MEMBER = "stop_member"  #: every further call of the member would fail alike


ACTIONS: dict[Cause, Action] = {
    Cause.TRANSPORT: Action.RETRY,
    Cause.TIMEOUT: Action.RETRY,
    Cause.OVERLOADED: Action.RETRY,
    Cause.SERVER: Action.RETRY,
    Cause.BAD_REPLY: Action.RETRY,
    Cause.RATE_LIMIT: Action.WAIT,
    Cause.AUTH: Action.STOP_MEMBER,
    Cause.QUOTA_EXHAUSTED: Action.STOP_MEMBER,
    Cause.BAD_REQUEST: Action.FAIL,
    Cause.CONTEXT_LENGTH: Action.FAIL,
    Cause.CONTENT_FILTER: Action.FAIL,
    Cause.REFUSAL: Action.FAIL,
    Cause.TRUNCATED: Action.FAIL,
    Cause.EMPTY: Action.FAIL,
    Cause.PARSE: Action.FAIL,
    Cause.SCHEMA: Action.FAIL,
    Cause.RENDER: Action.FAIL,
    Cause.PLUGIN: Action.FAIL,
    Cause.BUDGET: Action.FAIL,
    Cause.CANCELLED: Action.FAIL,
}

BASE_SECONDS = 0.5
MOST_SECONDS = 30.0
#: A shorter wait that a server names bounds the own one from below and does not replace it: a server
#: that always says "at once" must not be asked without end.
SHORT_SECONDS = 1.0


def compute_backoff(failures: int, retry_after: float | None, random: Random) -> float:
    """Seconds to wait after the ``failures``-th failed call of a cell in a row, 1 being the first.

    Full jitter: uniform between 0 and an exponentially growing bound, as in Brooker, "Exponential
    Backoff And Jitter" (AWS Architecture Blog, 2015). A wait that the server names is a lower bound,
    with a little jitter on top, so that the waiting calls do not come back all at once. One that is
    negative or not a number says nothing.
    """
    bound = min(MOST_SECONDS, BASE_SECONDS * 2.0 ** min(failures - 1, 16))
    own = random.uniform(0, bound)
    if retry_after is None or not retry_after >= 0:
        return own
    if retry_after < SHORT_SECONDS:
        return max(retry_after, own)
    return retry_after + min(own, 0.1 * retry_after + 0.05)
