"""What a call does beside returning: files, connections, processes and threads, as Python audits them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["watch_effects"]

_EVENTS: dict[str, Callable[[tuple[Any, ...]], str]] = {
    "open": lambda arguments: f"opened {arguments[0]!r}",
    "os.remove": lambda arguments: f"removed {arguments[0]!r}",
    "os.system": lambda arguments: f"ran {arguments[0]!r}",
    "os.exec": lambda arguments: f"ran {arguments[0]!r}",
    "os.fork": lambda _: "forked",
    "os.posix_spawn": lambda arguments: f"ran {arguments[0]!r}",
    "os.putenv": lambda arguments: f"set the environment variable {arguments[0]!r}",
    "subprocess.Popen": lambda arguments: f"ran {arguments[0]!r}",
    "socket.connect": lambda arguments: f"connected to {arguments[1]!r}",
    "socket.getaddrinfo": lambda arguments: f"looked up {arguments[0]!r}",
    "socket.sendto": lambda arguments: f"sent to {arguments[1]!r}",
    "sqlite3.connect": lambda arguments: f"opened {arguments[0]!r}",
}
#: What an import opens, which is how it should be; and what the watchdog reads while a call runs.
_IGNORED = (".py", ".pyc", ".so", ".pyd", ".pth", ".zip", "/proc/self/statm")

_watching = threading.local()
_installed = threading.Lock()


@contextmanager
def watch_effects(*events: str) -> Iterator[list[str]]:
    """What this thread does in the block, in words; only ``events`` where some are named.

    Files that hold Python's code do not count.
    """
    _install()
    found: list[str] = []
    _watching.state = (found, frozenset(events or _EVENTS))
    try:
        yield found
    finally:
        del _watching.state


def _install() -> None:
    """Python's audit hooks cannot be taken away: there is one for the whole process, which mostly does nothing."""
    if _installed.acquire(blocking=False):
        sys.addaudithook(_note)


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    state = getattr(_watching, "state", None)
    if state is None or event not in state[1]:
        return
    if event != "open" or not str(arguments[0]).endswith(_IGNORED):
        state[0].append(_EVENTS[event](arguments))
