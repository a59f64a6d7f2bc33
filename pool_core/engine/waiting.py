"""Cells that wait: for the end of their backoff, for the retry budget, or for a worker."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from pool_core.engine.cell import Cell
from pool_core.engine.retry import RetryBudget

__all__ = ["WaitingRoom"]


class Wake(Protocol):
    """Tells workers that there is something to do."""

    def __call__(self, *, everybody: bool) -> None: ...


#: Seconds after which a cell that the budget held back asks it again.
PARKED_SECONDS = 1.0


class WaitingRoom:
    """Holds the cells of a lane between their attempts. None of them holds a worker."""

    def __init__(self, most: Callable[[], int], retries: RetryBudget, wake: Wake) -> None:
        """Make an empty room.

        Args:
            most: gives how many cells may wait for their time or for the budget before the room is full.
            wake: called when a cell has become ready; for everybody when the room is not full any more.
        """
        self._most = most
        self._retries = retries
        self._wake = wake
        self._ready: deque[Cell] = deque()
        #: By cell key: each cell that waits for its time, and its timer.
        self._delayed: dict[int, tuple[Cell, asyncio.TimerHandle]] = {}
        self._parked: deque[Cell] = deque()
        #: Cells whose probe has failed, in that order.
        self._probed: deque[Cell] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def full(self) -> bool:
        """Whether so many wait that no new cell should be taken."""
        return len(self._delayed) + len(self._parked) + len(self._probed) >= self._most()

    @property
    def empty(self) -> bool:
        """Whether no cell is here."""
        return not (self._ready or self._delayed or self._parked or self._probed)

    def take(self) -> Cell | None:
        """A cell that is ready."""
        return self._ready.popleft() if self._ready else None

    def take_probed(self) -> Cell | None:
        """The cell that has waited longest since its probe failed. While the breaker is open, others come before it."""
        return self._probed.popleft() if self._probed else None

    def put(self, cell: Cell) -> None:
        """Have ``cell`` taken next."""
        self._ready.appendleft(cell)
        self._wake(everybody=False)

    def put_probed(self, cell: Cell) -> None:
        """Keep ``cell``, whose probe has failed: the next probe is for another, so that no cell pays for an outage."""
        self._probed.append(cell)
        self._wake(everybody=False)

    def retry(self, cell: Cell, seconds: float) -> None:
        """Have ``cell`` ready in ``seconds``, or later, when the retry budget allows its retry."""
        self._delay(cell, seconds, self._end_backoff)

    def delay(self, cell: Cell, seconds: float) -> None:
        """Have ``cell`` ready in ``seconds``."""
        self._delay(cell, seconds, self._end_delay)

    def release_parked(self) -> None:
        """Have as many cells ready as the retry budget allows now."""
        if not self._parked:
            return
        now = asyncio.get_running_loop().time()
        while self._parked and self._retries.take(now):
            was_full = self.full
            self._ready.append(self._parked.popleft())
            self._wake(everybody=was_full)

    def release_all(self) -> None:
        """Have every cell ready at once."""
        for cell, timer in self._delayed.values():
            timer.cancel()
            self._ready.append(cell)
        self._delayed.clear()
        for others in (self._parked, self._probed):
            self._ready.extend(others)
            others.clear()
        self._wake(everybody=True)

    def close(self) -> None:
        """Set no timer any more."""
        if self._timer is not None:
            self._timer.cancel()
        for _, timer in self._delayed.values():
            timer.cancel()

    def _delay(self, cell: Cell, seconds: float, then: Callable[[Cell], None]) -> None:
        timer = asyncio.get_running_loop().call_later(seconds, then, cell)
        self._delayed[cell.key] = cell, timer

    def _end_backoff(self, cell: Cell) -> None:
        if self._retries.take(asyncio.get_running_loop().time()):
            self._end_delay(cell)
        else:
            del self._delayed[cell.key]
            self._parked.append(cell)
            self._set_timer()

    def _end_delay(self, cell: Cell) -> None:
        was_full = self.full
        del self._delayed[cell.key]
        self._ready.append(cell)
        self._wake(everybody=was_full)

    def _set_timer(self) -> None:
        if self._timer is None and self._parked:
            self._timer = asyncio.get_running_loop().call_later(PARKED_SECONDS, self._look_again)

    def _look_again(self) -> None:
        self._timer = None
        self.release_parked()
        self._set_timer()
