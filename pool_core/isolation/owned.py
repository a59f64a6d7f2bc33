"""A process that this one owns: how it is ended, how it has ended, and what it last wrote."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Self

from pool_core.isolation.interpreter import start_interpreter

__all__ = ["OwnedProcess"]

#: Seconds that a process may take to end after a SIGTERM, or after the end of its socket.
TERM_SECONDS = 1.0
#: Seconds between two looks at a process that is about to end.
LOOK_SECONDS = 0.01
#: Lines of the process's standard error that are kept, and characters of each.
KEPT_LINES, KEPT_CHARACTERS = 20, 300


class OwnedProcess:
    """A process with a group of its own: what it has started ends with it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        #: The system's number of it, and of its group.
        self.pid = process.pid
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)

    @classmethod
    def start(cls, module: str, environment: Mapping[str, str]) -> tuple[Self, socket.socket]:
        """Start a process that calls ``module.run``, and return it with the socket to it."""
        process, channel = start_interpreter(module, environment=environment, stderr=subprocess.PIPE)
        return cls(process), channel

    def kill(self) -> None:
        """End the process and what it has started."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def terminate(self) -> None:
        """Ask the process to end, and give it a moment."""
        if not self.has_exited():
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGTERM)
            await self.await_exit(TERM_SECONDS)

    def has_exited(self) -> bool:
        """Whether the process has ended. What it has started is killed before its number can be another's."""
        if self._process.returncode is None and hasattr(os, "waitid"):
            with suppress(ChildProcessError):
                if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                    self.kill()
        return self._process.poll() is not None

    async def await_exit(self, seconds: float) -> bool:
        """Whether the process ends within ``seconds``."""
        looks = round(seconds / LOOK_SECONDS)
        while not self.has_exited() and looks > 0:
            looks -= 1
            await asyncio.sleep(LOOK_SECONDS)
        return self.has_exited()

    async def describe_end(self) -> str:
        """How the process has ended; it may take a moment from the end of its socket to its own."""
        if await self.await_exit(TERM_SECONDS):
            code = self._process.returncode
            return f"ended with exit code {code}" if code >= 0 else f"ended by {_name_signal(-code)}"
        return "closed its socket"

    async def keep_lines(self) -> None:
        """Read the process's standard error to its end, and keep the last lines."""
        stream = self._process.stderr
        assert stream is not None
        reader = asyncio.StreamReader(limit=1 << 16)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), stream
        )
        rest = b""
        try:
            while piece := await reader.read(1 << 16):
                *lines, rest = (rest + piece)[-(1 << 16) :].split(b"\n")
                self._lines += [line.decode(errors="replace").strip() for line in lines if line.strip()]
        finally:
            if rest.strip():
                self._lines.append(rest.decode(errors="replace").strip())
            transport.close()

    def quote_lines(self) -> str:
        """The last line of the process's standard error: model output and libraries' words, so cleaned and cut."""
        if not self._lines:
            return ""
        line = self._lines[-1][:KEPT_CHARACTERS]
        return f"; it last wrote: {''.join(one if one.isprintable() else ascii(one)[1:-1] for one in line)}"

    def close(self) -> None:
        """Give the pipe back, once nobody reads from it."""
        if self._process.stderr is not None:
            self._process.stderr.close()


def _name_signal(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
