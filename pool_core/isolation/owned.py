"""A process that this one owns: how it is ended, how it has ended, and what it last wrote."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Self

from pool_core.isolation.interpreter import start_interpreter

__all__ = ["OwnedProcess"]

#: Seconds that a process may take to end after a SIGTERM, or after the end of its socket.
TERM_SECONDS = 1.0
#: Seconds between two looks at a process that is about to end.
LOOK_SECONDS = 0.01
#: Characters of the last line of the process's standard error that are shown.
KEPT_CHARACTERS = 300
#: Bytes of it that are read at a time, and how often at the end: a pipe holds no more, unless somebody writes on.
PIECE_BYTES, MOST_PIECES = 1 << 16, 16


class OwnedProcess:
    """A process with a group of its own: what it has started ends with it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        #: The system's number of it, and of its group.
        self.pid = process.pid
        #: Of its standard error: the last whole line that is not blank, what came after it, and whether that was all.
        self._line = self._rest = b""
        self._all_read = False
        os.set_blocking(self._get_stream().fileno(), False)

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
        loop, ended, stream = asyncio.get_running_loop(), asyncio.Event(), self._get_stream()

        def read() -> None:
            self._read_piece()
            if self._all_read:
                ended.set()

        loop.add_reader(stream, read)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(stream)

    def quote_lines(self) -> str:
        """The last line of the process's standard error: model output and libraries' words, so cleaned and cut.

        What it has written by now is read first: the event loop may have seen its end before its words.
        """
        pieces = MOST_PIECES
        while pieces and self._read_piece():
            pieces -= 1
        line = (self._rest if self._rest.strip() else self._line).decode(errors="replace").strip()[:KEPT_CHARACTERS]
        quoted = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in line)
        return f"; it last wrote: {quoted}" if quoted else ""

    def _read_piece(self) -> bool:
        """Keep what there is of standard error, at most a piece. Returns whether there was something."""
        stream = self._get_stream()
        if self._all_read or stream.closed:
            return False
        try:
            piece = os.read(stream.fileno(), PIECE_BYTES)
        except BlockingIOError:
            return False
        self._all_read = not piece
        *lines, self._rest = (self._rest + piece)[-PIECE_BYTES:].split(b"\n")
        self._line = next((line for line in reversed(lines) if line.strip()), self._line)
        return bool(piece)

    def _get_stream(self) -> IO[bytes]:
        stream = self._process.stderr
        assert stream is not None
        return stream

    def close(self) -> None:
        """Give the pipe back, once nobody reads from it."""
        self._get_stream().close()


def _name_signal(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
