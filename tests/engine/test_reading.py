"""Light tasks on the event loop: whatever one of them does costs its cell, and the run goes on."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from pathlib import Path

import pytest

from pool_core import watchdog as watchdog_package
from pool_core.api import hookimpl
from pool_core.errors import PluginError
from pool_core.interfaces.values import Cause
from pool_core.pool import Pool
from pool_core.recipe.models import Limits, Member
from pool_core.testing.scripted import EchoTask, ScriptedBackend, make_registry


def loop_for_ever():
    while True:
        pass


def eat_memory():
    """Eat more and more, and slowly from some point on: a machine that looks late has memory left."""
    held = []
    while True:
        held.append(b"x" * (1 << 20))
        time.sleep(0 if len(held) < 200 else 0.01)


def recurse():
    return recurse()


def throw(error):
    raise error


class OddError(Exception):
    def __str__(self):
        raise AttributeError("code")


#: Those of the misdeeds that never end.
ENDLESS = ("loops", "searches", "sleeps")
#: What a row's text makes the parser do, and the message of its cell.
MISDEEDS = {
    "loops": (loop_for_ever, "did not end within 90 s, reading the answer"),
    "searches": (lambda: re.match(r"(a+)+$", "a" * 60 + "b"), "did not end within 90 s, reading the answer"),
    "sleeps": (lambda: threading.Event().wait(), "did not end within 90 s, reading the answer"),
    "recurses": (recurse, "broke: RecursionError: maximum recursion depth exceeded"),
    "leaves": (lambda: throw(SystemExit(3)), "broke: SystemExit: 3"),
    "interrupts": (lambda: throw(KeyboardInterrupt()), "raised KeyboardInterrupt, reading the answer"),
    "cancels": (lambda: throw(asyncio.CancelledError()), "broke: CancelledError: "),
    "ends": (lambda: throw(GeneratorExit()), "broke: GeneratorExit: "),
    "starves": (lambda: throw(MemoryError()), "broke: MemoryError: "),
    "mumbles": (lambda: throw(OddError()), "broke: OddError, whose text cannot be made"),
}


class Misbehaving(EchoTask):
    """Does what the answer says, where that is a misdeed. What never ends takes its time at once."""

    def __init__(self, clock):
        super().__init__()
        self._clock = clock

    def parse(self, answer, row):
        if answer.text == "eats":
            self._clock.skip(1)
            eat_memory()
        if answer.text in ENDLESS:
            self._clock.skip()
        if answer.text in MISDEEDS:
            MISDEEDS[answer.text][0]()
        return super().parse(answer, row)


def get_text(request):
    return request.prompt.messages[-1].content


def test_whatever_a_parser_does_costs_its_cell_alone(make_member, run_members, read_run, watchdog_clock):
    member = make_member("a", get_text, task=Misbehaving(watchdog_clock), task_timeout=90)
    texts = [text for misdeed in MISDEEDS for text in (misdeed, "fine")]
    summary = run_members([member], texts)
    assert summary.status == "partial"
    assert (summary.members[0].ok, summary.requests) == (len(MISDEEDS), 2 * len(MISDEEDS))
    found = read_run()
    for number, misdeed in enumerate(MISDEEDS):
        cell = found[str(2 * number), "a", 0]
        assert (cell["status"], cell["cause"]) == ("failed", Cause.PARSE)
        assert cell["message"].startswith(f"the task Misbehaving {MISDEEDS[misdeed][1]}")
        assert found[str(2 * number + 1), "a", 0]["said"] == "fine"


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is watched on Linux alone")
def test_a_parser_that_eats_memory_costs_its_cell_alone(make_member, run_members, read_run, watchdog_clock):
    member = make_member("a", get_text, task=Misbehaving(watchdog_clock), task_timeout=20, task_memory=100)
    assert run_members([member], ["eats", "fine"]).status == "partial"
    cell = read_run()["0", "a", 0]
    assert cell["cause"] == Cause.PARSE
    assert cell["message"] == "the task Misbehaving took more than 100 MiB of memory, reading the answer"
    assert read_run()["1", "a", 0]["said"] == "fine"


def test_an_answer_that_was_not_read_in_time_is_read_later_and_asked_for_never(
    make_member, run_members, read_run, watchdog_clock
):
    class Slow(EchoTask):
        def parse(self, answer, row):
            watchdog_clock.skip(40)
            if limit < 40:
                loop_for_ever()
            return super().parse(answer, row)

    backend = ScriptedBackend(lambda _: "yes", "a")
    limit = 10
    first = run_members([make_member("a", backend, task=Slow(), task_timeout=limit)], 1)
    assert (first.status, len(backend.requests)) == ("partial", 1)
    limit = 1000
    second = run_members([make_member("a", backend, task=Slow(), task_timeout=limit)], 1)
    assert (second.status, len(backend.requests)) == ("complete", 1)
    assert read_run()["0", "a", 0]["said"] == "yes"


def test_a_task_that_holds_up_the_loop_is_named_in_the_notes(make_member, run_members, watchdog_clock, monkeypatch):
    class Slow(EchoTask):
        def parse(self, answer, row):
            watchdog_clock.skip(0.3)
            return super().parse(answer, row)

    monkeypatch.setattr(watchdog_package.watchdog, "SLOW_SECONDS", 0.25)
    summary = run_members([make_member("a", lambda _: "yes", task=Slow())], 2)
    assert summary.status == "complete"
    (note,) = summary.notes
    assert note.startswith("the task Slow held up all members 2 times, 0.3 s at most: ")


def test_a_prompt_that_does_not_end_costs_its_cell(make_member, run_members, read_run, watchdog_clock):
    class Stubborn(EchoTask):
        def render(self, row):
            if row["text"] == "loop" and checked:
                watchdog_clock.skip()
                loop_for_ever()
            return super().render(row)

    checked = []

    async def steer(_engine):
        checked.append(True)

    member = make_member("a", get_text, task=Stubborn(), task_timeout=90)
    assert run_members([member], ["loop", "fine"], steer=steer).status == "partial"
    failed = read_run()["0", "a", 0]
    assert (failed["cause"], failed["message"]) == (Cause.RENDER, "the task Stubborn did not end within 90 s")
    assert read_run()["1", "a", 0]["said"] == "fine"


def test_a_plugin_that_does_not_return_from_a_notification_is_told_no_more(make_member, run_members, watchdog_clock):
    class Blocking:
        @hookimpl
        def pool_cell_finished(self, cell):
            told.append(cell.row_id)
            watchdog_clock.skip()
            loop_for_ever()

        @hookimpl
        def pool_run_finished(self, run):
            told.append(run.status)

    class Listening:
        @hookimpl
        def pool_cell_finished(self, cell):
            heard.append(cell.row_id)

    told, heard = [], []
    registry = make_registry()
    registry.register(Blocking(), name="blocking")
    registry.register(Listening(), name="listening")
    summary = run_members([make_member("a", lambda _: "yes")], 5, registry=registry)
    assert summary.status == "complete"
    assert (len(told), len(heard)) == (1, 5)
    assert summary.notes[0] == (
        "pool_cell_finished of the plugin 'blocking' failed: it did not end within 10 s; "
        "the plugin is told nothing more in this run"
    )


def test_a_call_that_cannot_be_ended_ends_the_waiting_for_the_run(tmp_path, monkeypatch, watchdog_clock):
    """In another thread than the main one a wait cannot be ended: the run is given up, with what is stored."""

    class Waiting(EchoTask):
        def parse(self, answer, row):
            if answer.text == "wait" and not released.is_set():
                watchdog_clock.skip()
                released.wait()
            return super().parse(answer, row)

    monkeypatch.setattr(watchdog_package.watchdog, "STUCK_SECONDS", 0.2)
    watchdog_clock.runs = True
    released = threading.Event()
    backend = ScriptedBackend(get_text, "a")
    member = Member(name="a", backend=backend, task=Waiting(), limits=Limits(task_timeout=90, concurrency=1))
    pool = Pool(members=[member], policies=())
    rows = [{"text": "fine"}, {"text": "wait"}]
    try:
        with pytest.raises(PluginError) as caught:
            pool.run(rows, run_dir=tmp_path / "run", registry=make_registry())
    finally:
        released.set()
    assert str(caught.value) == (
        "the task Waiting did not end within 90 s and cannot be stopped\n"
        "  what was answered before is kept; let the task say `heavy = True`, so that it runs in a process that can be "
        "ended, or report it to the plugin's authors"
    )
    for thread in threading.enumerate():
        if thread.name == "pool-run":
            thread.join(300)
    assert pool.run(rows, run_dir=tmp_path / "run", registry=make_registry()).summary.status == "complete"
    assert len(backend.requests) == 2
