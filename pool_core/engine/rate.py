"""How many requests and tokens may leave in a minute. Pure: the time is passed in, in seconds."""

from __future__ import annotations

import math
from collections import deque

from pool_core.interfaces.values import Usage

__all__ = ["Rate", "count_tokens"]

#: The minute that servers count over, in seconds, and one more: a request may travel longer than a later one.
MINUTE = 61.0
#: Seconds that requests may run ahead of their even pace, so that timers that fire late cost no rate.
AHEAD = 0.1
#: Tokens of one such stretch, in seconds, are counted as one; all of them count until the last are old.
GRAIN = 0.25


class Rate:
    """Keeps within ``rpm`` requests and ``tpm`` tokens in any minute, as the server sees it.

    Requests leave at an even pace, for servers that write down a minute often enforce a second
    (the virtual scheduling of the generic cell rate algorithm, ITU-T I.371).

    Tokens count from the departure of their request until a minute after its end, first as
    estimated and then as used: a server may count them at any moment between. An estimate
    above ``tpm`` counts as ``tpm``, so that such a request leaves when nothing else counts.

    What keeps within any minute also keeps within a token bucket that holds a minute's worth.
    """

    def __init__(self, rpm: int | None = None, tpm: int | None = None) -> None:
        self._interval = 0.0 if rpm is None else MINUTE / rpm
        self._ahead = max(0.0, AHEAD - self._interval)
        #: When the next request is due at an even pace.
        self._due = -math.inf
        self._tpm = tpm
        #: Tokens of the requests that are under way.
        self._under_way = 0.0
        #: Tokens of those that have ended: the beginning of each stretch with its tokens, and their sum.
        self._ended: deque[list[float]] = deque()
        self._ended_total = 0.0

    @property
    def counts_tokens(self) -> bool:
        """Whether the tokens of requests are limited."""
        return self._tpm is not None

    def compute_wait(self, now: float, tokens: float) -> float:
        """Seconds until a request of about ``tokens`` may leave: 0 at once, inf not before another one has ended."""
        wait = max(0.0, self._due - self._ahead - now)
        if self._tpm is not None:
            wait = max(wait, self._compute_token_wait(now, self._tpm - min(tokens, self._tpm)))
        return wait

    def note_departure(self, now: float, tokens: float) -> None:
        """Count a request that leaves now."""
        self._due = max(now, self._due) + self._interval
        if self._tpm is not None:
            self._under_way += min(tokens, self._tpm)

    def note_end(self, now: float, tokens: float, used: float | None) -> None:
        """Count what a request has ``used`` in the place of its estimate, which stays where nobody knows."""
        if self._tpm is None:
            return
        estimate = min(tokens, self._tpm)
        self._under_way = max(0.0, self._under_way - estimate)
        used = estimate if used is None else used
        if self._ended and now - self._ended[-1][0] < GRAIN:
            self._ended[-1][1] += used
        elif used > 0:
            self._ended.append([now, used])
        self._ended_total += used

    def _compute_token_wait(self, now: float, room: float) -> float:
        """Seconds until no more than ``room`` tokens count."""
        while self._ended and self._ended[0][0] + GRAIN + MINUTE <= now:
            self._ended_total -= self._ended.popleft()[1]
        if not self._ended:
            self._ended_total = 0.0  # no error of rounding outlives a quiet minute
        if self._under_way > room:
            return math.inf
        left = self._under_way + self._ended_total
        wait = 0.0
        for began, tokens in self._ended:
            if left <= room:
                break
            left -= tokens
            wait = began + GRAIN + MINUTE - now
        return wait


def count_tokens(usage: Usage | None) -> float | None:
    """Tokens of prompt and answer together; None where the server did not say both."""
    if usage is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    return usage.input_tokens + usage.output_tokens
