"""A lane: one member walks the rows at its own pace."""

from __future__ import annotations

import asyncio
from collections import deque
from random import Random
from typing import Any

from pool_core.engine.quota import Quota
from pool_core.engine.retry import ACTIONS, Action, compute_backoff
from pool_core.engine.work import Cell, WorkList
from pool_core.errors import BackendError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.values import Answer, Cause, Outcome

__all__ = ["Lane"]

#: Unwritten outcomes at which a lane waits for the disk.
MOST_UNWRITTEN = 4096
#: Failed connections of one cell after which a server that never said anything counts as not there.
UNREACHED_ATTEMPTS = 4


class Lane:
    """Runs the cells of one member with as many workers as its limit of concurrency.

    A cell that waits for its next attempt holds no worker and no place in the quota. How many may
    wait is bounded, and with it the memory.
    """

    def __init__(
        self, work: WorkList, backend: Backend[Any], quota: Quota, random: Random, room: asyncio.Event
    ) -> None:
        self._work = work
        self._backend = backend
        self._quota = quota
        self._random = random
        #: Set by each commit that leaves little unwritten.
        self._room = room
        self._limits = work.member.limits
        self._ready: deque[Cell] = deque()
        self._delayed = 0
        self._busy = 0
        self._idle: deque[asyncio.Future[None]] = deque()
        self._acquiring: set[asyncio.Task[None]] = set()
        self._reading = asyncio.Lock()
        self._stopping = False
        self._reached = False

    def stop(self, reason: str = "") -> None:
        """Send nothing more. What is in flight may finish; cells that wait stay unfinished."""
        self._stopping = True
        if reason and not self._work.progress.stopped:
            self._work.progress.stopped = reason
        for task in self._acquiring:
            task.cancel()
        self._wake_all()

    async def run(self) -> None:
        """Work until every cell is finished or the lane is stopped."""
        workers = min(self._limits.concurrency, max(1, self._work.progress.total))
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._run_worker())

    async def _run_worker(self) -> None:
        while (cell := await self._take()) is not None:
            self._busy += 1
            try:
                await self._process(cell)
            finally:
                self._busy -= 1
                if not self._busy and not self._delayed:
                    self._wake_all()  # the last one out lets the idle see that nothing is left
            if self._work.unwritten > MOST_UNWRITTEN:
                self._room.clear()  # more is unwritten than a group holds, so a commit will set it again
                await self._room.wait()

    async def _take(self) -> Cell | None:
        """The next cell: one whose wait is over before a new one. None when there is no more to do."""
        most_delayed = max(64, 4 * self._limits.concurrency)
        while not self._stopping:
            if self._ready:
                return self._ready.popleft()
            if self._delayed < most_delayed:
                if (cell := self._work.take()) is not None:
                    return cell
                if not self._work.ended:
                    await self._read_page()
                    continue
                if not self._busy and not self._delayed:
                    return None
            idle: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(idle)
            await idle
        return None

    async def _read_page(self) -> None:
        if self._reading.locked():
            async with self._reading:
                return
        async with self._reading:
            self._work.read_page()
            await asyncio.sleep(0)  # a long stretch of finished rows must not hold up the other lanes

    async def _process(self, cell: Cell) -> None:
        loop = asyncio.get_running_loop()
        if cell.request is None:
            cell.started = loop.time()
            if not self._work.prepare(cell, self._backend):
                return
        await self._acquire()
        if self._stopping:
            self._quota.release()
            return
        sent = loop.time()
        self._work.progress.in_flight += 1
        self._work.progress.requests += 1
        self._work.progress.retries += cell.attempts > 0
        cell.attempts += 1
        try:
            answer = await self._call(cell)
        except BackendError as error:
            self._handle_failure(cell, error)
        else:
            self._reached = True
            self._work.read_reply(cell, answer, loop.time() - sent)
        finally:
            self._work.progress.in_flight -= 1
            self._quota.release()

    async def _acquire(self) -> None:
        """Wait for a place in the quota; `stop` ends the wait."""
        if self._quota.try_acquire():
            return
        task = asyncio.current_task()
        assert task is not None
        self._acquiring.add(task)
        try:
            await self._quota.acquire()
        finally:
            self._acquiring.discard(task)

    async def _call(self, cell: Cell) -> Answer:
        """One attempt. Whatever the backend raises becomes a `BackendError`."""
        assert cell.request is not None
        timeout = self._limits.timeout
        try:
            async with asyncio.timeout(timeout):
                answer = await self._backend.generate(cell.request)
        except (BackendError, asyncio.CancelledError, KeyboardInterrupt):
            raise
        except TimeoutError as error:
            raise BackendError(Cause.TIMEOUT, f"no answer within {timeout:g} s") from error
        except BaseException as error:
            name = self._work.member.backend.name
            raise BackendError(Cause.PLUGIN, f"the backend {name} broke: {type(error).__name__}: {error}") from error
        if not isinstance(answer, Answer):
            name = self._work.member.backend.name
            raise BackendError(Cause.PLUGIN, f"the backend {name} returned {type(answer).__name__} instead of Answer")
        return answer

    def _handle_failure(self, cell: Cell, error: BackendError) -> None:
        """Act on the error's cause, and on nothing else of it."""
        match ACTIONS[error.cause]:
            case Action.RETRY:
                cell.failures += 1
                if error.cause is not Cause.TRANSPORT:
                    self._reached = True
                elif not self._reached and cell.failures >= UNREACHED_ATTEMPTS:
                    self.stop(f"its server was never reached: {error}")
                if cell.failures < self._limits.attempts and not self._stopping:
                    self._delay(cell, compute_backoff(cell.failures, error.retry_after, self._random))
                    return
            case Action.WAIT:
                self._reached = True
                cell.waits += 1
                seconds = compute_backoff(cell.waits, error.retry_after, self._random)
                if cell.waited + seconds <= self._limits.max_wait:
                    cell.waited += seconds
                    self._quota.pause(seconds)
                    self._delay(cell, seconds)
                    return
                error = BackendError(
                    error.cause,
                    f"{error.message}; it would have waited {cell.waited + seconds:.0f} s, "
                    f"more than `limits: {{max_wait: {self._limits.max_wait:g}}}`",
                )
            case Action.STOP_MEMBER:
                self.stop(str(error))
            case Action.FAIL:
                if error.stops_member:
                    self.stop(str(error))
        seconds = asyncio.get_running_loop().time() - cell.started
        self._work.finish(cell, Outcome("failed", error.cause, str(error)), seconds=seconds)

    def _delay(self, cell: Cell, seconds: float) -> None:
        self._delayed += 1
        asyncio.get_running_loop().call_later(seconds, self._end_delay, cell)

    def _end_delay(self, cell: Cell) -> None:
        self._delayed -= 1
        self._ready.append(cell)
        self._wake_one()

    def _wake_one(self) -> None:
        while self._idle:
            idle = self._idle.popleft()
            if not idle.done():
                idle.set_result(None)
                return

    def _wake_all(self) -> None:
        while self._idle:
            self._wake_one()
