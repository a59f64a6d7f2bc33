"""A model server in virtual time: how long it takes, how much it bears, and when it is out of order."""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from random import Random
from typing import Literal, NoReturn

from pool_core.errors import BackendError
from pool_core.interfaces.values import Answer, Cause, Usage

__all__ = ["Counts", "Event", "ModelServer", "Outage", "ServerScript"]

#: The minute over which a server counts requests and tokens, in seconds.
MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which a server does not do its work, in seconds of the loop's clock.

    ``down`` refuses connections, ``failing`` answers with an error, ``limited`` refuses every call as one
    too many, ``silent`` is a partition: requests and answers of that time are lost without a word.
    """

    start: float
    end: float
    kind: Literal["down", "failing", "limited", "silent"] = "down"


@dataclass(frozen=True, slots=True)
class ServerScript:
    """What a server does. Times are in seconds; random figures are lognormal, given by their median."""

    #: Calls that it works on at a time, or steps: pairs of a time and the number from then on.
    capacity: int | Sequence[tuple[float, int]] = 16
    #: Calls that may wait for their turn beyond that; all others are refused.
    queue: int = 0
    #: Time that a call takes, and the standard deviation of its logarithm.
    latency: float = 1.0
    spread: float = 0.5
    #: Tokens of an answer, the standard deviation of their logarithm, and the time that each takes on top.
    tokens: float = 200.0
    token_spread: float = 0.0
    per_token: float = 0.0
    #: By what share of the first latency latency grows in a second.
    drift: float = 0.0
    #: Calls at a time that make each take twice as long as alone.
    batching: float = math.inf
    #: Mean time that a request, and an answer, is on its way.
    travel: float = 0.0
    #: Time that the server takes to refuse or to fail, and the wait that it names then.
    refusal: float = 0.02
    retry_after: float | None = None
    #: Requests and tokens that it allows in any minute.
    rpm: int | None = None
    tpm: int | None = None
    #: Share of the calls that it refuses for no reason of ours.
    moods: float = 0.0
    outages: Sequence[Outage] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at a server."""

    time: float
    server: str
    #: Number of the request among those of the server, from 1.
    request: int
    what: Literal["arrived", "started", "answered", "refused", "failed", "lost"]


@dataclass(slots=True)
class Counts:
    """What a server has counted since the world began, or between two moments."""

    requests: int = 0
    answered: int = 0
    refused: int = 0
    #: Those of `refused` that passed `ServerScript.rpm` or `ServerScript.tpm`.
    over_rate: int = 0
    #: Failed or lost in an outage.
    failed: int = 0
    #: Seconds of work on calls, those at one time added up.
    busy: float = 0.0
    #: Seconds that the capacity had to offer.
    offered: float = 0.0
    #: Most calls that it ever worked on at a time.
    peak: int = 0

    @property
    def utilisation(self) -> float:
        """Share of the capacity that was used."""
        return self.busy / self.offered if self.offered else 0.0

    @property
    def refused_share(self) -> float:
        """Share of the requests that were refused."""
        return self.refused / self.requests if self.requests else 0.0

    def since(self, earlier: Counts) -> Counts:
        """What was counted after ``earlier``."""
        between = {f.name: getattr(self, f.name) - getattr(earlier, f.name) for f in fields(self)}
        return Counts(**between | {"peak": self.peak})


class ModelServer:
    """A server that does as its script says. Made by `pool_core.testing.world.World.add_server`."""

    def __init__(self, name: str, script: ServerScript, random: Random, trace: list[Event] | None) -> None:
        self.name = name
        self.script = script
        self._random = random
        self._trace = trace
        steps = script.capacity if not isinstance(script.capacity, int) else [(0.0, script.capacity)]
        self._step_times = [at for at, _ in steps]
        self._capacities = [number for _, number in steps]
        self._counts = Counts()
        self._counted_until = 0.0
        self._working = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._requests = _Window(script.rpm)
        self._tokens = _Window(script.tpm)
        self._scheduled = False

    def find_capacity(self, at: float) -> int:
        """Calls that it can work on at a time, at the time ``at``."""
        return self._capacities[max(0, bisect_right(self._step_times, at) - 1)]

    def count(self) -> Counts:
        """What was counted until now, in the running loop."""
        self._count_time()
        return replace(self._counts)

    async def answer(self, prompt_tokens: int = 0) -> Answer:
        """Answer one request.

        Raises:
            BackendError: refused or failed. In a partition it waits until it is cancelled.
        """
        self._schedule_steps()
        script, random = self.script, self._random
        await self._travel()
        self._count_time()
        self._counts.requests += 1
        number = self._counts.requests
        self._note(number, "arrived")
        await self._suffer_outage(number)
        output_tokens = max(1, round(script.tokens * random.lognormvariate(0.0, script.token_spread)))
        await self._check_rate(number, prompt_tokens + output_tokens)
        await self._take_turn(number)
        self._note(number, "started")
        try:
            seconds = script.latency * random.lognormvariate(0.0, script.spread) + output_tokens * script.per_token
            seconds *= 1.0 + script.drift * asyncio.get_running_loop().time()
            await asyncio.sleep(seconds * (1.0 + self._working / script.batching))
        finally:
            self._end_turn()
        if self._find_outage() == "silent":
            await self._lose(number)
        self._counts.answered += 1
        self._note(number, "answered")
        await self._travel()
        return Answer("yes", "stop", Usage(prompt_tokens, output_tokens), self.name)

    async def _travel(self) -> None:
        if self.script.travel:
            await asyncio.sleep(self._random.uniform(0.5, 1.5) * self.script.travel)

    def _find_outage(self) -> str | None:
        now = asyncio.get_running_loop().time()
        return next((outage.kind for outage in self.script.outages if outage.start <= now < outage.end), None)

    async def _suffer_outage(self, number: int) -> None:
        match self._find_outage():
            case None:
                return
            case "limited":
                await self._refuse(number, "slow down", self.script.retry_after)
            case "silent":
                await self._lose(number)
            case "down":
                await self._fail(number, BackendError(Cause.TRANSPORT, f"{self.name}: connection refused"))
            case _:
                await self._fail(number, BackendError(Cause.SERVER, f"{self.name}: internal error"))

    async def _check_rate(self, number: int, tokens: int) -> None:
        """Count the request and its tokens over a sliding minute, or refuse it."""
        now = asyncio.get_running_loop().time()
        wait = max(self._requests.compute_wait(now, 1), self._tokens.compute_wait(now, tokens))
        if wait > 0:
            self._counts.over_rate += 1
            await self._refuse(number, "the rate is used up", wait)
        self._requests.add(now, 1)
        self._tokens.add(now, tokens)

    async def _take_turn(self, number: int) -> None:
        """Wait for a turn, or refuse the call."""
        loop = asyncio.get_running_loop()
        if self.script.moods and self._random.random() < self.script.moods:
            await self._refuse(number, "not now", self.script.retry_after)
        if self._working < self.find_capacity(loop.time()):
            self._begin_turn()
            return
        if len(self._waiting) >= self.script.queue:
            await self._refuse(number, "too many calls at a time", self.script.retry_after)
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._end_turn()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    async def _refuse(self, number: int, why: str, retry_after: float | None) -> NoReturn:
        self._counts.refused += 1
        self._note(number, "refused")
        await asyncio.sleep(self.script.refusal)
        await self._travel()
        raise BackendError(Cause.RATE_LIMIT, f"{self.name}: {why}", retry_after=retry_after)

    async def _fail(self, number: int, error: BackendError) -> NoReturn:
        self._counts.failed += 1
        self._note(number, "failed")
        await asyncio.sleep(self.script.refusal)
        raise error

    async def _lose(self, number: int) -> NoReturn:
        self._counts.failed += 1
        self._note(number, "lost")
        await asyncio.get_running_loop().create_future()
        raise AssertionError("nothing ever comes back")

    def _begin_turn(self) -> None:
        self._count_time()
        self._working += 1
        self._counts.peak = max(self._counts.peak, self._working)

    def _end_turn(self) -> None:
        self._count_time()
        self._working -= 1
        self._begin_turns()

    def _begin_turns(self) -> None:
        capacity = self.find_capacity(asyncio.get_running_loop().time())
        while self._waiting and self._working < capacity:
            turn = self._waiting.popleft()
            if not turn.done():
                self._begin_turn()
                turn.set_result(None)

    def _schedule_steps(self) -> None:
        """Have calls that wait begin in the moment when the capacity grows."""
        if self._scheduled:
            return
        self._scheduled = True
        loop = asyncio.get_running_loop()
        for at in self._step_times:
            if at > loop.time():
                loop.call_at(at, self._begin_turns)

    def _count_time(self) -> None:
        """Bring the sums over time up to now."""
        now, at = asyncio.get_running_loop().time(), self._counted_until
        self._counts.busy += self._working * (now - at)
        while at < now:
            step = bisect_right(self._step_times, at)
            end = min(now, self._step_times[step]) if step < len(self._step_times) else now
            self._counts.offered += self.find_capacity(at) * (end - at)
            at = end
        self._counted_until = now

    def _note(self, number: int, what: Literal["arrived", "started", "answered", "refused", "failed", "lost"]) -> None:
        if self._trace is not None:
            self._trace.append(Event(asyncio.get_running_loop().time(), self.name, number, what))


class _Window:
    """A sliding minute in which no more than ``most`` may be counted."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._entries: deque[tuple[float, int]] = deque()
        self._total = 0

    def compute_wait(self, now: float, amount: int) -> float:
        """Seconds until ``amount`` more fit, at least; 0 where they fit now."""
        if self._most is None:
            return 0.0
        while self._entries and self._entries[0][0] <= now - MINUTE:
            self._total -= self._entries.popleft()[1]
        if self._total + amount <= self._most:
            return 0.0
        return self._entries[0][0] + MINUTE - now if self._entries else MINUTE

    def add(self, now: float, amount: int) -> None:
        if self._most is not None:
            self._entries.append((now, amount))
            self._total += amount
