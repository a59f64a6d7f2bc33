"""A quota: one real limit, shared by the members that use it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from pool_core.engine.place import End, Place
from pool_core.interfaces.values import Usage

__all__ = ["End", "Place", "Quota"]

#: Those of one member that wait, in the order of asking, with the tokens that each needs.
_Queue = OrderedDict[asyncio.Future[Place], float]


class Quota:
    """At most `limit` requests in flight, none while paused; members are served in turn.

    Within a member it is first come, first served. Waits only on the running event loop, with one
    timer however many wait. `release` must follow every place that was given.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0
        #: Most requests that were ever in flight.
        self.peak = 0
        #: Places that were ever given.
        self.admitted = 0
        #: By member, in the order of their turns. A member is in it only while one of its calls waits.
        self._waiting: OrderedDict[int, _Queue] = OrderedDict()
        self._paused_until = 0.0
        #: Set while nothing may be admitted before a certain time.
        self._timer: asyncio.TimerHandle | None = None
        self._on_growth: list[Callable[[], None]] = []

    def on_growth(self, call: Callable[[], None]) -> None:
        """Have ``call`` called whenever `limit` has grown."""
        self._on_growth.append(call)

    def try_acquire(self, member: int, tokens: float = 0.0) -> Place | None:
        """A place, if one is free and nobody waits for it."""
        if self.in_flight >= self.limit or self._waiting or self._timer is not None:
            return None
        return self._take(member, tokens, asyncio.get_running_loop().time())

    async def acquire(self, member: int, tokens: float = 0.0) -> Place:
        """Wait for a place. ``tokens`` is what the call is thought to need, prompt and answer together."""
        place = self.try_acquire(member, tokens)
        if place is not None:
            return place
        future: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(member, OrderedDict())[future] = tokens
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.release(future.result(), End.CANCELLED)  # it was given in the moment of the cancellation
            else:
                self._forget(member, future)
            raise

    def release(self, place: Place, end: End, usage: Usage | None = None) -> None:
        """Give ``place`` back, and tell how its call ended and what it used."""
        self.in_flight -= 1
        if self._waiting:
            self._admit()

    def pause(self, seconds: float) -> None:
        """Admit nothing for ``seconds`` from now. A longer pause that runs already stays."""
        until = asyncio.get_running_loop().time() + seconds
        if until > self._paused_until:
            self._paused_until = until
            self._set_timer(until)

    def _take(self, member: int, tokens: float, now: float) -> Place:
        self.in_flight += 1
        self.admitted += 1
        self.peak = max(self.peak, self.in_flight)
        return Place(member, now, self.in_flight, tokens, self.admitted)

    def _admit(self) -> None:
        """Give the free places to those who wait, one to each member in turn."""
        now = asyncio.get_running_loop().time()
        while self._waiting and self.in_flight < self.limit and self._timer is None:
            member, queue = next(iter(self._waiting.items()))
            future, tokens = queue.popitem(last=False)
            if queue:
                self._waiting.move_to_end(member)
            else:
                del self._waiting[member]
            if not future.done():
                future.set_result(self._take(member, tokens, now))

    def _forget(self, member: int, future: asyncio.Future[Place]) -> None:
        """Strike one off that gave up waiting."""
        queue = self._waiting.get(member)
        if queue is not None and queue.pop(future, None) is not None and not queue:
            del self._waiting[member]

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(when, self._end_wait)

    def _end_wait(self) -> None:
        self._timer = None
        self._admit()
