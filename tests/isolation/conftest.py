"""What the tests of isolation share: a backend in a real process, and looking at processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from itertools import count
from pathlib import Path

import pytest

from pool_core.engine import run as run_module
from pool_core.interfaces.isolation import Isolation
from pool_core.interfaces.values import Prompt, Request
from pool_core.isolation import child as child_module
from pool_core.isolation.backend import Isolated
from pool_core.isolation.child import TICK_SECONDS
from pool_core.isolation.messages import describe_backend

MODULES = Path(__file__).parent / "modules"
#: Seconds after which a test that hangs is ended, with the place where it hangs.
HANG_SECONDS = 120


@pytest.fixture(autouse=True)
def _hang_guard():
    def fail(_number, _frame):
        raise RuntimeError(f"the test hangs: {HANG_SECONDS} s have passed")

    before = signal.signal(signal.SIGALRM, fail)
    signal.setitimer(signal.ITIMER_REAL, HANG_SECONDS)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def _patience(monkeypatch):
    """Let nothing be given up since the machine is slow. A test of what is given up sets its own limit."""
    monkeypatch.setattr(child_module, "CLOSE_SECONDS", HANG_SECONDS)
    monkeypatch.setattr(child_module, "KILL_SECONDS", HANG_SECONDS)
    monkeypatch.setattr(run_module, "CLOSE_SECONDS", HANG_SECONDS)


@pytest.fixture
def misbehaving(monkeypatch):
    """The module of the backend that misbehaves, importable here and in processes that are started from here."""
    monkeypatch.syspath_prepend(str(MODULES))
    monkeypatch.delitem(sys.modules, "pool_misbehaving", raising=False)
    import pool_misbehaving

    yield pool_misbehaving
    sys.modules.pop("pool_misbehaving", None)


@pytest.fixture
def make_isolated(misbehaving):
    """Make the backend in a process of its own. Patience is generous, where the test is not about it."""

    def make(*, device=None, silence=60, load_timeout=100, restarts=3, **settings):
        config = misbehaving.Config(**settings)
        sent = describe_backend("bad/misbehaving", misbehaving.Misbehaving, config, {})
        isolation = Isolation(silence=silence, load_timeout=load_timeout, restarts=restarts)
        return Isolated(misbehaving.Misbehaving(config), sent, isolation, device, bills=config.bills)

    return make


@pytest.fixture
def make_request():
    ids = count(1)

    def make(text, timeout=100.0, **sampling):
        return Request(next(ids), Prompt.chat(text), sampling, 0, b"body \xff", timeout)

    return make


@pytest.fixture
def ask(make_request):
    """Ask a backend that is open; returns the answer's text."""

    async def ask_one(backend, text, seconds=100.0):
        return (await backend.generate(make_request(text, seconds))).text

    return ask_one


@pytest.fixture
def wait_until_gone():
    """Wait until a process has ended; fails where it has not after a minute."""

    async def wait(pid):
        for _ in range(6000):
            if is_gone(pid):
                return
            await asyncio.sleep(0.01)
        pytest.fail(f"process {pid} still runs")

    return wait


@pytest.fixture
def hurry(monkeypatch):
    """Let the event loop's time pass quickly, a look at the process at a time, until a future is done.

    What is not said by then is never said: the tests that use it make sure of that first.
    """

    async def run(future, at_each_look=lambda: None):
        loop, passed = asyncio.get_running_loop(), 0.0
        time = loop.time
        monkeypatch.setattr(loop, "time", lambda: time() + passed)
        while not future.done():
            passed += TICK_SECONDS
            at_each_look()
            await asyncio.sleep(0)

    return run


def is_gone(pid):
    """Whether a process has ended. One that nobody has taken note of (a zombie) has."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
