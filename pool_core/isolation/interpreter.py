"""A new Python process and the socket to it: how it is started, and what it does first."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping

__all__ = ["start_interpreter", "take_channel"]

#: Runs in the new process before anything of the pool is there to import.
_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {} import run; run()"


def start_interpreter(
    module: str, *, environment: Mapping[str, str] | None = None, stderr: int | None = None
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a process that calls ``module.run``, and return it with the socket that stands at its standard input.

    A new interpreter, not a fork: this process has threads. And not one of `multiprocessing`, which
    would run the main script of whoever uses the pool again.

    Args:
        environment: what its environment variables are; by default those of this process.
        stderr: where its standard error goes, as `subprocess.Popen` takes it; by default to this process's own.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        path = json.dumps([str(entry) for entry in sys.path])
        try:
            process = subprocess.Popen(  # noqa: S603 - this very interpreter
                [sys.executable, "-c", _START.format(module), path],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=stderr,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the owner; what the process starts dies with it
            )
        except BaseException:
            ours.close()
            raise
    return process, ours


def take_channel() -> socket.socket:
    """In the new process: the socket. What is read from now on is empty, and what is printed goes to standard error."""
    channel = socket.socket(fileno=os.dup(0))
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # the process may be killed at any time
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return channel
