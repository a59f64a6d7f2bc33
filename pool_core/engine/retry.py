"""What each cause leads to, how long to wait before trying again, and how often that is allowed.

The one retry loop of the pool acts on these tables; transports and SDKs retry nothing.
"""

from __future__ import annotations

from enum import StrEnum
from random import Random

from pool_core.interfaces.values import Cause

__all__ = ["ACTIONS", "FALLS_BACK", "SHORT_SECONDS", "TROUBLES", "Action", "RetryBudget", "compute_backoff"]


class Action(StrEnum):
    """What the engine does with a failed call, or with an answer that gives nothing."""

    RETRY = "retry"  #: wait and send it again, a bounded number of times
    WAIT = "wait"  #: pause the quota as long as the server asks, then send it again
    REASK = "reask"  #: the answer is kept; ask again, a bounded number of times
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
    Cause.EMPTY: Action.REASK,
    Cause.PARSE: Action.REASK,
    Cause.SCHEMA: Action.REASK,
    Cause.RENDER: Action.FAIL,
    Cause.PLUGIN: Action.FAIL,
    Cause.BUDGET: Action.FAIL,
    Cause.CANCELLED: Action.FAIL,
}

#: Causes that say something about the member's server: enough of them in a row open its breaker.
TROUBLES = frozenset({Cause.TRANSPORT, Cause.TIMEOUT, Cause.OVERLOADED, Cause.SERVER, Cause.BAD_REPLY})

#: Causes of cells that a fallback member may take over: the call brought no answer, and another model might.
FALLS_BACK = TROUBLES | {
    Cause.RATE_LIMIT,
    Cause.AUTH,
    Cause.QUOTA_EXHAUSTED,
    Cause.BAD_REQUEST,
    Cause.CONTEXT_LENGTH,
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


class RetryBudget:
    """How many retries a quota may send: in an outage they end, and where they help they go on.

    A bucket of tokens as in the standard retry mode of the AWS SDKs: a retry takes some, a call that
    succeeds at once gives one. Here a retry that succeeds gives back twice what it took, so a server
    that answers at least every other call is asked until it has answered all; and an empty bucket
    delays retries, one each `TRICKLE_SECONDS`, where the SDKs fail the call.
    """

    CAPACITY = 500.0
    COST = 14.0
    TRICKLE_SECONDS = 1.0

    def __init__(self) -> None:
        self._tokens = self.CAPACITY
        self._next_trickle = 0.0

    def take(self, now: float) -> bool:
        """Whether a retry may be sent at ``now``, in seconds; if so it is paid for."""
        if self._tokens >= self.COST:
            self._tokens -= self.COST
        elif now >= self._next_trickle:
            self._next_trickle = now + self.TRICKLE_SECONDS
        else:
            return False
        return True

    def note_success(self, *, of_retry: bool) -> None:
        """Note a call that was answered."""
        self._tokens = min(self.CAPACITY, self._tokens + (2 * self.COST if of_retry else 1.0))
