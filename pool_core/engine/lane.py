"""A lane: one member walks the rows at its own pace."""

from __future__ import annotations

import asyncio
from collections import deque

from pool_core.engine.caller import Caller
from pool_core.engine.cell import Cell
from pool_core.engine.inbox import Inbox
from pool_core.engine.quota import Quota
from pool_core.engine.retry import FALLS_BACK, RetryBudget
from pool_core.engine.step import Next, Step
from pool_core.engine.waiting import WaitingRoom
from pool_core.engine.work import WorkList
from pool_core.interfaces.values import Outcome

__all__ = ["MOST_UNWRITTEN", "Lane"]

#: Unwritten outcomes at which a lane waits for the disk.
MOST_UNWRITTEN = 4096
#: Cells that may wait between their attempts; more where the quota has many places.
LEAST_WAITING = 64


class Lane:
    """Runs the cells of one member with as many workers as its quota has places.

    A cell that waits for its next attempt holds no worker and no place in the quota. How many may
    wait is bounded, and with it the memory.
    """

    def __init__(self, work: WorkList, caller: Caller, quota: Quota, retries: RetryBudget, room: asyncio.Event) -> None:
        self._work = work
        self._caller = caller
        self._quota = quota
        #: Set by each commit that leaves little unwritten.
        self._room = room
        self._waiting = WaitingRoom(lambda: max(LEAST_WAITING, 4 * quota.limit), retries, self._wake)
        #: Gets the cells whose calls fail here.
        self._fallback: Lane | None = None
        #: The cells that come from members whose fallback this one is.
        self.inbox = Inbox(self._wake)
        self._group: asyncio.TaskGroup | None = None
        self._workers = 0
        self._busy = 0
        self._idle: deque[asyncio.Future[None]] = deque()
        self._reading = asyncio.Lock()
        self._stopping = False
        #: Every further call would fail: what is left goes to the fallback.
        self._faulted = False
        quota.on_growth(self._add_workers)

    def fall_back_to(self, lane: Lane) -> None:
        """Hand cells whose calls fail here over to ``lane``."""
        self._fallback = lane
        lane.inbox.add_feeder()

    def stop(self) -> None:
        """Send nothing more. What is in flight may finish; cells that wait stay unfinished."""
        self._stopping = True
        self._caller.stop()
        self.inbox.close()
        self._wake(everybody=True)

    def stop_member(self, reason: str) -> None:
        """Send nothing more, since every call would fail. The fallback, if there is one, gets what is left."""
        if self._stopping or self._faulted:
            return
        self._work.progress.stopped = reason
        if self._fallback is None:
            self.stop()
        else:
            self._faulted = True
            self._caller.stop()
            self._waiting.release_all()

    async def run(self) -> None:
        """Work until every cell is finished or the lane is stopped."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._add_workers()
        finally:
            self._group = None
            self._waiting.close()
            self.stop()
            if self._fallback is not None:
                self._fallback.inbox.end_feeder()

    def _add_workers(self) -> None:
        """Have as many workers as the quota has places and the work is worth."""
        if self._group is None or self._stopping:
            return
        most = self._quota.limit
        if not self.inbox.expects:
            most = min(most, max(1, self._work.progress.total))
        while self._workers < most:
            self._workers += 1
            self._group.create_task(self._run_worker())

    async def _run_worker(self) -> None:
        while (cell := self._pick() or await self._take()) is not None:
            self._busy += 1
            try:
                await self._process(cell)
            finally:
                self._busy -= 1
                if not self._busy and self._waiting.empty:
                    self._wake(everybody=True)  # the last one out lets the idle see that nothing is left
            if self._work.unwritten > MOST_UNWRITTEN:
                await self._await_room()
            else:  # cells that never wait must not hold up the other lanes, and a connection that ends has to be seen
                await asyncio.sleep(0)

    async def _await_room(self) -> None:
        """Wait until little is unwritten."""
        while self._work.unwritten > MOST_UNWRITTEN:
            self._room.clear()
            if self._work.unwritten > MOST_UNWRITTEN:  # still: a commit that comes from here on will set it again
                await self._room.wait()
            else:
                self._room.set()

    def _pick(self) -> Cell | None:
        """The next cell if one is here."""
        if self._stopping:
            return None
        cell = self._take_known()
        return self._work.take() if cell is None and not self._waiting.full else cell

    async def _take(self) -> Cell | None:
        """The next cell: one that was tried before, one that was handed over, a new one. None at the end."""
        while not self._stopping:
            if (cell := self._pick()) is not None:
                return cell
            if not self._waiting.full and not self._work.ended:
                await self._read_page()
                continue
            if (cell := self._waiting.take_probed()) is not None:
                return cell
            if not self._busy and self._waiting.empty and not self.inbox.expects:
                return None
            idle: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(idle)
            await idle
        return None

    def _take_known(self) -> Cell | None:
        """A cell that was tried before or handed over; one that was a probe only while calls pass freely."""
        cell = self._waiting.take()
        if cell is None and self._caller.healthy:
            cell = self._waiting.take_probed()
        return cell or self.inbox.take()

    async def _read_page(self) -> None:
        async with self._reading:
            if self._work.needs_page:  # another worker may have read it meanwhile
                self._work.read_page()
                await asyncio.sleep(0)  # a long stretch of finished rows must not hold up the other lanes

    def _wake(self, *, everybody: bool) -> None:
        while self._idle:
            idle = self._idle.popleft()
            if not idle.done():
                idle.set_result(None)
                if not everybody:
                    return

    async def _process(self, cell: Cell) -> None:
        """Ask for ``cell``, and put it where it goes then."""
        step = Step(Next.LEAVE) if self._faulted else await self._caller.ask(cell)
        if step.stop:
            self.stop_member(step.stop)
        if step.next is Next.END:
            self._waiting.release_parked()  # an answer may have paid for a retry
        elif step.next is Next.FAIL or self._faulted or self._stopping:
            await self._give_up(cell, step)
        elif step.next is Next.RETRY:
            self._waiting.retry(cell, step.seconds)
        elif step.next is Next.WAIT:
            self._waiting.delay(cell, step.seconds)
        elif step.next is Next.PROBE:
            self._waiting.put_probed(cell)
        elif step.next is Next.AGAIN:
            self._waiting.put(cell)

    async def _give_up(self, cell: Cell, step: Step) -> None:
        """Let the fallback take ``cell`` over, or record its failure; one that has not failed stays unfinished."""
        falls_back = step.error is None or step.error.cause in FALLS_BACK
        wanted = self._faulted or step.next is Next.FAIL
        if wanted and falls_back and self._fallback is not None and await self._fallback.inbox.put(cell):
            return
        if step.error is not None:
            seconds = asyncio.get_running_loop().time() - cell.started
            self._work.finish(cell, Outcome("failed", step.error.cause, str(step.error)), seconds=seconds)
