"""Hedging: when a second request for a slow cell is worth its price."""

from __future__ import annotations

from collections import deque

from pool_core.recipe.models import Hedge

__all__ = ["HedgePlan"]

#: Latencies that are looked at, and how many it takes before any call counts as slow.
WINDOW = 200
LEAST = 20


class HedgePlan:
    """Says after how many seconds a call is slow, and whether one more second request may be sent.

    After Dean and Barroso, "The Tail at Scale" (CACM 2013): a request that is slower than a percentile
    of its like is sent again, and those are a small share of all.
    """

    def __init__(self, hedge: Hedge) -> None:
        self._hedge = hedge
        self._latencies: deque[float] = deque(maxlen=WINDOW)
        self._threshold: float | None = None
        self._calls = 0
        self._hedged = 0

    @property
    def threshold(self) -> float | None:
        """Seconds after which a call is slow; None while too few are known."""
        return self._threshold

    def note_latency(self, seconds: float) -> None:
        """Note how long a call took that was answered."""
        self._calls += 1
        self._latencies.append(seconds)
        if self._calls >= LEAST and (self._threshold is None or self._calls % 10 == 0):
            ordered = sorted(self._latencies)
            self._threshold = ordered[min(len(ordered) - 1, int(self._hedge.percentile * len(ordered)))]

    def take(self) -> bool:
        """Whether a second request may be sent now; if so it is counted."""
        if self._hedged + 1 > self._hedge.share * self._calls:
            return False
        self._hedged += 1
        return True
