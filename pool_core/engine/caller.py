"""Asking for one cell: through the breaker and the quota, to the backend, and what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from random import Random
from typing import Any, TypeVar

from pool_core.engine.attempt import GRACE_SECONDS, Second, refresh, send, send_hedged
from pool_core.engine.breaker import Breaker
from pool_core.engine.budget import Reservation
from pool_core.engine.cell import Cell
from pool_core.engine.deadline import Deadline
from pool_core.engine.health import Health
from pool_core.engine.hedge import HedgePlan
from pool_core.engine.quota import End, Place, Quota
from pool_core.engine.recording import read_usage
from pool_core.engine.retry import TROUBLES, RetryBudget
from pool_core.engine.spending import Spending
from pool_core.engine.step import Next, Step, choose_step
from pool_core.engine.work import WorkList
from pool_core.errors import BackendError, PluginError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.values import Answer, Cause, Usage

__all__ = ["Caller"]

T = TypeVar("T")

_ENDED = Step(Next.END)
_ENDS = {Cause.RATE_LIMIT: End.LIMITED, Cause.OVERLOADED: End.OVERLOADED}


class _StoppedError(Exception):
    """The wait for a place was ended by `Caller.stop`."""


@dataclass(slots=True)
class _Call:
    """A call: what it holds, and how it ended."""

    place: Place
    reservation: Reservation | None
    end: End = End.CANCELLED
    usage: Usage | None = None


class Caller:
    """Calls one member's backend. Says what becomes of each cell, and leaves doing it to the lane."""

    def __init__(
        self,
        work: WorkList,
        backend: Backend[Any],
        quota: Quota,
        retries: RetryBudget,
        spending: Spending,
        random: Random,
    ) -> None:
        self._work = work
        self._backend = backend
        self._quota = quota
        self._retries = retries
        self._spending = spending
        self._random = random
        self._limits = work.member.limits
        self._deadline = Deadline(self._limits.timeout + GRACE_SECONDS)
        self._breaker = Breaker(random)
        self._health = Health(self._limits)
        self._hedging = HedgePlan(work.member.hedge) if work.member.hedge else None
        #: In the order of their coming: one run of a seed is like the other, so no set.
        self._waiting: dict[asyncio.Task[Any], None] = {}
        self._stopped = False
        self._refreshing = asyncio.Lock()
        self._key_read_at = float("-inf")

    @property
    def healthy(self) -> bool:
        """Whether calls pass freely: the server has not failed call after call."""
        return self._breaker.closed

    def stop(self) -> None:
        """Send nothing more. What is in flight may finish."""
        self._stopped = True
        self._breaker.close()
        for task in self._waiting:
            task.cancel()

    async def ask(self, cell: Cell) -> Step:
        """Ask for ``cell``, unless a stored answer ends it."""
        try:
            if cell.request is None and not await self._work.prepare(cell, self._backend):
                return _ENDED
        except PluginError as error:
            return Step(Next.LEAVE, stop=str(error))
        if self._stopped:
            return Step(Next.LEAVE)
        assert cell.request is not None
        body, reservation = cell.request.body, None
        try:
            probe = not self._breaker.closed and await self._wait(self._breaker.wait())
            if self._spending.limited and (reservation := await self._wait(self._spending.reserve(body))) is None:
                return Step(Next.LEAVE)
            tokens = self._guess_tokens(body)
            place = self._quota.try_acquire(self._work.member.index, tokens)
            if place is None:
                place = await self._wait(self._quota.acquire(self._work.member.index, tokens))
        except _StoppedError:
            self._spending.release(reservation)
            return Step(Next.LEAVE)
        if self._spending.overdrawn or not (probe or self._breaker.closed):  # has changed while it waited for its place
            self._spending.release(reservation)
            self._quota.release(place, End.CANCELLED)
            self._breaker.note_neutral(probe=probe)
            return Step(Next.AGAIN)
        return await self._call(cell, place, reservation, probe=probe)

    def _guess_tokens(self, body: bytes) -> int:
        """What the quota is told that a call needs; 0 where it does not count tokens."""
        return self._spending.guess_tokens(body) if self._quota.counts_tokens else 0

    async def _wait(self, wait: Coroutine[Any, Any, T]) -> T:
        """Wait for ``wait``, which `stop` ends. Raises `_StoppedError`."""
        task = asyncio.current_task()
        assert task is not None
        self._waiting[task] = None
        try:
            return await wait
        except asyncio.CancelledError:
            if self._stopped and task.uncancel() == 0:
                raise _StoppedError from None
            raise
        finally:
            del self._waiting[task]

    async def _call(self, cell: Cell, place: Place, reservation: Reservation | None, *, probe: bool) -> Step:
        loop = asyncio.get_running_loop()
        sent = loop.time()
        if not cell.attempts:
            cell.started = sent
        call = _Call(place, reservation)
        error: BackendError | None = None
        try:
            answer = await (self._send_once(cell, call) if self._hedging is None else self._send(cell, call))
        except BackendError as raised:
            error = raised
            step = self._judge_failure(cell, error, loop.time(), probe=probe)
        finally:
            self._quota.release(place, call.end, call.usage)
            if call.end is End.CANCELLED:
                self._breaker.note_neutral(probe=probe)
        if error is not None:
            if error.cause is Cause.AUTH and not error.stops_member:
                return await self._try_new_key(cell, sent, step)
            return step
        now = loop.time()
        self._note_answer(cell, now - sent)
        try:
            ended = await self._work.read_reply(cell, answer, latency=now - sent, seconds=now - cell.started)
        except PluginError as error:
            return Step(Next.LEAVE, stop=str(error))
        return _ENDED if ended else Step(Next.AGAIN)

    async def _send(self, cell: Cell, call: _Call) -> Answer:
        """Send the request of ``cell``, and a second time where the first is slow."""
        threshold = self._hedging.threshold if self._hedging is not None else None
        if threshold is None:
            return await self._send_once(cell, call)
        began = asyncio.get_running_loop().time()

        def keep(answer: Answer) -> None:
            self._work.keep_spare(cell, answer, asyncio.get_running_loop().time() - began)

        return await send_hedged(
            self._send_once(cell, call), lambda again: self._send_second(cell, again), threshold, keep
        )

    async def _send_second(self, cell: Cell, again: Second) -> Answer | None:
        """Send the request of ``cell`` once more, if the share, the budget, the breaker and the quota let it pass."""
        assert self._hedging is not None
        assert cell.request is not None
        if self._stopped or not self._breaker.closed or not self._hedging.take():
            return None
        body = cell.request.body
        reservation = self._spending.try_reserve(body)
        if self._spending.limited and reservation is None:
            return None
        call: _Call | None = None
        try:
            index, tokens = self._work.member.index, self._guess_tokens(body)
            call = _Call(await self._wait(self._quota.acquire(index, tokens)), reservation)
            if self._spending.overdrawn or not self._breaker.closed or not again.needed:
                self._spending.release(reservation)
                return None
            again.sent = True
            self._work.progress.hedges += 1
            return await self._send_once(cell, call)
        except _StoppedError:
            return None
        finally:
            if call is None:
                self._spending.release(reservation)
            else:
                self._quota.release(call.place, call.end, call.usage)

    async def _send_once(self, cell: Cell, call: _Call) -> Answer:
        """Send the request of ``cell``, and keep the accounts of this one call. Its place is for others to release."""
        assert cell.request is not None
        progress = self._work.progress
        progress.in_flight += 1
        progress.requests += 1
        progress.retries += cell.attempts > 0
        cell.attempts += 1
        maybe_billed = True
        try:
            answer = await send(self._backend, self._work.member.backend.name, cell.request, self._deadline)
            call.end, call.usage, maybe_billed = End.ANSWERED, read_usage(answer), False
        except BackendError as error:
            call.end, maybe_billed = _ENDS.get(error.cause, End.FAILED), error.maybe_billed
            self._heed_wait(error)
            raise
        finally:
            progress.in_flight -= 1
            progress.maybe_billed += maybe_billed
            self._settle(call, cell.request.body, maybe_billed=maybe_billed)
        return answer

    def _heed_wait(self, error: BackendError) -> None:
        """Pause the quota for a wait that a server names, whatever becomes of the cell.

        Before the call's place is free: the next call would take it. A wait that is longer than this
        member's patience stops the member; the others ask, and are told the same.
        """
        named = error.retry_after if error.cause in _ENDS else None
        if named is not None and 0 < named <= self._limits.max_wait:
            self._quota.pause(named)

    def _settle(self, call: _Call, body: bytes, *, maybe_billed: bool) -> None:
        if call.usage is not None or maybe_billed:
            self._spending.settle(call.reservation, body, call.usage or Usage())
        else:
            self._spending.release(call.reservation)

    def _note_answer(self, cell: Cell, latency: float) -> None:
        self._health.note_answer()
        self._breaker.note_success()
        self._retries.note_success(of_retry=cell.failures > 0)
        if self._hedging is not None:
            self._hedging.note_latency(latency)

    def _judge_failure(self, cell: Cell, error: BackendError, now: float, *, probe: bool) -> Step:
        """What becomes of ``cell``."""
        self._note_failure(error.cause, probe=probe)
        cell.failures += error.cause is not Cause.RATE_LIMIT
        cell.billed += error.maybe_billed
        if reason := self._health.note_failure(error, cell.failures, self._breaker.failed_probes, now):
            return Step(Next.FAIL, error=error, stop=reason)
        step = choose_step(cell, error, self._limits, self._random, now, probe=probe)
        if step.next is Next.WAIT:
            self._quota.pause(step.seconds)  # before the call's place is free, as in `_heed_wait`
        return step

    def _note_failure(self, cause: Cause, *, probe: bool) -> None:
        if cause in TROUBLES:
            self._breaker.note_failure(probe=probe)
        elif cause in (Cause.RATE_LIMIT, Cause.PLUGIN):
            self._breaker.note_neutral(probe=probe)
        else:
            self._breaker.note_success()  # the server works, and refuses this one request

    async def _try_new_key(self, cell: Cell, sent: float, refused: Step) -> Step:
        """Ask again where the key has changed since ``cell`` was sent; it is read again once per cell."""
        if not self._health.answered or cell.refreshed:
            return refused
        cell.refreshed = True
        try:
            return Step(Next.AGAIN) if await self._wait(self._read_key(sent)) else refused
        except BackendError as error:
            return replace(refused, stop=f"{refused.stop}; the key cannot be read again: {error.message}")
        except _StoppedError:
            return refused

    async def _read_key(self, sent: float) -> bool:
        """Whether the key is another one than at ``sent``. Raises `BackendError` where it cannot be read."""
        async with self._refreshing:
            if sent < self._key_read_at:
                return True  # the failure of another cell has led to a new key meanwhile
            if await refresh(self._backend, self._limits.timeout):
                self._key_read_at = asyncio.get_running_loop().time()
                return True
            return False
