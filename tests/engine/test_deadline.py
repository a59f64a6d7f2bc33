"""A deadline ends what is late as `asyncio.timeout` does, with one timer for all calls."""

from __future__ import annotations

import asyncio

import pytest

from pool_core.engine.deadline import Deadline
from pool_core.testing.virtual_time import run_virtual


def now():
    return asyncio.get_running_loop().time()


async def call(deadline, seconds, ends):
    try:
        with deadline.watch():
            await asyncio.sleep(seconds)
    except TimeoutError:
        ends.append(("late", now()))
    else:
        ends.append(("done", now()))


def test_what_is_late_ends_in_its_moment_and_what_is_not_goes_on():
    async def run():
        deadline, ends = Deadline(10.0), []
        async with asyncio.TaskGroup() as group:
            for wait, seconds in ((0, 9.5), (1, 30), (2, 3), (4, 30), (4, 10.5)):
                await asyncio.sleep(wait)
                group.create_task(call(deadline, seconds, ends))
        return ends

    assert run_virtual(run()) == [("done", 6.0), ("done", 9.5), ("late", 11.0), ("late", 17.0), ("late", 21.0)]


def test_there_is_one_timer_however_many_calls_run_and_none_when_none_runs():
    async def run():
        deadline, ends = Deadline(10.0), []
        loop = asyncio.get_running_loop()
        calls = [asyncio.ensure_future(call(deadline, 1, ends)) for _ in range(100)]
        await asyncio.sleep(0.5)
        timers = [timer for timer in loop._scheduled if not timer.cancelled() and timer.when() > 5]
        await asyncio.gather(*calls)
        left = [timer for timer in loop._scheduled if not timer.cancelled()]
        return len(timers), len(left), len(ends)

    assert run_virtual(run()) == (1, 0, 100)


def test_a_cancellation_by_others_passes_through():
    async def run():
        task = asyncio.ensure_future(call(Deadline(10.0), 30, []))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtual(run())


def test_a_cancellation_in_the_same_moment_is_not_taken_for_lateness():
    async def run():
        task = asyncio.ensure_future(call(Deadline(10.0), 30, []))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_at(10.0, task.cancel)
        await asyncio.wait([task])
        return task.cancelled()

    assert run_virtual(run())


def test_a_call_that_swallows_its_end_may_end_as_it_likes():
    async def run():
        deadline = Deadline(1.0)
        try:
            with deadline.watch():
                try:
                    await asyncio.sleep(5)
                except asyncio.CancelledError:
                    await asyncio.sleep(1)
        finally:
            task = asyncio.current_task()
        return now(), task.cancelling()

    assert run_virtual(run()) == (2.0, 0)


def test_an_error_of_the_call_passes_through():
    async def fail():
        with Deadline(1.0).watch():
            await asyncio.sleep(0.5)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        run_virtual(fail())
