"""Requests and tokens in a minute: never more than the server allows, however it counts, and hardly less."""

from __future__ import annotations

import asyncio
import math
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pool_core.engine.quota import End, Quota
from pool_core.engine.rate import Rate, count_tokens
from pool_core.interfaces.values import Usage
from pool_core.testing.virtual_time import run_virtual


def count_most(events, seconds=60.0):
    """The largest sum of amounts in any window of ``seconds``. ``events`` are pairs of time and amount."""
    events = sorted(events)
    most = total = first = 0
    for at, amount in events:
        total += amount
        while events[first][0] <= at - seconds:
            total -= events[first][1]
            first += 1
        most = max(most, total)
    return most


def find_emptiest(events, size, per_second):
    """The lowest level of a token bucket that holds ``size`` and gets ``per_second``."""
    level = lowest = size
    before = 0.0
    for at, amount in sorted(events):
        level = min(size, level + (at - before) * per_second) - amount
        before = at
        lowest = min(lowest, level)
    return lowest


def run_calls(rate, calls, *, limit=1000):
    """Send ``calls`` (arrival, estimate, seconds, used, end) through a quota; returns (sent, ended, estimate, used)."""

    async def main():
        quota, loop, done = Quota(limit, rate), asyncio.get_running_loop(), []

        async def work(arrival, estimate, seconds, used, end):
            await asyncio.sleep(arrival)
            place = await quota.acquire(0, estimate)
            sent = loop.time()
            await asyncio.sleep(seconds)
            quota.release(place, end, Usage(used, 0) if end is End.ANSWERED else None)
            done.append((sent, loop.time(), estimate, used))

        async with asyncio.timeout(1e7), asyncio.TaskGroup() as group:
            for call in calls:
                group.create_task(work(*call))
        assert quota.in_flight == 0
        return done

    return run_virtual(main())


@pytest.mark.parametrize("rpm", [1, 3, 60, 600, 601, 5000, 60_000])
def test_requests_leave_evenly_and_use_the_rate(rpm):
    rate, now, sent = Rate(rpm), 0.0, []
    while len(sent) < 3 * min(rpm, 4000):
        now += rate.compute_wait(now, 0)
        assert rate.compute_wait(now, 0) < 1e-9
        rate.note_departure(now, 0)
        sent.append(now)
    assert count_most([(at, 1) for at in sent], 60.5) <= rpm
    assert count_most([(at, 1) for at in sent], 1.0) <= 1.1 * rpm / 60 + 1
    assert (len(sent) - 1) / (sent[-1] - sent[0]) >= 0.98 * rpm / 60


def test_timers_that_fire_late_cost_no_rate():
    rate, now, sent = Rate(60_000), 0.0, 0
    while now < 60:
        if rate.compute_wait(now, 0) == 0:
            rate.note_departure(now, 0)
            sent += 1
        else:
            now += 0.004  # four times the pace
    assert 0.98 * 60_000 <= sent <= 60_000


def test_a_quiet_time_is_not_made_up_for():
    rate = Rate(60)
    rate.note_departure(0.0, 0)
    for number in range(5):
        wait = rate.compute_wait(1000.0, 0)
        assert wait == pytest.approx(number * 61 / 60)
        rate.note_departure(1000.0 + wait, 0)


@settings(max_examples=60, deadline=None)
@given(
    rpm=st.one_of(st.none(), st.integers(1, 2000)),
    tpm=st.integers(100, 100_000),
    seed=st.integers(0, 2**32),
    spread=st.sampled_from([0.0, 5.0, 300.0]),
)
def test_no_minute_is_ever_exceeded_however_the_server_counts(rpm, tpm, seed, spread):
    random = Random(seed)
    calls = []
    for _ in range(80):
        estimate = random.choice([1, tpm // 50, tpm // 5, tpm // 2, tpm])
        used = random.randint(0, estimate)
        end = random.choices([End.ANSWERED, End.FAILED], [9, 1])[0]
        calls.append((random.uniform(0, spread), estimate, random.lognormvariate(0, 2), used, end))
    done = run_calls(Rate(rpm, tpm), calls)
    assert len(done) == len(calls)
    if rpm is not None:
        delays = [random.uniform(0, 0.9) for _ in done]  # on the way to the server
        assert count_most([(sent + late, 1) for (sent, *_), late in zip(done, delays, strict=True)]) <= rpm
        assert find_emptiest([(sent, 1) for sent, *_ in done], rpm, rpm / 60) >= -1e-6
    at_arrival = [(sent, used) for sent, _, _, used in done]
    at_end = [(ended, used) for _, ended, _, used in done]
    between = [(random.uniform(sent, ended), used) for sent, ended, _, used in done]
    for events in (at_arrival, at_end, between):
        assert count_most(events) <= tpm
        assert find_emptiest(events, tpm, tpm / 60) >= -1e-6


def test_tokens_are_corrected_by_what_was_used():
    rate = Rate(tpm=1000)
    rate.note_departure(0.0, 900)
    assert rate.compute_wait(1.0, 200) == math.inf  # not before that one has ended
    rate.note_end(5.0, 900, 100)
    assert rate.compute_wait(5.0, 900) == 0
    assert rate.compute_wait(5.0, 901) == pytest.approx(61.25)
    rate.note_departure(5.0, 900)
    rate.note_end(6.0, 900, None)  # nobody knows, so the estimate counts
    assert rate.compute_wait(6.0, 100) == pytest.approx(60.25)
    assert rate.compute_wait(66.25, 100) == 0
    assert rate.compute_wait(67.25, 1000) == 0


@pytest.mark.parametrize("end", [End.LIMITED, End.OVERLOADED])
def test_a_refused_call_has_used_no_tokens(end):
    calls = [(0.0, 1000, 1.0, 0, end), (0.5, 1000, 1.0, 1000, End.ANSWERED)]
    assert [sent for sent, *_ in run_calls(Rate(tpm=1000), calls)] == [0.0, 1.0]


def test_an_estimate_above_the_rate_leaves_when_nothing_else_counts():
    calls = [
        (0.0, 600, 1.0, 600, End.ANSWERED),
        (0.1, 5000, 2.0, 4000, End.ANSWERED),  # more than a minute allows
        (0.2, 10, 1.0, 10, End.ANSWERED),  # does not overtake it for ever: it waits behind
    ]
    assert [sent for sent, *_ in run_calls(Rate(tpm=1000), calls)] == pytest.approx([0.0, 62.25, 125.5])


def test_a_wait_for_the_rate_does_not_keep_the_loop_busy():
    async def main():
        quota, loop, seen = Quota(100, Rate(tpm=100)), asyncio.get_running_loop(), 0
        original = quota._admit

        def admit():
            nonlocal seen
            seen += 1
            original()

        quota._admit = admit

        async def work():
            place = await quota.acquire(0, 100)
            quota.release(place, End.ANSWERED, Usage(100, 0))

        await asyncio.gather(*(work() for _ in range(10)))
        return seen, loop.time()

    seen, ended = run_virtual(main())
    assert ended == pytest.approx(9 * 61.25)
    assert seen <= 9 + 3 * 9  # one per asking, and a few per wait


def test_one_that_gives_up_its_wait_for_the_rate_holds_up_nobody():
    async def main():
        quota, loop = Quota(10, Rate(tpm=100)), asyncio.get_running_loop()
        place = await quota.acquire(0, 80)
        quota.release(place, End.ANSWERED, Usage(80, 0))
        large, small = asyncio.ensure_future(quota.acquire(0, 100)), asyncio.ensure_future(quota.acquire(0, 20))
        await asyncio.sleep(5)
        large.cancel()
        await small
        return loop.time()

    assert run_virtual(main()) == 5


def test_one_that_gives_up_in_the_moment_of_its_turn_uses_no_tokens():
    async def main():
        quota, loop = Quota(10, Rate(tpm=100)), asyncio.get_running_loop()
        place = await quota.acquire(0, 100)
        first, second = (asyncio.ensure_future(quota.acquire(0, 100)) for _ in range(2))
        await asyncio.sleep(1)
        quota.release(place, End.ANSWERED, Usage(0, 0))  # first has its place, and has not run yet
        first.cancel()
        await second
        return loop.time()

    assert run_virtual(main()) == 1


def test_pace_and_pause_hold_together():
    calls = [(0.0, 0, 0.1, 0, End.ANSWERED)] * 5
    sent = sorted(sent for sent, *_ in run_calls(Rate(rpm=61), calls))
    assert [later - earlier for earlier, later in pairwise(sent)] == pytest.approx([1.0] * 4)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [(None, None), (Usage(3, None), None), (Usage(None, 3), None), (Usage(0, 0), 0), (Usage(3, 4), 7)],
)
def test_only_a_usage_that_says_both_counts(usage, tokens):
    assert count_tokens(usage) == tokens
