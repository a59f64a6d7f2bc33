"""Virtual time: an asyncio event loop whose clock jumps instead of waiting."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack

__all__ = ["DeadlockError", "VirtualTimeLoop", "run_virtual"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: Longest real wait, in seconds, before a busy thread is asked again whether it still is.
_POLL = 0.02


class DeadlockError(RuntimeError):
    """Nothing is ready, no timer is set and no thread will hand anything over: the loop would wait for ever."""


def run_virtual(coroutine: Coroutine[Any, Any, T], *, threads: bool | Callable[[], bool] = False) -> T:
    """Run ``coroutine`` to its end in virtual time and return its result.

    ``loop.time()`` starts at 0.0. When nothing is ready the clock jumps to the next timer, so
    `asyncio.sleep`, `asyncio.timeout` and ``call_later`` take no wall time and always end in the same
    order. Work given to an executor (`asyncio.to_thread`) is waited for while the clock stands still.

    Args:
        coroutine: What to run.
        threads: Whether other threads hand work over by ``call_soon_threadsafe``. True: they are
            waited for when no timer is set; a set timer comes first. A function: the clock stands
            still for as long as it returns True, so that timers never overtake the thread. It must
            not turn False before the work is handed over: from then on nothing is waited for.

    Raises:
        DeadlockError: nothing could ever happen any more; names the tasks that wait.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(threads)) as runner:
        return runner.run(coroutine)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """The event loop of `run_virtual`, for those who make their own runner."""

    def __init__(self, threads: bool | Callable[[], bool] = False) -> None:
        self._now = 0.0
        self._jobs = 0
        self._threads = threads
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """Seconds of virtual time since the loop was made."""
        return self._now

    def is_busy(self) -> bool:
        """Whether a thread works on something that the clock has to stand still for."""
        return self._jobs > 0 or (callable(self._threads) and self._threads())

    def advance(self, seconds: float | None) -> None:
        """Jump ahead. None is what the loop asks for when no timer is set.

        Raises:
            DeadlockError: no timer is set and no thread can hand anything over.
        """
        if seconds is not None:
            self._now += seconds
        elif self._threads is not True:
            waiting = sorted(str(task.get_coro()) for task in asyncio.all_tasks(self))
            raise DeadlockError(
                f"deadlock at {self._now} s of virtual time: nothing is ready and no timer is set. "
                f"Waiting: {', '.join(waiting) or 'no task'}. "
                "Where another thread hands work over, say so: run_virtual(..., threads=True)."
            )

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run ``func`` in a thread; the clock stands still until its result is here."""
        future = super().run_in_executor(executor, func, *args)
        self._jobs += 1
        future.add_done_callback(self._end_job)
        return future

    async def shutdown_default_executor(self, *args: Any, **kwargs: Any) -> None:
        """Join the executor's threads, in real time."""
        self._jobs += 1
        try:
            await super().shutdown_default_executor(*args, **kwargs)
        finally:
            self._jobs -= 1

    def _end_job(self, _: object) -> None:
        self._jobs -= 1


class _JumpingSelector(selectors.BaseSelector):
    """A real selector that moves the loop's clock where it would have waited."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self._loop = loop
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        busy = self._loop.is_busy()  # before looking: what a thread hands over while it is busy is then seen
        ready = self._real.select(0)
        if ready or timeout == 0:
            return ready
        if busy:
            return self._real.select(_POLL)
        self._loop.advance(timeout)
        return self._real.select(None) if timeout is None else []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.get_key(fileobj)

    def close(self) -> None:
        self._real.close()
