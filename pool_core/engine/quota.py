"""A quota: one real limit, shared by the members that use it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from pool_core.interfaces.values import Usage

__all__ = ["End", "Place", "Quota"]


class End(StrEnum):
    """How a call ended, as far as it says something about the limit."""

    ANSWERED = "answered"  #: the server answered, whatever it said
    LIMITED = "limited"  #: the server refused: too many requests
    OVERLOADED = "overloaded"  #: the server has no capacity
    FAILED = "failed"  #: no answer for another reason
    CANCELLED = "cancelled"  #: the call was given up on this side


@dataclass(slots=True)
class Place:
    """A place in a quota, from the moment it is given until its release."""

    #: Index of the member that holds it.
    member: int
    #: When it was given, on the loop's clock.
    since: float
    #: Calls in flight then, this one among them.
    in_flight: int
    #: Tokens that the call was thought to need.
    tokens: float


class Quota:
    """At most `limit` requests in flight, first come, first served; none while paused.

    Waits only on the running event loop. `release` must follow every place that was given.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0
        #: Most requests that were ever in flight.
        self.peak = 0
        self._waiting: deque[tuple[asyncio.Future[Place], int, float]] = deque()
        self._paused_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._on_growth: list[Callable[[], None]] = []

    def on_growth(self, call: Callable[[], None]) -> None:
        """Have ``call`` called whenever `limit` has grown."""
        self._on_growth.append(call)

    def try_acquire(self, member: int, tokens: float = 0.0) -> Place | None:
        """A place, if one is free and nobody waits for it."""
        if self.in_flight >= self.limit or self._waiting or self._timer is not None:
            return None
        return self._take(member, tokens)

    async def acquire(self, member: int, tokens: float = 0.0) -> Place:
        """Wait for a place. ``tokens`` is what the call is thought to need, prompt and answer together."""
        place = self.try_acquire(member, tokens)
        if place is not None:
            return place
        future: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        self._waiting.append((future, member, tokens))
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.release(future.result(), End.CANCELLED)  # it was given in the moment of the cancellation
            raise

    def release(self, place: Place, end: End, usage: Usage | None = None) -> None:
        """Give ``place`` back, and tell how its call ended and what it used."""
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

    def _take(self, member: int, tokens: float) -> Place:
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        return Place(member, asyncio.get_running_loop().time(), self.in_flight, tokens)

    def _admit(self) -> None:
        while self._waiting and self.in_flight < self.limit and self._timer is None:
            future, member, tokens = self._waiting.popleft()
            if not future.done():
                future.set_result(self._take(member, tokens))
