"""A lane: one member walks the rows at its own pace."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from random import Random
from typing import Any, TypeVar

from pool_core.engine.attempt import send
from pool_core.engine.breaker import Breaker
from pool_core.engine.health import Health
from pool_core.engine.hedge import HedgePlan
from pool_core.engine.inbox import Inbox
from pool_core.engine.quota import End, Place, Quota
from pool_core.engine.retry import ACTIONS, FALLS_BACK, TROUBLES, Action, RetryBudget, compute_backoff
from pool_core.engine.waiting import WaitingRoom
from pool_core.engine.work import Cell, WorkList, read_usage
from pool_core.errors import BackendError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.values import Answer, Cause, Outcome

__all__ = ["MOST_UNWRITTEN", "Lane"]

T = TypeVar("T")

#: Unwritten outcomes at which a lane waits for the disk.
MOST_UNWRITTEN = 4096
#: Cells that may wait between their attempts; more where the quota has many places.
LEAST_WAITING = 64
#: Calls of one cell that may be billed and brought nothing, after which it is not asked again.
MOST_BILLED = 2

_ENDS = {Cause.RATE_LIMIT: End.LIMITED, Cause.OVERLOADED: End.OVERLOADED}


class _StoppedError(Exception):
    """The lane was stopped while a worker waited to send."""


class Lane:
    """Runs the cells of one member with as many workers as its quota has places.

    A cell that waits for its next attempt holds no worker and no place in the quota. How many may
    wait is bounded, and with it the memory.
    """

    def __init__(
        self,
        work: WorkList,
        backend: Backend[Any],
        quota: Quota,
        retries: RetryBudget,
        random: Random,
        room: asyncio.Event,
    ) -> None:
        self._work = work
        self._backend = backend
        self._quota = quota
        self._retries = retries
        self._random = random
        #: Set by each commit that leaves little unwritten.
        self._room = room
        self._limits = work.member.limits
        self._breaker = Breaker(random)
        self._health = Health(self._limits)
        self._hedging = HedgePlan(work.member.hedge) if work.member.hedge else None
        self._waiting = WaitingRoom(max(LEAST_WAITING, 4 * quota.limit), retries, self._wake)
        self._fallback: Lane | None = None
        self._inbox = Inbox()
        self._group: asyncio.TaskGroup | None = None
        self._workers = 0
        self._busy = 0
        self._idle: deque[asyncio.Future[None]] = deque()
        self._acquiring: set[asyncio.Task[Any]] = set()
        self._reading = asyncio.Lock()
        self._stopping = False
        #: Every further call would fail: what is left goes to the fallback.
        self._faulted = False
        self._key_read_at = float("-inf")
        quota.on_growth(self._add_workers)

    def fall_back_to(self, lane: Lane) -> None:
        """Hand cells whose calls fail here over to ``lane``."""
        self._fallback = lane
        lane._inbox.add_feeder()

    def stop(self) -> None:
        """Send nothing more. What is in flight may finish; cells that wait stay unfinished."""
        self._stopping = True
        self._end_waits()

    def stop_member(self, reason: str) -> None:
        """Send nothing more, since every call would fail. The fallback, if there is one, gets what is left."""
        if self._stopping or self._faulted:
            return
        self._work.progress.stopped = reason
        if self._fallback is None:
            self.stop()
        else:
            self._faulted = True
            self._waiting.release_all()
            self._end_waits()

    async def run(self) -> None:
        """Work until every cell is finished or the lane is stopped."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._add_workers()
        finally:
            self._group = None
            self._stopping = True
            self._breaker.close()
            self._waiting.close()
            self._inbox.close()
            if self._fallback is not None:
                self._fallback._end_feeder()

    # Workers

    def _add_workers(self) -> None:
        """Have as many workers as the quota has places and the work is worth."""
        if self._group is None or self._stopping:
            return
        most = self._quota.limit
        if not self._inbox.expects:
            most = min(most, max(1, self._work.progress.total))
        while self._workers < most:
            self._workers += 1
            self._group.create_task(self._run_worker())

    async def _run_worker(self) -> None:
        while (cell := await self._take()) is not None:
            self._busy += 1
            try:
                await self._process(cell)
            finally:
                self._busy -= 1
                if not self._busy and self._waiting.empty:
                    self._wake(True)  # the last one out lets the idle see that nothing is left
            if self._work.unwritten > MOST_UNWRITTEN:
                self._room.clear()  # more is unwritten than a group holds, so a commit will set it again
                await self._room.wait()
            else:
                await asyncio.sleep(0)  # cells that never wait must not hold up the other lanes

    async def _take(self) -> Cell | None:
        """The next cell: one that was tried before, one that was handed over, a new one. None at the end."""
        while not self._stopping:
            if (cell := self._waiting.take() or self._inbox.take()) is not None:
                return cell
            if not self._waiting.full:
                if (cell := self._work.take()) is not None:
                    return cell
                if not self._work.ended:
                    await self._read_page()
                    continue
                if not self._busy and self._waiting.empty and not self._inbox.expects:
                    return None
            idle: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(idle)
            await idle
        return None

    async def _read_page(self) -> None:
        async with self._reading:
            if self._work.needs_page:  # another worker may have read it meanwhile
                self._work.read_page()
                await asyncio.sleep(0)  # a long stretch of finished rows must not hold up the other lanes

    def _wake(self, everybody: bool) -> None:
        while self._idle:
            idle = self._idle.popleft()
            if not idle.done():
                idle.set_result(None)
                if not everybody:
                    return

    def _end_waits(self) -> None:
        for task in self._acquiring:
            task.cancel()
        self._wake(True)
        if self._stopping:
            self._inbox.close()

    async def _wait(self, wait: Coroutine[Any, Any, T]) -> T:
        """Wait for ``wait``, which `stop` ends. Raises `_StoppedError`."""
        task = asyncio.current_task()
        assert task is not None
        self._acquiring.add(task)
        try:
            return await wait
        except asyncio.CancelledError:
            if (self._stopping or self._faulted) and task.uncancel() == 0:
                raise _StoppedError from None
            raise
        finally:
            self._acquiring.discard(task)

    # One cell

    async def _process(self, cell: Cell) -> None:
        if self._faulted:
            await self._hand_over(cell, None)
            return
        if cell.request is None and not self._work.prepare(cell, self._backend):
            return
        try:
            probe = not self._breaker.closed and await self._wait(self._breaker.wait())
            place = self._quota.try_acquire(self._work.member.index) or await self._wait(
                self._quota.acquire(self._work.member.index)
            )
        except _StoppedError:
            if self._faulted:
                await self._hand_over(cell, None)
            return
        await self._ask(cell, place, probe=probe)

    async def _ask(self, cell: Cell, place: Place, *, probe: bool) -> None:
        """Send the request of ``cell``, and act on what comes of it."""
        loop = asyncio.get_running_loop()
        progress = self._work.progress
        sent = loop.time()
        if not cell.attempts:
            cell.started = sent
        progress.in_flight += 1
        progress.requests += 1
        progress.retries += cell.attempts > 0
        cell.attempts += 1
        end, usage = End.CANCELLED, None
        error: BackendError | None = None
        try:
            assert cell.request is not None
            if self._hedging is None:
                answer = await send(self._backend, self._work.member.backend.name, cell.request)
            else:
                answer = await self._send_hedged(cell, self._hedging)
            end, usage = End.ANSWERED, read_usage(answer)
        except BackendError as raised:
            error, end = raised, _ENDS.get(raised.cause, End.FAILED)
        finally:
            progress.in_flight -= 1
            self._quota.release(place, end, usage)
            if end is End.CANCELLED:
                self._breaker.note_neutral(probe=probe)
        now = loop.time()
        if error is not None:
            await self._handle_failure(cell, error, sent, probe=probe)
            return
        self._note_answer(cell, now - sent)
        if not self._work.read_reply(cell, answer, latency=now - sent, seconds=now - cell.started):
            self._waiting.put(cell)

    def _note_answer(self, cell: Cell, latency: float) -> None:
        self._health.note_answer()
        self._breaker.note_success()
        self._retries.note_success(of_retry=cell.failures > 0)
        self._waiting.release_parked()
        if self._hedging is not None:
            self._hedging.note_latency(latency)

    async def _send_hedged(self, cell: Cell, hedging: HedgePlan) -> Answer:
        """Send the request; where it is slow, send it a second time and take the first answer."""
        assert cell.request is not None
        loop = asyncio.get_running_loop()
        name, index, began = self._work.member.backend.name, self._work.member.index, loop.time()
        calls = {asyncio.ensure_future(send(self._backend, name, cell.request))}
        place: Place | None = None
        try:
            if hedging.threshold is not None:
                await asyncio.wait(calls, timeout=hedging.threshold)
                slow = not next(iter(calls)).done()
                if slow and hedging.take() and (place := self._quota.try_acquire(index)) is not None:
                    self._work.progress.requests += 1
                    self._work.progress.hedges += 1
                    cell.attempts += 1
                    calls.add(asyncio.ensure_future(send(self._backend, name, cell.request)))
            while True:
                done, calls = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
                ended = sorted(done, key=lambda call: call.exception() is not None)  # an answer comes before an error
                if ended[0].exception() is None or not calls:
                    for call in ended[1:]:
                        if call.exception() is None:
                            self._work.keep_spare(cell, call.result(), loop.time() - began)
                    return ended[0].result()
        finally:
            if place is not None:
                self._quota.release(place, End.CANCELLED)
            for call in calls:
                self._work.progress.maybe_billed += 1
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)

    # Failures

    async def _handle_failure(self, cell: Cell, error: BackendError, sent: float, *, probe: bool) -> None:
        """Act on the error's cause and on what it asks for, never on its text."""
        now = asyncio.get_running_loop().time()
        closed = self._breaker.closed
        self._note_failure(error.cause, probe=probe)
        cell.failures += closed  # what fails while the server is known to fail is not the cell's fault
        if error.maybe_billed:
            cell.billed += 1
            self._work.progress.maybe_billed += 1
        if reason := self._health.note_failure(error, cell.failures, self._breaker.failed_probes, now):
            self.stop_member(reason)
        action = Action.STOP_MEMBER if error.stops_member else ACTIONS[error.cause]
        if action is Action.STOP_MEMBER and error.cause is Cause.AUTH and await self._may_use_new_key(cell, sent):
            self._waiting.put(cell)
            return
        if not self._faulted and not self._stopping:
            match action:
                case Action.RETRY if cell.billed < MOST_BILLED and cell.failures < self._limits.attempts:
                    if (refused := self._retry(cell, error, now, probe=probe)) is None:
                        return
                    error = refused
                case Action.WAIT:
                    if (refused := self._wait_for_limit(cell, error, now)) is None:
                        return
                    error = refused
                case Action.STOP_MEMBER:
                    self.stop_member(str(error))
                case _:
                    pass
        if error.cause in FALLS_BACK and self._fallback is not None and await self._hand_over(cell, error):
            return
        self._work.finish(cell, Outcome("failed", error.cause, str(error)), seconds=now - cell.started)

    def _note_failure(self, cause: Cause, *, probe: bool) -> None:
        if cause in TROUBLES:
            self._breaker.note_failure(probe=probe)
        elif cause in (Cause.RATE_LIMIT, Cause.PLUGIN):
            self._breaker.note_neutral(probe=probe)
        else:
            self._breaker.note_success()  # the server works, and refuses this one request

    def _retry(self, cell: Cell, error: BackendError, now: float, *, probe: bool) -> BackendError | None:
        """Have ``cell`` wait for its next attempt. Returns the error that fails it where it may not."""
        seconds = 0.0 if probe else compute_backoff(max(1, cell.failures), error.retry_after, self._random)
        if error.retry_after is not None and seconds > self._limits.max_wait:
            return self._refuse_wait(error, seconds)
        if now + seconds - cell.started > self._limits.deadline:
            return _extend_message(error, f"its time is over: `limits: {{deadline: {self._limits.deadline:g}}}`")
        if probe:
            self._waiting.put(cell)
        elif self._retries.take(now):
            self._waiting.delay(cell, seconds)
        else:
            self._waiting.park(cell)
        return None

    def _wait_for_limit(self, cell: Cell, error: BackendError, now: float) -> BackendError | None:
        """Pause the quota and have ``cell`` wait. Returns the error that fails it where it may not."""
        cell.waits += 1
        seconds = compute_backoff(cell.waits, error.retry_after, self._random)
        most = self._limits.max_wait
        if error.retry_after is not None and error.retry_after > most:
            return self._refuse_wait(error, error.retry_after)
        if cell.waited + seconds > most:
            text = f"it would have waited {cell.waited + seconds:.0f} s, more than `limits: {{max_wait: {most:g}}}`"
            return _extend_message(error, text)
        if now + seconds - cell.started > self._limits.deadline:
            return _extend_message(error, f"its time is over: `limits: {{deadline: {self._limits.deadline:g}}}`")
        cell.waited += seconds
        self._quota.pause(seconds)
        self._waiting.delay(cell, seconds)
        return None

    def _refuse_wait(self, error: BackendError, seconds: float) -> BackendError:
        """Stop the member: its server asks for more patience than the recipe has."""
        until = self._work.describe_time(seconds)
        text = f"it asks to wait {seconds:.0f} s, more than `limits: {{max_wait: {self._limits.max_wait:g}}}`"
        refused = _extend_message(error, f"{text}; resume after {until}")
        self.stop_member(str(refused))
        return refused

    async def _may_use_new_key(self, cell: Cell, sent: float) -> bool:
        """Whether the key has changed since ``cell`` was sent; it is read again once per cell."""
        if not self._health.answered or cell.refreshed:
            return False
        cell.refreshed = True
        if sent < self._key_read_at:
            return True  # another cell's failure has led to a new key meanwhile
        try:
            changed = await self._backend.refresh()
        except BackendError:
            return False  # the key cannot be read any more: the refusal that led here says what is wrong
        if changed:
            self._key_read_at = asyncio.get_running_loop().time()
        return changed

    # Falling back

    async def _hand_over(self, cell: Cell, error: BackendError | None) -> bool:
        """Give ``cell`` to the fallback. Returns whether it was taken; if not, it stays as it is."""
        assert self._fallback is not None
        cell.restart()
        return await self._fallback._receive(cell)

    async def _receive(self, cell: Cell) -> bool:
        if self._stopping or not await self._inbox.put(cell):
            return False
        self._add_workers()
        self._wake(False)
        return True

    def _end_feeder(self) -> None:
        self._inbox.end_feeder()
        self._wake(True)


def _extend_message(error: BackendError, text: str) -> BackendError:
    return BackendError(error.cause, f"{error.message}; {text}", where=error.where, hint=error.hint)
