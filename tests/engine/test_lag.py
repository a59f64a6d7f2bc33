"""The lag of the event loop, measured from another thread in real time."""

from __future__ import annotations

import asyncio
import re
import time

import pytest

from pool_core.engine import lag as lag_module
from pool_core.engine.lag import LagMonitor
from pool_core.testing.scripted import ScriptedBackend
from pool_core.watchdog import Watchdog


def make_monitor(*lags, monkeypatch):
    """A monitor that has measured these lags, in seconds."""

    class Loop:
        def call_soon_threadsafe(self, callback, *arguments):
            callback(*arguments)

    clock = iter([time for lag in lags for time in (0.0, lag)])
    monkeypatch.setattr(lag_module, "monotonic", lambda: next(clock))
    monitor = LagMonitor(Loop())
    for _ in lags:
        monitor.ping()
    return monitor


def test_a_loop_that_is_in_time_is_not_told_of(monkeypatch):
    monitor = make_monitor(*[0.002] * 199, 5.0, monkeypatch=monkeypatch)
    assert monitor.p99 == 0.002
    assert monitor.describe() == []


def test_a_loop_that_is_late_again_and_again_is_told_of(monkeypatch):
    monitor = make_monitor(*[0.002] * 195, *[0.3] * 4, 5.0, monkeypatch=monkeypatch)
    assert monitor.p99 == 0.3
    assert monitor.describe() == [
        "the event loop was 0.30 s late at times, 5.00 s at most: a backend or a plugin blocks it"
    ]


def test_few_measurements_say_nothing(monkeypatch):
    assert make_monitor(*[1.0] * 99, monkeypatch=monkeypatch).describe() == []
    assert make_monitor(monkeypatch=monkeypatch).p99 == 0.0


def test_a_loop_that_hangs_is_measured_once():
    async def hang():
        monitor = LagMonitor(asyncio.get_running_loop())
        for _ in range(5):
            monitor.ping()
        time.sleep(0.05)  # noqa: ASYNC251 - it is what is measured
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return monitor

    monitor = asyncio.run(hang())
    assert sum(monitor._lags.values()) == 1
    assert monitor.p99 >= 0.05
    monitor.ping()  # and one of a loop that is closed does no harm


@pytest.fixture
def looks(monkeypatch):
    """What the run wants done at each look of the watchdog: the test looks itself, in the place of a thread."""
    found = []

    class Looking(Watchdog):
        def __setattr__(self, name, value):
            super().__setattr__(name, None if name == "on_tick" else value)
            if name == "on_tick" and value is not None:
                found.append(value)

    monkeypatch.setattr("pool_core.job.Watchdog", Looking)
    return found


def test_a_backend_that_blocks_the_loop_is_told_of(make_member, run_members, monkeypatch, looks):
    class Blocking(ScriptedBackend):
        async def generate(self, request):
            looks[-1]()
            time.sleep(0.3)  # noqa: ASYNC251 - as backends must not
            await asyncio.sleep(0)
            return await super().generate(request)

    monkeypatch.setattr(lag_module, "LEAST_MEASURED", 2)
    summary = run_members([make_member("a", Blocking(lambda _: "yes", "a"), concurrency=1)], 3)
    (note,) = summary.notes
    assert re.fullmatch(r"the event loop was \d+\.\d\d s late at times, .* a backend or a plugin blocks it", note)


@pytest.mark.parametrize("virtual", [False, True])
def test_a_run_measures_its_loop(make_member, run_members, virtual, looks):
    async def steer(running):
        nonlocal engine
        engine = running

    async def answer(_request):
        looks[-1]()
        time.sleep(0.05)  # noqa: ASYNC251 - it is what is measured
        await asyncio.sleep(1 if virtual else 0)
        return "yes"

    engine = None
    run_members([make_member("a", answer, concurrency=1)], 3, steer=steer, real_time=not virtual)
    assert engine.lag.p99 >= 0.05


def test_the_watchdog_looks_at_the_loop(make_member, run_members):
    """Its thread does, as soon as it comes to it."""

    async def steer(engine):
        while not engine.lag._lags.total():  # noqa: ASYNC110 - it is of the watchdog's thread
            await asyncio.sleep(0.01)
        asked.set()

    async def answer(_request):
        await asked.wait()
        return "yes"

    asked = asyncio.Event()
    assert run_members([make_member("a", answer, timeout=1e6)], 1, steer=steer, real_time=True).status == "complete"
