"""Two ways to raise an exception in the midst of a call, neither of which can hit what comes after it."""

from __future__ import annotations

import signal
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

__all__ = ["AsyncInterrupter", "Interrupter", "Interruption", "SignalInterrupter", "make_interrupter"]

#: Seconds of the processor's time after which the signal comes without anybody sending it.
CPU_SECONDS = 0.5


class Interruption(BaseException):
    """Raised inside a call that has to end. No `Exception`, so that a plugin's own handlers let it pass."""


class Interrupter(ABC):
    """Raises `Interruption` in one thread.

    Args:
        is_due: whether the call that runs now has to end. Asked again where the exception would be raised.
    """

    def __init__(self, is_due: Callable[[], bool]) -> None:
        self._is_due = is_due

    @abstractmethod
    def start(self) -> None:
        """Called in the thread that is to be interrupted."""

    @abstractmethod
    def stop(self) -> None:
        """Called in that thread, when nobody calls `interrupt` any more."""

    @abstractmethod
    def interrupt(self) -> None:
        """Called from another thread: raise the exception if a call is due."""

    @abstractmethod
    def settle(self) -> None:
        """Called in the thread when a call has ended and `is_due` says no: nothing is raised from here on."""


class SignalInterrupter(Interrupter):
    """Interrupts the main thread by SIGVTALRM: also in `re`, in a sleep and in a read.

    Python runs a signal's handler in the main thread, between two instructions of whatever runs there.
    So the handler sees where it would raise, and raises only below the frame that made the call. A
    timer of the process's own processor time sends the signal too: a search of `re` never hands the
    interpreter to the thread that would send it.
    """

    def __init__(self, is_due: Callable[[], bool], caller: CodeType) -> None:
        super().__init__(is_due)
        self._caller = caller
        self._thread = threading.get_ident()
        self._handling = False

    @staticmethod
    def is_possible() -> bool:
        """Whether this is the main thread, and nobody else uses the signal."""
        return (
            hasattr(signal, "SIGVTALRM")
            and threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGVTALRM) == signal.SIG_DFL
            and signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
        )

    def start(self) -> None:
        signal.signal(signal.SIGVTALRM, self._handle)
        signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS, CPU_SECONDS)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        # Ignoring a signal discards what is on its way: with the default, that would end the process.
        signal.signal(signal.SIGVTALRM, signal.SIG_IGN)
        signal.signal(signal.SIGVTALRM, signal.SIG_DFL)

    def interrupt(self) -> None:
        signal.pthread_kill(self._thread, signal.SIGVTALRM)

    def settle(self) -> None:
        """Nothing to do: a signal that comes late finds no call that is due."""

    def _handle(self, _number: int, frame: FrameType | None) -> None:
        if self._handling or frame is None or frame.f_code is self._caller:
            return
        self._handling = True  # what `is_due` does must not be interrupted by the next signal
        try:
            due = self._is_due()
        finally:
            self._handling = False
        if due:
            raise Interruption


class AsyncInterrupter(Interrupter):
    """Interrupts any thread by ``PyThreadState_SetAsyncExc``: between two instructions of Python.

    The exception is set by another thread and raised a little later. Who sets it first says so
    (`_acting`) and then asks whether the call is still due; who ends the call first makes it not due
    and then waits until nobody is about to set it. So after `settle` nothing is set and nothing will be.
    """

    def __init__(self, is_due: Callable[[], bool]) -> None:
        super().__init__(is_due)
        import ctypes  # noqa: PLC0415 - not needed in the main thread

        set_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc
        set_exception.argtypes = (ctypes.c_ulong, ctypes.py_object)
        thread = ctypes.c_ulong(threading.get_ident())
        self._set: Callable[[], Any] = lambda: set_exception(thread, ctypes.py_object(Interruption))
        self._clear: Callable[[], Any] = lambda: set_exception(thread, ctypes.py_object())
        self._acting = False
        self._set_once = False

    def start(self) -> None:
        """Nothing to prepare."""

    def stop(self) -> None:
        """Nothing to put back."""

    def interrupt(self) -> None:
        self._acting = True
        try:
            if self._is_due():
                self._set_once = True
                self._set()
        finally:
            self._acting = False

    def settle(self) -> None:
        if not self._acting and not self._set_once:
            return
        try:
            self._await_silence()
        except Interruption:  # the one that was on its way; no other can follow
            self._await_silence()

    def _await_silence(self) -> None:
        while self._acting:
            time.sleep(0.0001)
        self._clear()
        self._set_once = False


def make_interrupter(is_due: Callable[[], bool], caller: CodeType) -> Interrupter:
    """The interrupter that can do most in the thread that runs.

    Args:
        caller: the code of the function that makes the calls; nothing is raised in its own frame.
    """
    if sys.platform != "win32" and SignalInterrupter.is_possible():
        return SignalInterrupter(is_due, caller)
    return AsyncInterrupter(is_due)
