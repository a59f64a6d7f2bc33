"""A time limit that the calls of a member share: one timer, however many of them run."""

from __future__ import annotations

import asyncio
from types import TracebackType

__all__ = ["Deadline"]


class Deadline:
    """Ends calls that take longer than ``seconds``, as `asyncio.timeout` does: the task is cancelled inside of it.

    ::

        with deadline.watch():
            await call()  # raises TimeoutError

    All calls may take equally long, so they come due in the order in which they began, and a timer for the
    first of them is enough. One of `asyncio.timeout` for each call costs several times as much.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        #: In the order in which they began.
        self._running: dict[_Watched, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self) -> _Watched:
        """Watch what the running task does until the end of the block. It raises `TimeoutError` where that is late."""
        return _Watched(self)

    def begin(self, call: _Watched, loop: asyncio.AbstractEventLoop) -> None:
        """Watch ``call`` from now on."""
        call.until = loop.time() + self._seconds
        self._running[call] = None
        if self._timer is None:
            self._timer = loop.call_at(call.until, self._end_late, loop)

    def end(self, call: _Watched) -> None:
        """Watch ``call`` no more."""
        self._running.pop(call, None)
        if not self._running and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_late(self, loop: asyncio.AbstractEventLoop) -> None:
        """End the calls that are due, and wait for the next one."""
        self._timer = None
        now = loop.time()
        while self._running:
            call = next(iter(self._running))
            if call.until > now:
                self._timer = loop.call_at(call.until, self._end_late, loop)
                return
            del self._running[call]
            call.expire()


class _Watched:
    """A call that is watched."""

    __slots__ = ("_cancelling", "_deadline", "_expired", "_task", "until")

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._expired = False
        #: When it is late, on the loop's clock.
        self.until = 0.0

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        #: Requests to cancel the task that are none of ours.
        self._cancelling = task.cancelling()
        self._deadline.begin(self, task.get_loop())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._deadline.end(self)
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """Cancel the call, since it is late."""
        self._expired = True
        self._task.cancel()
