"""What a call does beside returning: files, connections and processes, as Python audits them, threads and prints."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any
from unittest.mock import patch

__all__ = ["watch_effects"]

_EVENTS: dict[str, Callable[[tuple[Any, ...]], str]] = {
    "open": lambda arguments: f"opened {arguments[0]!r}",
    "os.chdir": lambda arguments: f"changed the folder to {arguments[0]!r}",
    "os.mkdir": lambda arguments: f"made the folder {arguments[0]!r}",
    "os.rename": lambda arguments: f"renamed {arguments[0]!r}",
    "os.rmdir": lambda arguments: f"removed {arguments[0]!r}",
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

#: The name of the thread of whoever watches a call.
_WATCHDOG = "pool-watchdog"

_watching = threading.local()
_installed = threading.Lock()


@contextmanager
def watch_effects(*events: str) -> Iterator[list[str]]:
    """What this thread does in the block, in words; only ``events`` where some are named, and else what is printed too.

    Files that hold Python's code do not count.
    """
    _install()
    found: list[str] = []
    collecting = gc.isenabled()
    gc.disable()  # what others have left for the collector to close is not the doing of the block
    _watching.state = (found, frozenset(events or _EVENTS))
    printed = StringIO()
    try:
        if events:
            yield found
        else:
            with redirect_stdout(printed), redirect_stderr(printed), _watch_threads():
                yield found
    finally:
        if printed.getvalue():
            found.append(f"printed {printed.getvalue()[:80]!r}")
        del _watching.state
        if collecting:
            gc.enable()


@contextmanager
def _watch_threads() -> Iterator[None]:
    """Note the threads that are started: Python audits that from 3.12 on, and by other names from 3.13 on."""
    start = threading.Thread.start

    def note(thread: threading.Thread) -> None:
        state = getattr(_watching, "state", None)
        if state is not None and thread.name != _WATCHDOG:
            state[0].append("started a thread")
        start(thread)

    with patch.object(threading.Thread, "start", note):
        yield


def _install() -> None:
    """Python's audit hooks cannot be taken away: there is one for the whole process, which mostly does nothing."""
    if _installed.acquire(blocking=False):
        sys.addaudithook(_note)


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    state = getattr(_watching, "state", None)
    if state is None or event not in state[1]:
        return
    about = str(arguments[0]) if arguments else ""
    if "__pycache__" in about or (event == "open" and (about.isdigit() or about.endswith(_IGNORED))):
        return  # an import, or a handle of a file whose opening was seen
    state[0].append(_EVENTS[event](arguments))
