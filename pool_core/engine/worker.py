"""The outside of a worker process: starts it, asks it, kills it when it is late."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from time import monotonic

from pool_core.engine.worker_process import LAST
from pool_core.isolation.frames import receive_frame, send_frame
from pool_core.isolation.interpreter import start_interpreter

__all__ = ["Worker", "WorkerEndedError", "WorkerLateError"]

#: Seconds for a process to end after it has closed its socket.
_END_SECONDS = 10.0


class WorkerLateError(Exception):
    """The process did not reply in time, and was killed."""


class WorkerEndedError(Exception):
    """The process has ended instead of replying. The text says how and goes behind "its process ended"."""


class Worker:
    """A process for heavy tasks. Used by one thread at a time; `kill` may be called by any."""

    def __init__(self) -> None:
        #: Numbers of the tasks that it has loaded.
        self.loaded: set[int] = set()
        self._ending = False
        self._process, self._channel = start_interpreter("pool_core.engine.worker_process")

    @property
    def usable(self) -> bool:
        """Whether it can be asked again."""
        return not self._ending and self._process.poll() is None

    def ask(self, message: bytes, seconds: float) -> bytes:
        """Send a message and wait for the reply.

        Raises:
            WorkerLateError, WorkerEndedError: there is none; the process is gone.
        """
        until = monotonic() + seconds
        try:
            send_frame(self._channel, message, until)
            reply = receive_frame(self._channel, until)
        except TimeoutError:
            self.kill()
            raise WorkerLateError from None
        except OSError:
            reply = None
        if reply is None:
            how = self._await_end()
            if self._process.returncode == -signal.SIGALRM:  # it was late, and has seen it before this side has
                raise WorkerLateError
            raise WorkerEndedError(how)
        self._ending = reply.startswith(LAST)
        return reply[1:]

    def kill(self) -> None:
        """End the process and what it has started. Who waits for its reply gets a `WorkerEndedError`."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """End the process, when nobody waits for its reply."""
        self.kill()
        self._channel.close()

    def _await_end(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        code = self._process.returncode
        self.kill()
        if code is None:
            return "without a word"
        return f"with exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
