"""A quota: its limit is never passed, places go in order, pauses hold, and no cancellation loses a place."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pool_core.engine.adapt.limit import AdaptiveLimit
from pool_core.engine.quota import End, Place, Quota
from pool_core.errors import BackendError
from pool_core.interfaces.values import Cause
from pool_core.testing.virtual_time import run_virtual

PLACE = Place(0, 0.0, 1, 0.0)


def test_places_are_given_in_the_order_of_asking():
    async def main():
        quota, order = Quota(2), []

        async def work(name):
            await quota.acquire(0)
            order.append(name)
            await asyncio.sleep(1)
            quota.release(PLACE, End.ANSWERED)

        async with asyncio.TaskGroup() as group:
            for name in range(7):
                group.create_task(work(name))
        return order, quota.peak, quota.in_flight, asyncio.get_running_loop().time()

    assert run_virtual(main()) == ([0, 1, 2, 3, 4, 5, 6], 2, 0, 4.0)


def test_waiting_members_are_served_in_turn_and_each_in_its_own_order():
    async def main():
        quota, order = Quota(1), []
        held = await quota.acquire(9)

        async def work(member, number):
            place = await quota.acquire(member)
            order.append((member, number))
            quota.release(place, End.ANSWERED)

        async with asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(work(0, number))
            group.create_task(work(1, 0))
            for number in range(2):
                group.create_task(work(2, number))
            await asyncio.sleep(1)
            quota.release(held, End.ANSWERED)
        return order

    assert run_virtual(main()) == [(0, 0), (1, 0), (2, 0), (0, 1), (2, 1), (0, 2), (0, 3)]


def test_a_member_whose_only_waiting_call_gave_up_takes_no_turn():
    async def main():
        quota, order = Quota(1), []
        held = await quota.acquire(9)

        async def work(member):
            place = await quota.acquire(member)
            order.append(member)
            quota.release(place, End.ANSWERED)

        tasks = [asyncio.ensure_future(work(member)) for member in (0, 1, 2)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        quota.release(held, End.ANSWERED)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert quota.try_acquire(1)  # nothing is left that would stand before it
        return order

    assert run_virtual(main()) == [0, 2]


def test_a_free_place_is_not_taken_past_those_who_wait():
    async def main():
        quota = Quota(1)
        assert quota.try_acquire(0)
        waiting = asyncio.ensure_future(quota.acquire(0))
        await asyncio.sleep(0)
        quota.release(PLACE, End.ANSWERED)
        assert not quota.try_acquire(0)  # the place is the waiting one's already
        await waiting
        assert quota.in_flight == 1
        quota.release(PLACE, End.ANSWERED)
        assert quota.try_acquire(0)

    run_virtual(main())


def test_nothing_is_admitted_during_a_pause_and_the_order_holds_after_it():
    async def main():
        loop, quota, admitted = asyncio.get_running_loop(), Quota(3), []

        async def work(name):
            await quota.acquire(0)
            admitted.append((name, loop.time()))
            quota.release(PLACE, End.ANSWERED)

        quota.pause(5)
        assert not quota.try_acquire(0)
        await asyncio.gather(*(work(name) for name in "abcd"))
        assert quota.try_acquire(0)
        return admitted

    assert run_virtual(main()) == [(name, 5.0) for name in "abcd"]


@pytest.mark.parametrize(
    ("pauses", "ends"),
    [
        ([(0, 5)], 5.0),
        ([(0, 5), (1, 2)], 5.0),  # a shorter pause shortens nothing
        ([(0, 5), (1, 10)], 11.0),  # a longer one wins
        ([(0, 5), (5.5, 2)], 5.0),  # one that comes after the first has ended is of its own
        ([(0, 5), (0, 5)], 5.0),
        ([(0, 0)], 0.0),
        ([(0, 1), (0.5, 1), (0.75, 0.1)], 1.5),
    ],
)
def test_the_longer_pause_wins(pauses, ends):
    async def main():
        loop, quota = asyncio.get_running_loop(), Quota(1)
        quota.pause(pauses[0][1])
        for at, seconds in pauses[1:]:
            loop.call_at(at, quota.pause, seconds)
        await quota.acquire(0)
        return loop.time()

    assert run_virtual(main()) == ends


def test_what_is_in_flight_does_not_end_a_pause_by_its_release():
    async def main():
        loop, quota = asyncio.get_running_loop(), Quota(1)
        await quota.acquire(0)
        quota.pause(10)
        loop.call_later(1, quota.release, PLACE, End.ANSWERED)
        await quota.acquire(0)
        return loop.time()

    assert run_virtual(main()) == 10.0


def test_a_place_that_is_given_in_the_moment_of_a_cancellation_goes_on_to_the_next():
    async def main():
        quota = Quota(1)
        await quota.acquire(0)
        first, second = (asyncio.ensure_future(quota.acquire(0)) for _ in range(2))
        await asyncio.sleep(0)
        quota.release(PLACE, End.ANSWERED)  # first has the place, and has not run yet
        first.cancel()
        await asyncio.wait_for(second, 1)
        assert first.cancelled()
        return quota.in_flight

    assert run_virtual(main()) == 1


@pytest.mark.parametrize("paused", [False, True])
def test_one_that_gave_up_waiting_takes_no_place(paused):
    async def main():
        quota = Quota(1)
        await quota.acquire(0)
        if paused:
            quota.pause(3)
        gone, stays = (asyncio.ensure_future(quota.acquire(0)) for _ in range(2))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        quota.release(PLACE, End.ANSWERED)
        await asyncio.wait_for(stays, 10)
        quota.release(PLACE, End.ANSWERED)
        assert quota.try_acquire(0)
        return quota.in_flight

    assert run_virtual(main()) == 1


@settings(max_examples=60, deadline=None)
@given(limit=st.integers(1, 4), workers=st.integers(1, 12), seed=st.integers(0, 2**32))
def test_no_interleaving_of_work_pauses_and_cancellations_passes_the_limit_or_loses_a_place(limit, workers, seed):
    random = Random(seed)

    async def main():
        quota, working = Quota(limit), 0

        async def work():
            nonlocal working
            for _ in range(3):
                await quota.acquire(0)
                working += 1
                try:
                    assert working <= quota.in_flight <= limit
                    await asyncio.sleep(random.choice([0, 0, 0.5, 1, 2]))
                finally:
                    working -= 1
                    quota.release(PLACE, End.ANSWERED)

        async def disturb(tasks):
            for _ in range(3 * workers):
                await asyncio.sleep(random.choice([0, 0, 0.25, 0.5, 1]))
                if random.random() < 0.5:
                    random.choice(tasks).cancel()
                else:
                    quota.pause(random.choice([0, 0.5, 1.5]))

        async with asyncio.timeout(10_000):
            tasks = [asyncio.ensure_future(work()) for _ in range(workers)]
            disturber = asyncio.ensure_future(disturb(tasks))
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            await disturber
            assert all(end is None or isinstance(end, asyncio.CancelledError) for end in ends)
            assert quota.in_flight == 0
            assert quota.peak <= limit
            for _ in range(limit):  # every place is there to be taken again
                await quota.acquire(0)

    run_virtual(main())


class Turns:
    """Who has to be served when: a ring of members, each with its calls in the order of asking; nothing clever."""

    def __init__(self, limit):
        self.limit = limit
        self.ring, self.waiting = [], {}
        self.served, self.released = [], 0

    def list_waiting(self):
        return sorted(call for calls in self.waiting.values() for call in calls)

    def ask(self, call, member):
        self.waiting.setdefault(member, []).append(call)
        if member not in self.ring:
            self.ring.append(member)

    def cancel_one(self, value):
        waiting = self.list_waiting()
        if not waiting:
            return None
        call = waiting[value % len(waiting)]
        member = next(member for member, calls in self.waiting.items() if call in calls)
        self.waiting[member].remove(call)
        if not self.waiting[member]:
            self.ring.remove(member)
        return call

    def serve(self):
        while self.ring and len(self.served) - self.released < self.limit:
            member = self.ring.pop(0)
            self.served.append(self.waiting[member].pop(0))
            if self.waiting[member]:
                self.ring.append(member)
        return self.served


@settings(max_examples=150, deadline=None)
@given(
    limit=st.integers(1, 3),
    steps=st.lists(st.tuples(st.sampled_from(["ask", "ask", "cancel", "release"]), st.integers(0, 3)), max_size=60),
)
def test_turns_are_those_of_a_simple_model_and_all_are_served(limit, steps):
    async def main():
        quota, turns, tasks, held, served = Quota(limit), Turns(limit), {}, [], []
        anyone = asyncio.ensure_future(asyncio.sleep(0))

        async def ask(call, member):
            held.append(await quota.acquire(member))
            served.append(call)

        async def compare():
            await asyncio.sleep(0.001)
            assert served == turns.serve()
            assert quota.in_flight == len(held) <= limit

        async def release():
            quota.release(held.pop(0), End.ANSWERED)
            turns.released += 1
            await compare()

        for call, (what, value) in enumerate(steps):
            if what == "ask":
                tasks[call] = asyncio.ensure_future(ask(call, value))
                turns.ask(call, value)
            elif what == "cancel":
                gone = turns.cancel_one(value)
                tasks.get(gone, anyone).cancel()
            elif held:
                await release()
            await compare()
        while held:
            await release()
        assert not turns.list_waiting()
        await asyncio.gather(*tasks.values(), return_exceptions=True)

    run_virtual(main())


def test_growth_is_told_and_lets_more_in():
    async def main():
        quota, grown = Quota(AdaptiveLimit(100)), []
        quota.on_growth(lambda: grown.append(quota.limit))
        before = quota.limit
        tasks = [asyncio.ensure_future(quota.acquire(0)) for _ in range(before + 3)]
        await asyncio.sleep(1)
        assert quota.in_flight == before
        quota.release(await tasks[0], End.ANSWERED)
        await asyncio.sleep(0)
        assert quota.limit == before + 1 == quota.in_flight
        assert grown == [before + 1]
        quota.release(await tasks[1], End.LIMITED)
        assert quota.limit == before
        assert len(grown) == 1
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run_virtual(main())


def test_members_that_share_a_quota_keep_to_its_smallest_limit_and_none_starves(make_member, run_members):
    running, peak, order = 0, 0, []

    def make_script(name):
        async def answer(_request):
            nonlocal running, peak
            running += 1
            peak = max(peak, running)
            order.append(name)
            await asyncio.sleep(1)
            running -= 1
            return "yes"

        return answer

    greedy = make_member("greedy", make_script("greedy"), quota="one", concurrency=50)
    modest = make_member("modest", make_script("modest"), quota="one", concurrency=3)
    apart = make_member("apart", make_script("apart"), quota="two", concurrency=1)
    summary = run_members([greedy, modest], 60)
    assert summary.status == "complete"
    assert peak == 3
    # of any round of all who can wait, the modest one gets its part
    while_both = order[: max(index for index, name in enumerate(order) if name == "modest")]
    assert max(_measure_gaps(while_both, "modest")) <= 50

    peak = 0
    summary = run_members([greedy, apart], 60, run_dir="apart")
    assert summary.status == "complete"
    assert peak == 51


def _measure_gaps(order, name):
    gap = 0
    for other in order:
        if other == name:
            yield gap
            gap = 0
        else:
            gap += 1


def test_a_pause_of_one_member_holds_for_those_that_share_its_quota(make_member, run_members):
    sent = {"limited": [], "neighbour": [], "stranger": []}

    def make_script(name):
        def answer(_request):
            now = asyncio.get_running_loop().time()
            sent[name].append(now)
            if name == "limited" and len(sent[name]) == 1:
                return BackendError(Cause.RATE_LIMIT, "slow down", retry_after=100)
            return "yes"

        return answer

    members = [
        make_member("limited", make_script("limited"), quota="one", concurrency=1),
        make_member("neighbour", make_script("neighbour"), quota="one", concurrency=1),
        make_member("stranger", make_script("stranger"), quota="two", concurrency=1),
    ]
    assert run_members(members, 5).status == "complete"
    assert [now for now in sent["neighbour"] if 0 < now < 100] == []
    assert sent["neighbour"][-1] >= 100
    assert sent["stranger"][-1] == 0


class PlainLoop(asyncio.SelectorEventLoop):
    """Its timers do not say when they are due, as uvloop's do not where they are due at once."""

    def call_at(self, when, callback, *args, context=None):
        timer = super().call_at(when, callback, *args, context=context)
        return type("Handle", (), {"cancel": lambda _: timer.cancel()})()


def test_timers_need_not_say_when_they_are_due():
    async def main():
        quota = Quota(4)
        quota.pause(0.05)
        places = await asyncio.gather(*(quota.acquire(member) for member in range(3)))
        return len(places)

    with asyncio.Runner(loop_factory=PlainLoop) as runner:
        assert runner.run(main()) == 3
