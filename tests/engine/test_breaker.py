"""A breaker: when it opens, who probes, and that nobody waits for ever."""

from __future__ import annotations

import asyncio
import itertools
from random import Random

import pytest

from pool_core.engine.breaker import FIRST_FAILURES, MOST_FAILURES, MOST_SECONDS, WINDOW, Breaker
from pool_core.testing.virtual_time import run_virtual


def make_open() -> Breaker:
    breaker = Breaker(Random(0))
    for _ in range(FIRST_FAILURES):
        breaker.note_failure(probe=False)
    return breaker


def test_it_opens_at_once_where_nothing_was_ever_answered():
    async def main():
        breaker = Breaker(Random(0))
        for _ in range(FIRST_FAILURES - 1):
            breaker.note_failure(probe=False)
        assert breaker.closed
        breaker.note_failure(probe=False)
        assert not breaker.closed
        breaker.close()

    run_virtual(main())


def test_once_answered_it_opens_only_when_most_of_the_last_calls_have_failed():
    async def main():
        breaker = Breaker(Random(0))
        breaker.note_success()
        for _ in range(10):  # three of four fail, for ever: it stays closed
            for failed in (True, True, True, False):
                breaker.note_failure(probe=False) if failed else breaker.note_success()
        assert breaker.closed
        for _ in range(MOST_FAILURES):
            breaker.note_failure(probe=False)
        assert not breaker.closed
        breaker.close()

    run_virtual(main())


def test_old_calls_are_forgotten():
    async def main():
        breaker = Breaker(Random(0))
        breaker.note_success()
        for _ in range(MOST_FAILURES - 1):
            breaker.note_failure(probe=False)
        for _ in range(WINDOW):
            breaker.note_success()
        for _ in range(MOST_FAILURES - 1):
            breaker.note_failure(probe=False)
        assert breaker.closed

    run_virtual(main())


def test_open_it_lets_one_probe_pass_and_a_success_lets_all_pass():
    async def main():
        loop, breaker, passed = asyncio.get_running_loop(), make_open(), []

        async def work(name):
            probe = await breaker.wait()
            passed.append((name, probe, loop.time()))
            if probe:
                await asyncio.sleep(5)
                breaker.note_success()

        await asyncio.gather(*(work(name) for name in "abc"))
        return passed, breaker.closed

    passed, closed = run_virtual(main())
    assert closed
    (name, probe, at), *others = passed
    assert (name, probe) == ("a", True)
    assert 0.75 <= at <= 1
    assert others == [("b", False, at + 5), ("c", False, at + 5)]


def test_probes_that_fail_come_ever_more_rarely():
    async def main():
        loop, breaker, times = asyncio.get_running_loop(), make_open(), [0.0]
        for _ in range(9):
            assert await breaker.wait()
            times.append(loop.time())
            breaker.note_failure(probe=True)
        breaker.close()
        return [later - earlier for earlier, later in itertools.pairwise(times)], breaker.failed_probes

    waits, failed = run_virtual(main())
    assert failed == 9
    for number, wait in enumerate(waits):
        bound = min(MOST_SECONDS, 2.0**number)
        assert 0.75 * bound <= wait <= bound


def test_a_late_failure_of_a_call_that_left_before_is_no_probe():
    async def main():
        breaker = make_open()
        assert await breaker.wait()
        breaker.note_failure(probe=False)
        assert breaker.failed_probes == 0
        breaker.note_success()
        assert breaker.closed

    run_virtual(main())


def test_a_probe_that_says_nothing_makes_room_for_another():
    async def main():
        breaker = make_open()
        assert await breaker.wait()
        waiting = asyncio.ensure_future(breaker.wait())
        await asyncio.sleep(0)
        breaker.note_neutral(probe=True)
        assert await waiting
        breaker.close()

    run_virtual(main())


@pytest.mark.parametrize("seed", range(20))
def test_whoever_is_cancelled_takes_no_probe_along(seed):
    """Workers come and go at random; as long as one waits, a probe passes sooner or later."""

    async def main():
        random, breaker, probes = Random(seed), make_open(), 0

        async def work():
            nonlocal probes
            assert await breaker.wait()
            probes += 1
            breaker.note_failure(probe=True)

        for _ in range(30):
            workers = [asyncio.ensure_future(work()) for _ in range(4)]
            await asyncio.sleep(random.choice([0, 0.5, 1.0, 40]))
            *leaving, stays = random.sample(workers, 4)
            for task in leaving:
                task.cancel()
            await asyncio.wait_for(stays, 4 * MOST_SECONDS)
            await asyncio.gather(*leaving, return_exceptions=True)
        breaker.close()
        return probes

    assert run_virtual(main()) >= 30
