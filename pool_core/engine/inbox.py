"""Where a lane gets the cells that other lanes hand over to it."""

from __future__ import annotations

import asyncio
from collections import deque

from pool_core.engine.cell import Cell
from pool_core.engine.waiting import Wake

__all__ = ["Inbox"]

#: Cells in it at which those who hand over wait.
MOST_CELLS = 256


class Inbox:
    """A bounded queue that knows whether anybody may still put something in."""

    def __init__(self, wake: Wake) -> None:
        self._wake = wake
        self._cells: deque[Cell] = deque()
        self._feeders = 0
        self._closed = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def expects(self) -> bool:
        """Whether a cell may still come in."""
        return self._feeders > 0

    def add_feeder(self) -> None:
        """One more lane may hand cells over."""
        self._feeders += 1

    def end_feeder(self) -> None:
        """A lane hands over nothing more."""
        self._feeders -= 1
        self._wake(everybody=True)

    async def put(self, cell: Cell) -> bool:
        """Hand ``cell`` over, when there is room. Returns False where it is not taken any more."""
        while len(self._cells) >= MOST_CELLS and not self._closed:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future
        if self._closed:
            return False
        cell.restart()
        self._cells.append(cell)
        self._wake(everybody=False)
        return True

    def take(self) -> Cell | None:
        """The cell that came first."""
        if not self._cells:
            return None
        if self._waiting:
            self._wake_one()
        return self._cells.popleft()

    def close(self) -> None:
        """Take nothing more in; what is here stays unfinished."""
        self._closed = True
        while self._waiting:
            self._wake_one()

    def _wake_one(self) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                return
