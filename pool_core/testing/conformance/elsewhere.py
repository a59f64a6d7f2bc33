"""Calls in another process: a fresh interpreter with another hash seed, as a worker is."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

__all__ = ["Import", "WorkerError", "call_elsewhere", "import_elsewhere"]

#: Longest that a process may take, in seconds: a real limit, only there so that nothing hangs for ever.
_LIMIT = 300.0

_CALL = """
import os, pickle, sys
replies = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)
function, arguments = pickle.load(sys.stdin.buffer)
replies.write(pickle.dumps(function(*arguments)))
replies.close()
"""

_IMPORT = """
import contextlib, importlib, io, json, logging, os, random, signal, sys, threading
replies = os.fdopen(os.dup(1), "w")
printed = open(sys.argv[2], "w+b")
os.dup2(printed.fileno(), 1)
os.dup2(printed.fileno(), 2)
def look():
    return {
        "the working directory": os.getcwd(),
        "the environment": dict(os.environ),
        "the threads": sorted(thread.name for thread in threading.enumerate()),
        "the handlers of the root logger": [repr(handler) for handler in logging.getLogger().handlers],
        "the level of the root logger": logging.getLogger().level,
        "the state of random": hash(random.getstate()),
        "the signal handlers": {n: repr(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM)},
        "the recursion limit": sys.getrecursionlimit(),
        "the hook for uncaught errors": repr(sys.excepthook),
    }
before, modules, error = look(), set(sys.modules), ""
try:
    importlib.import_module(sys.argv[1])
except BaseException as caught:
    error = f"{type(caught).__name__}: {caught}"
sys.stdout.flush()
sys.stderr.flush()
after = look()
printed.seek(0)
replies.write(json.dumps({
    "error": error,
    "modules": sorted(set(sys.modules) - modules),
    "printed": printed.read().decode("utf-8", "replace"),
    "changed": [what for what in before if before[what] != after[what]],
}))
replies.close()
"""


class WorkerError(Exception):
    """The call failed in the other process; the text is what it wrote."""


@dataclass(frozen=True, slots=True)
class Import:
    """What importing one module did to a fresh process."""

    #: Type and text of what it raised; empty where it did not.
    error: str
    #: The modules that were not there before, sorted.
    modules: list[str]
    #: What it wrote to standard output and standard error.
    printed: str
    #: What of the process is not as it was.
    changed: list[str]


def call_elsewhere(function: Callable[..., Any], *arguments: Any) -> Any:
    """What ``function`` returns in a fresh interpreter. All of it is pickled, there and back.

    Raises:
        WorkerError: it failed there.
        Exception: it cannot be pickled.
    """
    done = _run([_CALL], pickle.dumps((function, arguments)))
    return pickle.loads(done.stdout)  # noqa: S301 - of a process of our own


def import_elsewhere(module: str) -> Import:
    """Import ``module`` in a fresh interpreter, with the warnings of an ordinary start.

    Raises:
        WorkerError: the process died of it.
    """
    return _import(module, tuple(sys.path))


@lru_cache(maxsize=64)
def _import(module: str, path: tuple[str, ...]) -> Import:
    """One process for all that ask of one module: several checks do, and so do several classes."""
    with tempfile.TemporaryDirectory() as folder:
        return Import(**json.loads(_run([_IMPORT, module, f"{folder}/printed"], b"").stdout))


def _run(arguments: list[str], sent: bytes) -> subprocess.CompletedProcess[bytes]:
    # what can be imported here can be imported there; random is seeded otherwise, so that an order of sets shows
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONHASHSEED": "20"}
    environment.pop("PYTHONWARNINGS", None)
    command = [sys.executable, "-c", *arguments]
    done = subprocess.run(  # noqa: S603 - our own program
        command, input=sent, capture_output=True, env=environment, timeout=_LIMIT, check=False
    )
    if done.returncode != 0:
        raise WorkerError(done.stderr.decode("utf-8", "replace").strip()[-2000:] or f"it ended with {done.returncode}")
    return done
