"""Load on a quota: workers that ask a server of the world as lanes do, without a plan or a store."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass
from random import Random

from pool_core.engine.quota import End, Quota
from pool_core.engine.retry import compute_backoff
from pool_core.errors import BackendError
from pool_core.interfaces.values import Cause
from pool_core.testing.model_server import Counts, ModelServer

__all__ = ["Load", "Moment"]

_ENDS = {Cause.RATE_LIMIT: End.LIMITED, Cause.OVERLOADED: End.OVERLOADED}


@dataclass(frozen=True, slots=True)
class Moment:
    """How things stood at a time of the loop's clock, in seconds."""

    time: float
    limit: int
    in_flight: int
    counts: Counts


@dataclass(slots=True)
class _Call:
    """How often a call has failed, and how often it was sent back as one too many."""

    failures: int = 0
    waits: int = 0


class Load:
    """Members that always have more to ask. A call that fails waits and is sent again, as in a lane."""

    def __init__(
        self, quota: Quota, server: ModelServer, *, members: int = 1, timeout: float = 120.0, seed: int = 0
    ) -> None:
        self.quota = quota
        self.server = server
        #: Answers by member.
        self.answered: Counter[int] = Counter()
        #: One per second of `run`, the first at its beginning.
        self.curve: list[Moment] = []
        self._members = range(members)
        self._timeout = timeout
        self._random = Random(seed)  # noqa: S311 - not for secrets
        self._tasks: list[asyncio.Task[None]] = []
        #: By member, the calls that wait no longer, and how many still wait.
        self._ready: dict[int, deque[_Call]] = {member: deque() for member in self._members}
        self._delayed: Counter[int] = Counter()

    async def run(self, seconds: float) -> None:
        """Ask for ``seconds``, then give up what is in flight."""
        loop = asyncio.get_running_loop()
        self.quota.on_growth(self._add_workers)
        self._add_workers()
        end = loop.time() + seconds
        while True:
            self.curve.append(Moment(loop.time(), self.quota.limit, self.quota.in_flight, self.server.count()))
            if loop.time() >= end:
                break
            await asyncio.sleep(min(1.0, end - loop.time()))
        for task in self._tasks:
            task.cancel()
        ends = await asyncio.gather(*self._tasks, return_exceptions=True)
        for broken in (end for end in ends if isinstance(end, Exception)):
            raise broken

    def _add_workers(self) -> None:
        while len(self._tasks) < self.quota.limit * len(self._members):
            member = len(self._tasks) % len(self._members)
            self._tasks.append(asyncio.ensure_future(self._work(member)))

    async def _work(self, member: int) -> None:
        while True:
            if self._ready[member]:
                await self._ask(member, self._ready[member].popleft())
            elif self._delayed[member] < max(64, 4 * self.quota.limit):
                await self._ask(member, _Call())
            else:
                await asyncio.sleep(0.1)

    async def _ask(self, member: int, call: _Call) -> None:
        place = await self.quota.acquire(member, self.server.script.tokens)
        end, usage = End.CANCELLED, None
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self.server.answer()
            end, usage = End.ANSWERED, answer.usage
            self.answered[member] += 1
        except BackendError as error:
            end = _ENDS.get(error.cause, End.FAILED)
            self._delay(member, call, error)
        except TimeoutError:
            end = End.FAILED
            self._delay(member, call, BackendError(Cause.TIMEOUT, "no answer in time"))
        finally:
            self.quota.release(place, end, usage)

    def _delay(self, member: int, call: _Call, error: BackendError) -> None:
        if error.cause is Cause.RATE_LIMIT:
            call.waits += 1
            seconds = compute_backoff(call.waits, error.retry_after, self._random)
            self.quota.pause(seconds)
        else:
            call.failures += 1
            seconds = compute_backoff(call.failures, error.retry_after, self._random)
        self._delayed[member] += 1
        asyncio.get_running_loop().call_later(seconds, self._end_delay, member, call)

    def _end_delay(self, member: int, call: _Call) -> None:
        self._delayed[member] -= 1
        self._ready[member].append(call)
