"""Cells that wait: for the end of their backoff, for the retry budget, or for a worker."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from pool_core.engine.retry import RetryBudget
from pool_core.engine.work import Cell

__all__ = ["WaitingRoom"]

#: Seconds after which a cell that the budget held back asks it again.
PARKED_SECONDS = 1.0


class WaitingRoom:
    """Holds the cells of a lane between their attempts. None of them holds a worker."""

    def __init__(self, most: int, retries: RetryBudget, wake: Callable[[bool], None]) -> None:
        """Make an empty room.

        Args:
            most: cells that may wait for their time or for the budget before the room is full.
            wake: called when a cell has become ready; with True when the room is not full any more.
        """
        self._most = most
        self._retries = retries
        self._wake = wake
        self._ready: deque[Cell] = deque()
        #: By cell key: each cell that waits for its time, and its timer.
        self._delayed: dict[int, tuple[Cell, asyncio.TimerHandle]] = {}
        self._parked: deque[Cell] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def full(self) -> bool:
        """Whether so many wait that no new cell should be taken."""
        return len(self._delayed) + len(self._parked) >= self._most

    @property
    def empty(self) -> bool:
        """Whether no cell is here."""
        return not (self._ready or self._delayed or self._parked)

    def take(self) -> Cell | None:
        """A cell that is ready."""
        return self._ready.popleft() if self._ready else None

    def put(self, cell: Cell) -> None:
        """Have ``cell`` taken next."""
        self._ready.appendleft(cell)
        self._wake(False)

    def delay(self, cell: Cell, seconds: float) -> None:
        """Have ``cell`` ready in ``seconds``."""
        timer = asyncio.get_running_loop().call_later(seconds, self._end_delay, cell)
        self._delayed[cell.key] = cell, timer

    def park(self, cell: Cell) -> None:
        """Keep ``cell`` until the retry budget allows its retry."""
        self._parked.append(cell)
        self._set_timer()

    def release_parked(self) -> None:
        """Have as many cells ready as the retry budget allows now."""
        now = asyncio.get_running_loop().time()
        while self._parked and self._retries.take(now):
            self._make_ready(self._parked.popleft())

    def release_all(self) -> None:
        """Have every cell ready at once."""
        for cell, timer in self._delayed.values():
            timer.cancel()
            self._ready.append(cell)
        self._delayed.clear()
        self._ready.extend(self._parked)
        self._parked.clear()
        self._wake(True)

    def close(self) -> None:
        """Set no timer any more."""
        if self._timer is not None:
            self._timer.cancel()
        for _, timer in self._delayed.values():
            timer.cancel()

    def _end_delay(self, cell: Cell) -> None:
        was_full = self.full
        del self._delayed[cell.key]
        self._ready.append(cell)
        self._wake(was_full)

    def _make_ready(self, cell: Cell) -> None:
        was_full = len(self._delayed) + len(self._parked) + 1 >= self._most
        self._ready.append(cell)
        self._wake(was_full)

    def _set_timer(self) -> None:
        if self._timer is None and self._parked:
            self._timer = asyncio.get_running_loop().call_later(PARKED_SECONDS, self._look_again)

    def _look_again(self) -> None:
        self._timer = None
        self.release_parked()
        self._set_timer()
