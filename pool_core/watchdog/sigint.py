"""Telling a person's Ctrl-C from a `KeyboardInterrupt` that a plugin raises."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from math import inf
from time import monotonic
from types import FrameType
from typing import Any

__all__ = ["InterruptListener"]


class InterruptListener:
    """Hears SIGINT in the main thread and passes it on. In other threads nobody's Ctrl-C arrives."""

    def __init__(self) -> None:
        #: When SIGINT came last, on the monotonic clock.
        self.heard_at = -inf
        self._next: Callable[[int, FrameType | None], Any] | None = None

    def start(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        handler = signal.getsignal(signal.SIGINT)
        if callable(handler):
            self._next = handler
            signal.signal(signal.SIGINT, self._handle)

    def stop(self) -> None:
        if self._next is not None and signal.getsignal(signal.SIGINT) == self._handle:
            signal.signal(signal.SIGINT, self._next)
        self._next = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.heard_at = monotonic()
        if self._next is not None:
            self._next(number, frame)
