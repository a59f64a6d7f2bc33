"""How late the event loop is with what is ready."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from time import monotonic

__all__ = ["LagMonitor"]

#: Seconds of lag of which a person is told, and measurements before anything is told.
MOST_LAG = 0.25
LEAST_MEASURED = 100


class LagMonitor:
    """Measures the lag of an event loop in real time, also where the loop's own clock is another.

    `ping` is called from another thread, some times a second: a timer of the loop would move a clock
    that is virtual.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        #: By lag in whole milliseconds, how often it was measured.
        self._lags: Counter[int] = Counter()
        self._waiting = False

    def ping(self) -> None:
        """Measure once, unless the last measurement has not ended."""
        if not self._waiting:
            self._waiting = True
            with suppress(RuntimeError):  # the loop has just been closed
                self._loop.call_soon_threadsafe(self._note, monotonic())

    def _note(self, sent: float) -> None:
        self._lags[int((monotonic() - sent) * 1000)] += 1
        self._waiting = False

    @property
    def p99(self) -> float:
        """Seconds within which the loop was in 99 % of the measurements; 0.0 before the first."""
        left = self._lags.total() * 0.01
        for lag in sorted(self._lags, reverse=True):
            left -= self._lags[lag]
            if left < 0:
                return lag / 1000
        return 0.0

    def describe(self) -> list[str]:
        """What a person should know of it: nothing, or one sentence."""
        if self._lags.total() < LEAST_MEASURED or self.p99 <= MOST_LAG:
            return []
        late = f"{self.p99:.2f} s late at times, {max(self._lags) / 1000:.2f} s at most"
        return [f"the event loop was {late}: a backend or a plugin blocks it"]
