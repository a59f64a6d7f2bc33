"""Hedging: a slow cell is asked a second time, within a share; the loser is cancelled and counted."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from types import SimpleNamespace

import pytest

from pool_core.engine.attempt import MOMENT, send_hedged
from pool_core.engine.hedge import LEAST, HedgePlan
from pool_core.engine.work import WorkList
from pool_core.errors import BackendError, StoreError
from pool_core.interfaces.values import Answer, Cause
from pool_core.recipe.models import Hedge
from pool_core.store.store import Store
from pool_core.testing.scripted import ScriptedBackend
from pool_core.testing.virtual_time import run_virtual


def get_text(request) -> str:
    return request.prompt.messages[-1].content


def test_nothing_is_slow_before_enough_is_known():
    plan = HedgePlan(Hedge())
    for _ in range(LEAST - 1):
        plan.note_latency(1.0)
    assert plan.threshold is None
    plan.note_latency(1.0)
    assert plan.threshold == 1.0


def test_the_threshold_is_the_percentile_of_the_last_calls():
    plan = HedgePlan(Hedge(percentile=0.9))
    for seconds in range(1, 201):
        plan.note_latency(float(seconds))
    assert plan.threshold == 181.0


def test_second_requests_are_a_share_of_the_first_ones():
    plan = HedgePlan(Hedge(share=0.1))
    taken = 0
    for _ in range(1000):
        plan.note_latency(1.0)
        taken += plan.take()
    assert taken == 100


class Slow:
    """Answers in a second; the first call for the rows named takes much longer."""

    def __init__(self, *slow, seconds=100.0, second=None):
        self.slow, self.seconds, self.second = set(slow), seconds, second
        self.asked = Counter()
        self.cancelled = 0

    async def __call__(self, request):
        text = get_text(request)
        self.asked[text] += 1
        first = self.asked[text] == 1
        try:
            usual = 1 - int(text.split()[1]) / 1000  # ever a little faster, so that no usual call is slow
            await asyncio.sleep(self.seconds if text in self.slow and first else usual)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if text in self.slow and not first and self.second is not None:
            return self.second
        return f"{text} {self.asked[text]}"


@pytest.fixture
def run(make_member, run_members, tmp_path):
    def run(script, *, hedge=Hedge(share=0.5), rows=100, **limits):  # noqa: B008 - frozen
        backend = ScriptedBackend(script, model="a")
        member = make_member("a", backend, **{"concurrency": 4, "timeout": 1000, **limits})
        summary = run_members([member.model_copy(update={"hedge": hedge})], rows)
        with Store.read(tmp_path / "run") as store:
            paid = sum(spent.answers for spent in store.read_spent().values())
        return summary.members[0], backend, paid

    return run


def test_a_slow_cell_is_asked_again_and_the_first_answer_counts(run, read_run):
    script = Slow("row 50")
    member, backend, paid = run(script)
    assert (member.ok, member.hedges, member.maybe_billed, script.cancelled) == (100, 1, 1, 1)
    assert script.asked["row 50"] == 2
    assert (member.requests, paid) == (101, 100)
    assert read_run()["50", "a", 0]["said"] == "row 50 2"
    assert backend.in_flight == 0


def test_without_the_option_nothing_is_asked_twice(run):
    script = Slow("row 50")
    member, _, _ = run(script, hedge=None)
    assert (member.hedges, member.requests) == (0, 100)


def test_where_the_second_request_fails_the_first_still_counts(run, read_run):
    script = Slow("row 50", seconds=5, second=BackendError(Cause.SERVER, "busy"))
    member, _, _ = run(script)
    assert (member.ok, member.hedges, member.maybe_billed) == (100, 1, 0)
    assert read_run()["50", "a", 0]["said"].startswith("row 50")


def test_two_answers_in_one_moment_are_both_kept():
    async def answer(text, seconds):
        await asyncio.sleep(seconds)
        return Answer(text)

    spare = []
    second = answer("two", 0.5 - MOMENT)
    found = run_virtual(send_hedged(answer("one", 1), lambda _: second, 0.5, spare.append))
    assert (found.text, [each.text for each in spare]) == ("one", ["two"])


def test_a_call_that_takes_as_long_as_its_like_is_not_slow(run):
    async def answer(request):
        await asyncio.sleep(1)
        return "yes"

    member, _, _ = run(answer, hedge=Hedge(share=1), concurrency=30)
    assert (member.ok, member.requests) == (100, 100)


def test_an_answer_that_comes_in_the_moment_of_a_cancellation_is_kept():
    async def answer():
        await asyncio.sleep(1)
        task.cancel()
        return Answer("paid for")

    async def main():
        nonlocal task
        task = asyncio.ensure_future(send_hedged(answer(), lambda _: asyncio.sleep(100), 0.5, kept.append))
        with pytest.raises(asyncio.CancelledError):
            await task

    kept, task = [], None
    run_virtual(main())
    assert kept == [Answer("paid for")]


def test_the_share_is_kept(run):
    script = Slow(*(f"row {number}" for number in range(30, 100)), seconds=50)
    member, _, _ = run(script, hedge=Hedge(percentile=0.5, share=0.1))
    assert 1 <= member.hedges <= 10


def test_the_limit_of_the_quota_holds_for_second_requests_too(run):
    script = Slow("row 50", "row 51", seconds=20)
    member, backend, _ = run(script, concurrency=3)
    assert backend.peak <= 3
    assert member.ok == 100


def test_a_second_request_does_not_wait_for_the_place_that_the_first_one_holds(run):
    """The first one fails while the second waits for the only place: the retry loop takes over."""
    script = Slow(*(f"row {number}" for number in range(30, 40)))

    async def answer(request):
        said = await script(request)
        first = script.asked[get_text(request)] == 1
        return BackendError(Cause.SERVER, "busy") if get_text(request) in script.slow and first else said

    member, backend, _ = run(answer, concurrency=1)
    assert (member.ok, member.hedges, backend.in_flight) == (100, 0, 0)
    assert {script.asked[text] for text in script.slow} == {2}


def test_what_fails_for_good_is_not_sent_again_by_a_second_request_that_waits(run):
    script = Slow("row 50")

    async def answer(request):
        said = await script(request)
        return BackendError(Cause.BAD_REQUEST, "never") if get_text(request) == "row 50" else said

    member, _, _ = run(answer, concurrency=1)
    assert (member.ok, member.failed, script.asked["row 50"]) == (99, {"bad_request": 1}, 1)


def test_where_a_second_request_may_not_be_sent_the_error_is_that_of_the_first():
    async def fail():
        await asyncio.sleep(1)
        raise BackendError(Cause.SERVER, "busy")

    with pytest.raises(BackendError, match="busy"):
        run_virtual(send_hedged(fail(), lambda _: asyncio.sleep(0.5), 0.5, [].append))


def test_a_second_request_that_waits_is_not_sent_after_a_stop(make_member, run_members):
    script = Slow("row 50", seconds=10)

    async def answer(request):
        if get_text(request) == "row 50":  # when it is slow, and the second request waits for the other place
            asyncio.get_running_loop().call_later(1.2, engine.stop)
        return await script(request)

    async def steer(running):
        nonlocal engine
        engine = running

    engine = None
    member = make_member("a", answer, concurrency=2, timeout=1000)
    summary = run_members([member.model_copy(update={"hedge": Hedge(share=0.5)})], 100, steer=steer)
    assert (summary.status, summary.members[0].hedges, script.asked["row 50"]) == ("interrupted", 0, 1)


def test_a_failed_loser_that_may_have_been_billed_is_counted(run):
    lost = BackendError(Cause.TRANSPORT, "cut off", maybe_billed=True)
    member, _, _ = run(Slow("row 50", seconds=5, second=lost))
    assert (member.ok, member.hedges, member.maybe_billed) == (100, 1, 1)


def test_a_wait_that_is_named_to_a_second_request_pauses_the_quota(run):
    script = Slow("row 50", seconds=5, second=BackendError(Cause.RATE_LIMIT, "slow down", retry_after=30.0))
    times = []

    def answer(request):
        times.append(asyncio.get_running_loop().time())
        return script(request)

    member, _, _ = run(answer)
    assert (member.ok, member.hedges) == (100, 1)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert max(gaps) >= 29


def make_work(writer):
    """A list of work that only keeps answers."""
    work = object.__new__(WorkList)
    work._store = SimpleNamespace(writer=writer)
    return work


def test_a_spare_answer_that_cannot_be_written_ends_the_run(monkeypatch):
    def refuse(_answer):
        raise StoreError("the disk is full")

    monkeypatch.setattr(WorkList, "_make_paid", lambda *_: "paid")
    with pytest.raises(StoreError, match="the disk is full"):
        make_work(SimpleNamespace(submit_answer=refuse)).keep_spare(None, Answer("x"), 1.0)


def test_a_spare_answer_that_is_none_is_left_out():
    kept = []
    make_work(SimpleNamespace(submit_answer=kept.append)).keep_spare(None, Answer(object()), 1.0)
    assert kept == []
