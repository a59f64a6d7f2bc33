"""A quota: one real limit, shared by the members that use it."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable

from pool_core.engine.adapt.limit import AdaptiveLimit
from pool_core.engine.place import End, Place
from pool_core.engine.rate import Rate, count_tokens
from pool_core.interfaces.values import Usage

__all__ = ["End", "Place", "Quota"]

#: Those of one member that wait, in the order of asking, with the tokens that each needs.
_Queue = OrderedDict[asyncio.Future[Place], float]

#: A wait of no more than this many seconds is none: no timer is more exact.
NO_WAIT = 0.0001


class Quota:
    """At most `limit` requests in flight, at most `rate` in a minute, none while paused.

    Members are served in turn, and within a member it is first come, first served. The one whose
    turn it is holds up the others while it waits for its rate, so that a large request is not
    overtaken for ever. Waits only on the running event loop, with one timer however many wait.
    `release` must follow every place that was given.
    """

    def __init__(self, limit: int | AdaptiveLimit, rate: Rate | None = None) -> None:
        self._adaptive = limit if isinstance(limit, AdaptiveLimit) else None
        #: Most requests in flight, as things stand.
        self.limit = limit.current if isinstance(limit, AdaptiveLimit) else limit
        self._rate = rate
        #: Whether it matters how many tokens a call is thought to need.
        self.counts_tokens = rate is not None and rate.counts_tokens
        self.in_flight = 0
        #: Most requests that were ever in flight.
        self.peak = 0
        #: Places that were ever given.
        self.admitted = 0
        #: By member, in the order of their turns. A member is in it only while one of its calls waits.
        self._waiting: OrderedDict[int, _Queue] = OrderedDict()
        self._paused_until = 0.0
        #: Set while one that waits may be admitted at a certain time.
        self._timer: asyncio.TimerHandle | None = None
        #: When it is due. uvloop's handle of a timer that is due at once does not say.
        self._due = math.inf
        self._on_growth: list[Callable[[], None]] = []
        #: The loop that runs; to ask for it costs a system call.
        self._loop: asyncio.AbstractEventLoop | None = None

    def on_growth(self, call: Callable[[], None]) -> None:
        """Have ``call`` called whenever `limit` has grown."""
        self._on_growth.append(call)

    def try_acquire(self, member: int, tokens: float = 0.0) -> Place | None:
        """A place, if one is free and nobody waits for it."""
        if self.in_flight >= self.limit or self._waiting:
            return None
        now = self._get_time()
        if self._compute_wait(now, tokens) > NO_WAIT:
            return None
        return self._take(member, tokens, now)

    async def acquire(self, member: int, tokens: float = 0.0) -> Place:
        """Wait for a place. ``tokens`` is what the call is thought to need, prompt and answer together."""
        place = self.try_acquire(member, tokens)
        if place is not None:
            return place
        future: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(member, OrderedDict())[future] = tokens
        self._admit()  # sets the timer where neither a place is missing nor another one waits
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._give_back(future.result())
            else:
                self._forget(member, future)
            raise

    def release(self, place: Place, end: End, usage: Usage | None = None) -> None:
        """Give ``place`` back, and tell how its call ended and what it used: whole numbers of tokens, 0 or more."""
        self.in_flight -= 1
        if self._rate is not None:
            refused = end is End.LIMITED or end is End.OVERLOADED
            used = 0.0 if refused else count_tokens(usage)
            self._rate.note_end(self._get_time(), place.tokens, used)
        grown = self._adaptive is not None and self._adapt(self._adaptive, place, end, usage)
        if self._waiting:
            self._admit()
        if grown:
            for call in self._on_growth:
                call()

    def pause(self, seconds: float) -> None:
        """Admit nothing for ``seconds`` from now. A longer pause that runs already stays."""
        self._paused_until = max(self._paused_until, self._get_time() + seconds)

    def _get_time(self) -> float:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop.time()

    def _compute_wait(self, now: float, tokens: float) -> float:
        """Seconds until the pause and the rate let a call of ``tokens`` pass."""
        wait = self._paused_until - now
        return wait if self._rate is None else max(wait, self._rate.compute_wait(now, tokens))

    def _take(self, member: int, tokens: float, now: float) -> Place:
        self.in_flight += 1
        self.admitted += 1
        self.peak = max(self.peak, self.in_flight)
        if self._rate is not None:
            self._rate.note_departure(now, tokens)
        place = Place(member, now, self.in_flight, tokens, self.admitted)
        if self._adaptive is not None:
            self._adaptive.note_given(place)
        return place

    def _adapt(self, adaptive: AdaptiveLimit, place: Place, end: End, usage: Usage | None) -> bool:
        """Let the limit learn from a call. Returns whether it has grown."""
        adaptive.note_end(self._get_time(), place, end, usage)
        before, self.limit = self.limit, adaptive.current
        return self.limit > before

    def _admit(self) -> None:
        """Give the free places to those who wait, one to each member in turn."""
        now = self._get_time()
        while self._waiting and self.in_flight < self.limit:
            member, queue = next(iter(self._waiting.items()))
            future, tokens = next(iter(queue.items()))
            if not future.done():
                wait = self._compute_wait(now, tokens)
                if wait > NO_WAIT:
                    self._set_timer(now + wait)
                    return
                future.set_result(self._take(member, tokens, now))
            del queue[future]
            if queue:
                self._waiting.move_to_end(member)
            else:
                del self._waiting[member]

    def _forget(self, member: int, future: asyncio.Future[Place]) -> None:
        """Strike one off that gave up waiting."""
        queue = self._waiting.get(member)
        if queue is None or queue.pop(future, None) is None:
            return
        if not queue:
            del self._waiting[member]
        self._admit()  # the next one may need no wait

    def _give_back(self, place: Place) -> None:
        """Take back a place that was given in the moment when the one that asked for it gave up."""
        self.release(place, End.CANCELLED, Usage(0, 0))  # nothing was sent
        self._admit()

    def _set_timer(self, when: float) -> None:
        """Look again at ``when`` at the latest. A timer that is due before serves as well."""
        if self._timer is not None and self._due <= when:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if when < math.inf:  # else the end of another call is what it waits for
            self._timer, self._due = asyncio.get_running_loop().call_at(when, self._end_wait), when

    def _end_wait(self) -> None:
        self._timer = None
        self._admit()
