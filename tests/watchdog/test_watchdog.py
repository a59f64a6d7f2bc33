"""The watchdog ends what takes too much, in its midst, and never hits what comes after it."""

from __future__ import annotations

import gc
import io
import os
import random
import re
import signal
import sqlite3
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from pool_core.watchdog import CallStoppedError, Watchdog, describe_error
from pool_core.watchdog import interrupters as interrupters_module
from pool_core.watchdog import watchdog as watchdog_module

linux = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is watched on Linux alone")


def loop_for_ever():
    while True:
        pass


def recurse_and_loop(depth=200):
    return recurse_and_loop(depth - 1) if depth else loop_for_ever()


def retry_for_ever():
    """As parsers are written: whatever goes wrong, try again with a changed text."""
    text = "["
    while True:
        try:
            text += str(len(text))[-1]
            int(text)
        except:  # noqa: E722
            text = "[" + text[-100:]


def eat_memory():
    """Eat more and more, and slowly from some point on: a machine that looks late has memory left."""
    held = []
    while True:
        held.append(b"x" * (1 << 20))
        time.sleep(0 if len(held) < 200 else 0.01)


def search_for_ever():
    return re.match(r"(a+)+$", "a" * 60 + "b")


def wait_for_ever():
    threading.Event().wait()


def run(function, **limits):
    with Watchdog() as watchdog:
        return watchdog.run(function, "it", **limits)


# What passes through


def test_a_call_returns_what_its_function_returns(perform):
    assert perform(lambda: run(lambda: 5)) == 5


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), GeneratorExit(), RecursionError(), MemoryError()])
def test_a_call_raises_what_its_function_raises(perform, error):
    def fail():
        raise error

    with pytest.raises(type(error)) as caught:
        perform(lambda: run(fail))
    assert caught.value is error


def test_a_recursion_without_end_is_an_error_of_its_own(perform):
    def recurse():
        return recurse()

    with pytest.raises(RecursionError):
        perform(lambda: run(recurse))


# What is ended


@pytest.mark.parametrize("function", [loop_for_ever, recurse_and_loop], ids=lambda f: f.__name__)
def test_a_call_that_does_not_end_is_ended(perform, function):
    with pytest.raises(CallStoppedError) as caught:
        perform(lambda: run(function, seconds=0.2))
    assert str(caught.value) == "did not end within 0.2 s"


@pytest.mark.parametrize("function", [search_for_ever, wait_for_ever, retry_for_ever], ids=lambda f: f.__name__)
def test_in_the_main_thread_a_search_and_a_wait_are_ended_too(function):
    with pytest.raises(CallStoppedError) as caught:
        run(function, seconds=0.2)
    assert str(caught.value) == "did not end within 0.2 s"


@linux
def test_a_call_that_eats_memory_is_ended_and_leaves_none_of_it(perform):
    before = watchdog_module.read_resident()
    with pytest.raises(CallStoppedError) as caught:
        perform(lambda: run(eat_memory, seconds=200, memory=100))
    assert str(caught.value) == "took more than 100 MiB of memory"
    gc.collect()
    assert watchdog_module.read_resident() - before < 50 << 20


def test_a_call_that_swallows_its_end_has_failed_all_the_same(perform):
    def swallow():
        try:
            loop_for_ever()
        except BaseException:  # noqa: BLE001 - as the worst of plugins do
            return "done"

    with pytest.raises(CallStoppedError):
        perform(lambda: run(swallow, seconds=0.1))


def test_a_call_that_makes_another_error_of_its_end_has_failed_for_the_same_reason(perform):
    def convert():
        try:
            loop_for_ever()
        except BaseException:  # noqa: BLE001 - as the worst of plugins do
            raise ValueError("it must be the text") from None

    with pytest.raises(CallStoppedError):
        perform(lambda: run(convert, seconds=0.1))


def test_a_call_that_was_ended_leaves_the_next_ones_alone(perform):
    def several():
        with Watchdog() as watchdog:
            for _ in range(3):
                with pytest.raises(CallStoppedError):
                    watchdog.run(loop_for_ever, "it", seconds=0.05)
                assert watchdog.run(lambda: sum(range(1000)), "it") == 499500

    perform(several)


def test_nothing_is_raised_outside_of_a_call(perform, monkeypatch):
    """Calls end about when they are interrupted, thousands of times; what stands between them is never hit."""
    monkeypatch.setattr(watchdog_module, "TICK_SECONDS", 0.0002)
    monkeypatch.setattr(interrupters_module, "CPU_SECONDS", 0.0005)
    rng = random.Random(1)

    def spin(seconds):
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            pass
        return "in time"

    def race():
        ends = {"in time": 0, "stopped": 0}
        outside = 0
        with Watchdog() as watchdog:
            until = time.monotonic() + 1
            while time.monotonic() < until or min(ends.values()) < 20:
                try:
                    end = watchdog.run(lambda: spin(rng.uniform(0.0005, 0.0015)), "it", seconds=0.001)
                except CallStoppedError:
                    end = "stopped"
                ends[end] += 1
                for _ in range(200):
                    outside += 1
        return ends, outside

    ends, outside = perform(race)
    assert outside == 200 * sum(ends.values())


# A person's interrupt


def test_an_interrupt_of_its_own_does_not_pass_for_a_persons(perform):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(CallStoppedError) as caught:
        perform(lambda: run(interrupt))
    assert str(caught.value) == "raised KeyboardInterrupt"


def test_a_persons_interrupt_passes():
    def interrupt():
        os.kill(os.getpid(), signal.SIGINT)
        loop_for_ever()

    with pytest.raises(KeyboardInterrupt):
        run(interrupt, seconds=200)


def test_the_handler_of_interrupts_is_put_back():
    before = signal.getsignal(signal.SIGINT)
    with Watchdog():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) is before


def test_another_handler_that_came_meanwhile_stays():
    def other(_number, _frame):
        pass

    before = signal.getsignal(signal.SIGINT)
    try:
        with Watchdog():
            signal.signal(signal.SIGINT, other)
        assert signal.getsignal(signal.SIGINT) is other
    finally:
        signal.signal(signal.SIGINT, before)


# Signals of the process


def test_the_signal_and_its_timer_are_put_back():
    with Watchdog():
        assert signal.getitimer(signal.ITIMER_VIRTUAL) != (0.0, 0.0)
    assert signal.getsignal(signal.SIGVTALRM) == signal.SIG_DFL
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


def test_a_signal_that_somebody_else_uses_is_left_to_them():
    def theirs(_number, _frame):
        pass

    before = signal.signal(signal.SIGVTALRM, theirs)
    try:
        with pytest.raises(CallStoppedError):
            run(loop_for_ever, seconds=0.1)
        assert signal.getsignal(signal.SIGVTALRM) is theirs
    finally:
        signal.signal(signal.SIGVTALRM, before)


def test_two_watchdogs_of_one_thread_do_not_disturb_each_other():
    with Watchdog() as first:
        with Watchdog() as second:
            for watchdog in (first, second, first):
                with pytest.raises(CallStoppedError):
                    watchdog.run(loop_for_ever, "it", seconds=0.1)
        with pytest.raises(CallStoppedError):
            first.run(search_for_ever, "it", seconds=0.1)


# What cannot be ended, and what is slow


class Computation:
    """C code that asks Python for nothing, until it is told to end. Python code has always a gap for an interrupt."""

    def __init__(self):
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.create_function("begin", 0, self._begin)
        self._thread = None

    def _begin(self):
        self._thread = threading.get_ident()

    def run(self):
        numbers = "WITH RECURSIVE n(x) AS (SELECT begin() UNION ALL SELECT 1 FROM n)"
        return self._database.execute(f"{numbers} SELECT count(*) FROM n").fetchone()

    def runs(self):
        """Whether it is in C code from here on; asked in another thread."""
        return self._thread is not None and sys._current_frames()[self._thread].f_code is Computation.run.__code__

    def end(self):
        self._database.interrupt()

    def close(self):
        self._database.close()


@pytest.fixture
def stuck(monkeypatch, watchdog_clock):
    """A computation; and what a watchdog does at each look: the call is late as soon as it computes."""
    monkeypatch.setattr(watchdog_module, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(watchdog_module, "STUCK_SECONDS", 0.2)
    watchdog_clock.runs = True
    with closing(Computation()) as computation:

        def look():
            if computation.runs():
                watchdog_clock.skip()

        yield computation, look


def test_a_call_that_cannot_be_ended_is_told_of_once(perform, stuck):
    computation, look = stuck
    told, looks = [], []

    def look_on():
        look()
        if told:
            looks.append(1)
        if len(looks) > 20:
            computation.end()

    def work():
        with Watchdog(told.append) as watchdog:
            watchdog.on_tick = look_on
            watchdog.run(computation.run, "the task x", seconds=100)

    with pytest.raises(CallStoppedError):
        perform(work)
    assert told == ["the task x did not end within 100 s and cannot be stopped"]


def test_where_nobody_listens_it_stands_on_standard_error(stuck, monkeypatch):
    class Listening(io.StringIO):
        def write(self, text):
            super().write(text)
            computation.end()

    computation, look = stuck
    heard = Listening()
    monkeypatch.setattr("sys.stderr", heard)
    with Watchdog() as watchdog:
        watchdog.on_tick = look
        with pytest.raises(CallStoppedError):
            watchdog.run(computation.run, "it", seconds=100)
    assert heard.getvalue() == "error: it did not end within 100 s and cannot be stopped\n"


def test_what_holds_up_the_thread_is_noted(watchdog_clock, monkeypatch):
    monkeypatch.setattr(watchdog_module, "SLOW_SECONDS", 0.25)
    with Watchdog() as watchdog:
        for seconds in (0.0, 0.3, 0.4):
            watchdog.run(lambda: watchdog_clock.skip(seconds), "the task x")  # noqa: B023
    assert watchdog.slow["the task x"].count == 2
    (note,) = watchdog.describe_slow()
    assert note == (
        "the task x held up all members 2 times, 0.4 s at most: "
        "what takes long belongs into a process of its own (`heavy`)"
    )


# The text of an error


def test_an_error_is_described_by_its_class_and_text():
    assert describe_error(ValueError("bad")) == "ValueError: bad"


def test_an_error_whose_text_fails_is_described_by_its_class():
    class OddError(Exception):
        def __str__(self):
            raise SystemExit(1)

    assert describe_error(OddError()) == "OddError, whose text cannot be made"
