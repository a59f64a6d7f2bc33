"""Asking for one cell: through the breaker and the quota, to the backend, and what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any, TypeVar

from pool_core.engine.attempt import send, send_hedged
from pool_core.engine.breaker import Breaker
from pool_core.engine.budget import Reservation
from pool_core.engine.health import Health
from pool_core.engine.hedge import HedgePlan
from pool_core.engine.quota import End, Place, Quota
from pool_core.engine.retry import TROUBLES, RetryBudget
from pool_core.engine.spending import Spending
from pool_core.engine.step import Next, Step, choose_step
from pool_core.engine.work import Cell, WorkList, read_usage
from pool_core.errors import BackendError, PluginError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.values import Answer, Cause, Request, Usage

__all__ = ["Caller"]

T = TypeVar("T")

_ENDS = {Cause.RATE_LIMIT: End.LIMITED, Cause.OVERLOADED: End.OVERLOADED}


class _StoppedError(Exception):
    """The wait for a place was ended by `Caller.stop`."""


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
        self._breaker = Breaker(random)
        self._health = Health(self._limits)
        self._hedging = HedgePlan(work.member.hedge) if work.member.hedge else None
        self._waiting: set[asyncio.Task[Any]] = set()
        self._stopped = False
        self._refreshing = asyncio.Lock()
        self._key_read_at = float("-inf")

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
                return Step(Next.END)
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
            tokens = self._spending.guess_tokens(body)
            place = self._quota.try_acquire(self._work.member.index, tokens)
            if place is None:
                place = await self._wait(self._quota.acquire(self._work.member.index, tokens))
        except _StoppedError:
            self._spending.release(reservation)
            return Step(Next.LEAVE)
        return await self._call(cell, place, reservation, probe=probe)

    async def _wait(self, wait: Coroutine[Any, Any, T]) -> T:
        """Wait for ``wait``, which `stop` ends. Raises `_StoppedError`."""
        task = asyncio.current_task()
        assert task is not None
        self._waiting.add(task)
        try:
            return await wait
        except asyncio.CancelledError:
            if self._stopped and task.uncancel() == 0:
                raise _StoppedError from None
            raise
        finally:
            self._waiting.discard(task)

    async def _call(self, cell: Cell, place: Place, reservation: Reservation | None, *, probe: bool) -> Step:
        assert cell.request is not None
        body = cell.request.body
        loop = asyncio.get_running_loop()
        sent = loop.time()
        if not cell.attempts:
            cell.started = sent
        self._count_request(cell)
        end, usage = End.CANCELLED, None
        error: BackendError | None = None
        try:
            answer = await self._send(cell)
            end, usage = End.ANSWERED, read_usage(answer)
        except BackendError as raised:
            error, end = raised, _ENDS.get(raised.cause, End.FAILED)
            step = self._judge_failure(cell, error, loop.time(), probe=probe)
        finally:
            self._work.progress.in_flight -= 1
            self._quota.release(place, end, usage)
            if end is End.CANCELLED:
                self._breaker.note_neutral(probe=probe)
            maybe_billed = end is End.CANCELLED if error is None else error.maybe_billed
            self._settle(reservation, body, usage, maybe_billed=maybe_billed)
        if error is not None:
            refused = error.cause is Cause.AUTH and not error.stops_member
            return Step(Next.AGAIN) if refused and await self._has_new_key(cell, sent) else step
        now = loop.time()
        self._note_answer(cell, now - sent)
        try:
            ended = await self._work.read_reply(cell, answer, latency=now - sent, seconds=now - cell.started)
        except PluginError as error:
            return Step(Next.LEAVE, stop=str(error))
        return Step(Next.END if ended else Next.AGAIN)

    def _count_request(self, cell: Cell) -> None:
        progress = self._work.progress
        progress.in_flight += 1
        progress.requests += 1
        progress.retries += cell.attempts > 0
        cell.attempts += 1

    async def _send(self, cell: Cell) -> Answer:
        assert cell.request is not None
        name, request = self._work.member.backend.name, cell.request
        if self._hedging is None:
            return await send(self._backend, name, request)
        lost = False

        async def send_first() -> Answer:
            nonlocal lost
            try:
                return await send(self._backend, name, request)
            except asyncio.CancelledError:
                lost = True
                raise

        began = asyncio.get_running_loop().time()
        answer, spare = await send_hedged(send_first(), lambda: self._start_second(cell), self._hedging.threshold)
        self._work.progress.maybe_billed += lost
        for each in spare:
            self._work.keep_spare(cell, each, asyncio.get_running_loop().time() - began)
        return answer

    def _start_second(self, cell: Cell) -> Coroutine[Any, Any, Answer] | None:
        """A second request for ``cell``, if the share of those and the budget allow one."""
        assert self._hedging is not None
        assert cell.request is not None
        if not self._hedging.take():
            return None
        reservation = self._spending.try_reserve(cell.request.body)
        if self._spending.limited and reservation is None:
            return None
        return self._send_second(cell, cell.request, reservation)

    async def _send_second(self, cell: Cell, request: Request, reservation: Reservation | None) -> Answer:
        place: Place | None = None
        end, usage = End.CANCELLED, None
        try:
            tokens = self._spending.guess_tokens(request.body)
            place = await self._quota.acquire(self._work.member.index, tokens)
            self._work.progress.hedges += 1
            self._count_request(cell)
            answer = await send(self._backend, self._work.member.backend.name, request)
            end, usage = End.ANSWERED, read_usage(answer)
        except BackendError as error:
            end = _ENDS.get(error.cause, End.FAILED)
            raise
        else:
            return answer
        finally:
            if place is None:
                self._spending.release(reservation)
            else:
                self._work.progress.in_flight -= 1
                self._quota.release(place, end, usage)
                self._settle(reservation, request.body, usage, maybe_billed=end is End.CANCELLED)

    def _settle(self, reservation: Reservation | None, body: bytes, usage: Usage | None, *, maybe_billed: bool) -> None:
        self._work.progress.maybe_billed += maybe_billed
        if usage is not None or maybe_billed:
            self._spending.settle(reservation, body, usage or Usage())
        else:
            self._spending.release(reservation)

    def _note_answer(self, cell: Cell, latency: float) -> None:
        self._health.note_answer()
        self._breaker.note_success()
        self._retries.note_success(of_retry=cell.failures > 0)
        if self._hedging is not None:
            self._hedging.note_latency(latency)

    def _judge_failure(self, cell: Cell, error: BackendError, now: float, *, probe: bool) -> Step:
        """What becomes of ``cell``. Pauses the quota before the place is free, which the next call would take."""
        self._note_failure(error.cause, probe=probe)
        cell.failures += error.cause is not Cause.RATE_LIMIT
        cell.billed += error.maybe_billed
        if reason := self._health.note_failure(error, cell.failures, self._breaker.failed_probes, now):
            return Step(Next.FAIL, error=error, stop=reason)
        step = choose_step(cell, error, self._limits, self._random, now, probe=probe)
        named = error.retry_after if error.cause is Cause.RATE_LIMIT else None
        if step.next is Next.WAIT:
            self._quota.pause(step.seconds)
        elif named is not None and 0 < named <= self._limits.max_wait:
            self._quota.pause(named)  # the cell gives up; the others heed the server all the same
        return step

    def _note_failure(self, cause: Cause, *, probe: bool) -> None:
        if cause in TROUBLES:
            self._breaker.note_failure(probe=probe)
        elif cause in (Cause.RATE_LIMIT, Cause.PLUGIN):
            self._breaker.note_neutral(probe=probe)
        else:
            self._breaker.note_success()  # the server works, and refuses this one request

    async def _has_new_key(self, cell: Cell, sent: float) -> bool:
        """Whether the key has changed since ``cell`` was sent; it is read again once per cell."""
        if not self._health.answered or cell.refreshed:
            return False
        cell.refreshed = True
        async with self._refreshing:
            if sent < self._key_read_at:
                return True  # the failure of another cell has led to a new key meanwhile
            try:
                changed = await self._backend.refresh()
            except BackendError:
                return False  # the refusal that led here says what is wrong
            if changed:
                self._key_read_at = asyncio.get_running_loop().time()
            return changed
