"""The watchdog: a thread that looks at the call that runs, a few times a second."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Self, TypeVar

from pool_core.watchdog.interrupters import Interrupter, make_interrupter
from pool_core.watchdog.memory import read_resident
from pool_core.watchdog.sigint import InterruptListener

__all__ = ["CALL_MEMORY", "CALL_SECONDS", "SLOW_SECONDS", "CallStoppedError", "SlowCalls", "Watchdog"]

T = TypeVar("T")

#: What a call may take where nothing else is said: seconds, and mebibytes of memory.
CALL_SECONDS = 10.0
CALL_MEMORY = 1024
#: Seconds from which a call is noted as slow: while it runs, nothing else of its thread does.
SLOW_SECONDS = 0.25
#: Seconds from which one such call alone is told of: for less, the machine may have been busy just then.
ALONE_SECONDS = 2.0
#: Seconds between two looks at the call that runs.
TICK_SECONDS = 0.1
#: Seconds between two interruptions of a call that goes on after the first. A parser that tries again
#: whatever was raised is hit between two tries, sooner or later.
PRESS_SECONDS = 0.002
#: Seconds after which a call counts as stuck, though it is interrupted all the time.
STUCK_SECONDS = 5.0


class CallStoppedError(Exception):
    """A call was stopped. The text says why and goes behind a name: "did not end within 10 s"."""


@dataclass(slots=True)
class _Call:
    """A call that runs."""

    label: str
    seconds: float
    memory: int
    started: float
    #: Bytes that the process held before; None until the call was looked at.
    resident: int | None = None
    #: Why it has to end, and when that was found; empty while it need not.
    excess: str = ""
    found: float = 0.0


@dataclass(slots=True)
class SlowCalls:
    """The slow calls of one label."""

    count: int = 0
    #: Seconds of the longest.
    longest: float = 0.0


class Watchdog:
    """Makes calls of plugins in the thread that has entered it, and ends those that take too much.

    ::

        with Watchdog() as watchdog:
            watchdog.run(lambda: task.parse(answer, row), "the task x", seconds=10)

    A call ends by an exception that is raised in its midst. That works for Python code, and in the main
    thread for `re`, sleeps and reads too. What C code does without asking Python cannot be ended from
    inside its process.

    Args:
        give_up: told once, from another thread, when a call goes on however often it is interrupted:
            its thread is lost. By default the message goes to standard error.
    """

    def __init__(self, give_up: Callable[[str], None] | None = None) -> None:
        #: By label, what has held up the thread.
        self.slow: dict[str, SlowCalls] = {}
        #: Called from another thread at each look.
        self.on_tick: Callable[[], None] | None = None
        self._give_up = give_up or _print
        self._call: _Call | None = None
        self._resident: int | None = None
        self._interrupter: Interrupter
        self._listener = InterruptListener()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="pool-watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._resident = read_resident()
        self._interrupter = make_interrupter(self._is_due, Watchdog.run.__code__)
        self._interrupter.start()
        self._listener.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._listener.stop()
        self._interrupter.stop()

    def run(
        self, function: Callable[[], T], label: str, *, seconds: float | None = None, memory: int | None = None
    ) -> T:
        """Call ``function`` and return what it returns.

        Args:
            label: what messages call it.
            seconds: how long it may take; by default `CALL_SECONDS`.
            memory: mebibytes by which the process may grow meanwhile; by default `CALL_MEMORY`.

        Raises:
            CallStoppedError: it took more, and was stopped; or it raised `KeyboardInterrupt` of its own
                accord.
            KeyboardInterrupt: a person has interrupted the process.
            BaseException: whatever else ``function`` raises.
        """
        seconds = CALL_SECONDS if seconds is None else seconds
        call = _Call(label, seconds, CALL_MEMORY if memory is None else memory, monotonic())
        try:
            try:
                self._call = call  # from here on, what runs below this frame may be interrupted
                result = _invoke(function)
            finally:
                self._call = None  # and from here on no more
                self._interrupter.settle()
                spent = monotonic() - call.started
                if spent > SLOW_SECONDS:
                    self._note_slow(label, spent)
        except KeyboardInterrupt:
            if self._listener.heard_at >= call.started:
                raise
            call.excess = call.excess or "raised KeyboardInterrupt"
        except BaseException:
            if not call.excess:
                raise
        else:
            if not call.excess:
                return result
        raise CallStoppedError(call.excess)  # out of the handler: what the call held is not kept by a traceback

    def describe_slow(self) -> list[str]:
        """What has held up the thread, as sentences for a person."""
        return [
            f"{label} held up all members {calls.count} times, {calls.longest:.1f} s at most: "
            "what takes long belongs into a process of its own (`heavy`)"
            for label, calls in self.slow.items()
            if calls.count > 1 or calls.longest >= ALONE_SECONDS
        ]

    def _note_slow(self, label: str, seconds: float) -> None:
        calls = self.slow.setdefault(label, SlowCalls())
        calls.count += 1
        calls.longest = max(calls.longest, seconds)

    def _is_due(self) -> bool:
        """Whether the call that runs has to end."""
        call = self._call
        if call is None:
            return False
        if not call.excess and (excess := self._find_excess(call)):
            call.found = monotonic()
            call.excess = excess
        return bool(call.excess)

    def _find_excess(self, call: _Call) -> str:
        if call.resident is None:
            call.resident = self._resident
        now = read_resident()
        if now is not None and call.resident is not None and now - call.resident > call.memory << 20:
            return f"took more than {call.memory} MiB of memory"
        if monotonic() - call.started >= call.seconds:
            return f"did not end within {call.seconds:g} s"
        return ""

    def _watch(self) -> None:
        """Look at what runs until the end; runs in a thread of its own."""
        told: _Call | None = None
        pause = TICK_SECONDS
        while not self._ended.wait(pause):
            pause = TICK_SECONDS
            if (on_tick := self.on_tick) is not None:
                on_tick()
            call = self._call
            if call is None or monotonic() - call.started < TICK_SECONDS:
                self._resident = read_resident()
                continue
            self._interrupter.interrupt()
            # Looked at from here too: what never asks Python for anything, runs no handler that would see it.
            if self._call is not call or not self._is_due() or monotonic() - call.found < TICK_SECONDS:
                continue
            pause = PRESS_SECONDS  # it has swallowed its end: it may do so for ever
            if call is not told and monotonic() - call.found > STUCK_SECONDS and self._call is call:
                told = call
                self._give_up(f"{call.label} {call.excess} and cannot be stopped")


def _invoke(function: Callable[[], T]) -> T:
    """A frame of its own, so that even a built-in function runs below the frame of `Watchdog.run`."""
    return function()


def _print(message: str) -> None:
    sys.stderr.write(f"error: {message}\n")
