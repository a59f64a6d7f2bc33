"""A lane: one member walks the rows at its own pace."""

from __future__ import annotations

import asyncio
from collections import deque
from random import Random
from typing import Any

from pool_core.engine.quota import End, Place, Quota
from pool_core.engine.retry import ACTIONS, Action, compute_backoff
from pool_core.engine.work import Cell, WorkList
from pool_core.errors import BackendError, PluginError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.values import Answer, Cause, Outcome
from pool_core.recipe.models import Limits

__all__ = ["Lane", "count_workers"]

#: Unwritten outcomes at which a lane waits for the disk.
MOST_UNWRITTEN = 4096
#: Failed connections of one cell after which a server that never said anything counts as not there.
UNREACHED_ATTEMPTS = 4

#: Causes of failures in which the member's server may have had no part.
_WITHOUT_SERVER = frozenset({Cause.TRANSPORT, Cause.PLUGIN})

_ENDS = {Cause.RATE_LIMIT: End.LIMITED, Cause.OVERLOADED: End.OVERLOADED}


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
        self._most_delayed = max(64, 4 * count_workers(self._limits))
        self._ready: deque[Cell] = deque()
        #: By cell key, the timer of each cell that waits for its next attempt.
        self._delayed: dict[int, asyncio.TimerHandle] = {}
        self._busy = 0
        self._idle: deque[asyncio.Future[None]] = deque()
        self._acquiring: set[asyncio.Task[None]] = set()
        self._reading = asyncio.Lock()
        self._stopping = False
        #: Whether the member's server was ever heard of.
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
        workers = min(count_workers(self._limits), max(1, self._work.progress.total))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self._run_worker())
        finally:
            for timer in self._delayed.values():
                timer.cancel()

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
            else:
                await asyncio.sleep(0)  # cells that never wait must not hold up the other lanes

    async def _take(self) -> Cell | None:
        """The next cell: one whose wait is over before a new one. None when there is no more to do."""
        while not self._stopping:
            if self._ready:
                return self._ready.popleft()
            if len(self._delayed) < self._most_delayed:
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
        async with self._reading:
            if self._work.needs_page:  # another worker may have read it meanwhile
                self._work.read_page()
                await asyncio.sleep(0)  # a long stretch of finished rows must not hold up the other lanes

    async def _process(self, cell: Cell) -> None:
        loop = asyncio.get_running_loop()
        try:
            if cell.request is None and not await self._work.prepare(cell, self._backend):
                return
        except PluginError as error:
            self.stop(str(error))
            return
        place = await self._acquire()
        end = End.CANCELLED
        sent = loop.time()
        if not cell.attempts:
            cell.started = sent
        self._work.progress.in_flight += 1
        self._work.progress.requests += 1
        self._work.progress.retries += cell.attempts > 0
        cell.attempts += 1
        try:
            answer = await self._call(cell)
        except BackendError as error:
            end = _ENDS.get(error.cause, End.FAILED)
            self._handle_failure(cell, error)
        else:
            end = End.ANSWERED
            self._reached = True
            now = loop.time()
            await self._work.read_reply(cell, answer, latency=now - sent, seconds=now - cell.started)
        finally:
            self._work.progress.in_flight -= 1
            self._quota.release(place, end)

    async def _acquire(self) -> Place:
        """Wait for a place in the quota; `stop` ends the wait."""
        place = self._quota.try_acquire(self._work.member.index)
        if place is not None:
            return place
        task = asyncio.current_task()
        assert task is not None
        self._acquiring.add(task)
        try:
            return await self._quota.acquire(self._work.member.index)
        finally:
            self._acquiring.discard(task)

    async def _call(self, cell: Cell) -> Answer:
        """One attempt. Whatever the backend raises becomes a `BackendError` that keeps its contract."""
        assert cell.request is not None
        name, timeout = self._work.member.backend.name, self._limits.timeout
        try:
            async with asyncio.timeout(timeout):
                answer = await self._backend.generate(cell.request)
        except BackendError as error:
            _check_error(error, name)
            raise
        except KeyboardInterrupt:
            raise
        except TimeoutError as error:
            raise BackendError(Cause.TIMEOUT, str(error) or f"no answer within {timeout:g} s") from error
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and _is_cancelled():
                raise
            raise BackendError(Cause.PLUGIN, f"the backend {name} broke: {type(error).__name__}: {error}") from error
        if not isinstance(answer, Answer):
            raise BackendError(Cause.PLUGIN, f"the backend {name} returned {type(answer).__name__} instead of Answer")
        return answer

    def _handle_failure(self, cell: Cell, error: BackendError) -> None:
        """Act on the error's cause and on what it asks for, never on its text."""
        most = self._limits.max_wait
        self._reached = self._reached or error.cause not in _WITHOUT_SERVER
        match Action.STOP_MEMBER if error.stops_member else ACTIONS[error.cause]:
            case Action.RETRY:
                cell.failures += 1
                if not self._reached and cell.failures >= min(UNREACHED_ATTEMPTS, self._limits.attempts):
                    self.stop(f"its server was never reached: {error}")
                if cell.failures < self._limits.attempts and not self._stopping:
                    seconds = compute_backoff(cell.failures, error.retry_after, self._random)
                    if error.retry_after is None or seconds <= most:
                        self._delay(cell, seconds)
                        return
                    error = _refuse_wait(error, seconds, most)
            case Action.WAIT:
                cell.waits += 1
                seconds = compute_backoff(cell.waits, error.retry_after, self._random)
                if cell.waited + seconds <= most:
                    cell.waited += seconds
                    self._quota.pause(seconds)
                    self._delay(cell, seconds)
                    return
                error = _refuse_wait(error, cell.waited + seconds, most)
            case Action.STOP_MEMBER:
                self.stop(str(error))
        seconds = asyncio.get_running_loop().time() - cell.started
        self._work.finish(cell, Outcome("failed", error.cause, str(error)), seconds=seconds)

    def _delay(self, cell: Cell, seconds: float) -> None:
        self._delayed[cell.key] = asyncio.get_running_loop().call_later(seconds, self._end_delay, cell)

    def _end_delay(self, cell: Cell) -> None:
        del self._delayed[cell.key]
        self._ready.append(cell)
        if len(self._delayed) == self._most_delayed - 1:
            self._wake_all()  # new cells may be taken again
        else:
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


def count_workers(limits: Limits) -> int:
    """Most calls of a member that may be in flight."""
    return 32 if limits.concurrency == "auto" else limits.concurrency


def _check_error(error: BackendError, name: str) -> None:
    """Raise another `BackendError` in the place of one that cannot be acted on."""
    if not isinstance(error.cause, Cause):
        raise BackendError(
            Cause.PLUGIN, f"the backend {name} failed with {error.cause!r}, which is no cause: {error}"
        ) from error
    if not isinstance(error.retry_after, int | float | None):
        raise BackendError(
            Cause.PLUGIN, f"the backend {name} asked to wait {error.retry_after!r}, not seconds: {error}"
        ) from error


def _is_cancelled() -> bool:
    """Whether the running task was asked to end; a backend may raise `CancelledError` of its own accord."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _refuse_wait(error: BackendError, seconds: float, most: float) -> BackendError:
    return BackendError(
        error.cause,
        f"{error.message}; it would have waited {seconds:.0f} s, more than `limits: {{max_wait: {most:g}}}`",
        where=error.where,
        hint=error.hint,
    )
