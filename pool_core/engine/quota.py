"""A quota: one real limit, shared by the members that use it."""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ["Quota"]


class Quota:
    """At most `limit` requests in flight, first come, first served; none while paused.

    Waits only on the running event loop. `release` must follow every `acquire` that returned.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0
        #: Most requests that were ever in flight.
        self.peak = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._paused_until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def try_acquire(self) -> bool:
        """Take a place if one is free and nobody waits for it."""
        if self.in_flight >= self.limit or self._waiting or self._timer is not None:
            return False
        self._take()
        return True

    async def acquire(self) -> None:
        """Wait for a place."""
        if self.try_acquire():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.release()  # the place was given in the moment of the cancellation
            raise

    def release(self) -> None:
        """Give the place back."""
        self.in_flight -= 1
        self._admit()

    def pause(self, seconds: float) -> None:
        """Admit nothing for ``seconds`` from now. A longer pause that runs already stays."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        if until <= self._paused_until:
            return
        self._paused_until = until
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(until, self._end_pause)

    def _end_pause(self) -> None:
        self._timer = None
        self._admit()

    def _take(self) -> None:
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)

    def _admit(self) -> None:
        while self._waiting and self.in_flight < self.limit and self._timer is None:
            future = self._waiting.popleft()
            if not future.done():
                self._take()
                future.set_result(None)
