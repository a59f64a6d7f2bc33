"""The scripted world does what its scripts say, counts rightly, and is the same for the same seed."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from pool_core.errors import BackendError
from pool_core.interfaces.values import Cause
from pool_core.job import run_plan
from pool_core.plan.build import make_plan
from pool_core.plan.rows import MemoryRows
from pool_core.recipe.models import Limits, Member, PoolSpec, Recipe
from pool_core.testing.scripted import EchoTask, make_registry
from pool_core.testing.virtual_time import run_virtual
from pool_core.testing.world import Outage, World, WorldBackend


def ask(calls, *, gap=0.0, seed=0, seconds=None, **script):
    """Ask a server ``calls`` times, ``gap`` seconds apart; returns (time, answer or cause) by call, and the world."""

    async def main():
        world = World(seed)
        server = world.add_server("server", **{"spread": 0.0} | script)
        loop, ends = asyncio.get_running_loop(), {}

        async def call(number):
            await asyncio.sleep(number * gap)
            try:
                ends[number] = await server.answer(10)
            except BackendError as error:
                ends[number] = error
            ends[number] = loop.time(), ends[number]

        tasks = [asyncio.ensure_future(call(number)) for number in range(calls)]
        await asyncio.wait(tasks, timeout=seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return ends, server.count(), world

    return run_virtual(main())


def get_cause(end):
    return end[1].cause if isinstance(end[1], BackendError) else None


def test_what_is_beyond_the_capacity_is_refused_at_once():
    ends, counts, _ = ask(5, capacity=3, latency=2.0, refusal=0.5, retry_after=7.0)
    assert [get_cause(ends[number]) for number in range(5)] == [None] * 3 + [Cause.RATE_LIMIT] * 2
    assert [ends[number][0] for number in range(5)] == [2.0] * 3 + [0.5] * 2
    assert ends[4][1].retry_after == 7.0
    assert (counts.requests, counts.answered, counts.refused, counts.peak) == (5, 3, 2, 3)
    assert counts.refused_share == 0.4
    assert (counts.busy, counts.offered, counts.utilisation) == (6.0, 6.0, 1.0)


def test_a_queue_answers_in_the_order_of_arrival():
    ends, counts, _ = ask(7, capacity=2, latency=1.0, queue=4)
    assert [ends[number][0] for number in range(6)] == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    assert get_cause(ends[6]) is Cause.RATE_LIMIT
    assert counts.peak == 2


def test_a_capacity_steps_and_what_waits_begins_with_it():
    ends, counts, _ = ask(6, capacity=[(0, 1), (1.5, 5), (100, 1)], latency=2.0, queue=10)
    assert [ends[number][0] for number in range(6)] == [2.0, 3.5, 3.5, 3.5, 3.5, 4.0]
    assert counts.offered == 1.5 + 5 * 2.5


def test_a_call_that_is_given_up_leaves_its_turn_to_the_next():
    async def main():
        server = World().add_server("server", capacity=1, queue=5, spread=0.0)
        calls = [asyncio.ensure_future(server.answer()) for _ in range(4)]
        await asyncio.sleep(0.5)
        calls[0].cancel()  # at work
        calls[1].cancel()  # its turn comes in this moment
        calls[2].cancel()  # waiting
        await calls[3]
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 1.5


def test_rates_are_counted_over_a_sliding_minute():
    ends, counts, _ = ask(5, gap=10.0, rpm=3, refusal=0.0)
    assert [number for number in range(5) if get_cause(ends[number])] == [3, 4]
    assert ends[4][1].retry_after == pytest.approx(20.0)
    assert (counts.over_rate, counts.refused) == (2, 2)
    ends, counts, _ = ask(14, gap=10.0, tpm=1000, tokens=190)  # 200 each with the prompt
    assert [number for number in range(14) if get_cause(ends[number])] == [5, 11]


@pytest.mark.parametrize(
    ("kind", "causes"),
    [
        ("down", [None, Cause.TRANSPORT, Cause.TRANSPORT, None]),
        ("failing", [None, Cause.SERVER, Cause.SERVER, None]),
        ("limited", [None, Cause.RATE_LIMIT, Cause.RATE_LIMIT, None]),
    ],
)
def test_an_outage_ends_calls_in_its_way(kind, causes):
    ends, counts, _ = ask(4, gap=10.0, outages=[Outage(5, 25, kind)])
    assert [get_cause(ends[number]) for number in range(4)] == causes
    assert counts.answered == 2


def test_a_partition_loses_what_comes_and_what_goes():
    ends, counts, world = ask(3, gap=10.0, latency=6.0, seconds=100, outages=[Outage(5, 15, "silent")])
    assert set(ends) == {2}
    assert counts.failed == 2
    assert [(event.request, event.time) for event in world.trace if event.what == "lost"] == [(1, 6.0), (2, 10.0)]


def test_latency_has_its_median_and_its_parts():
    ends, _, _ = ask(2000, capacity=5000, latency=2.0, spread=0.8)
    times = sorted(end[0] for end in ends.values())
    assert times[1000] == pytest.approx(2.0, rel=0.05)
    assert times[1682] / times[1000] == pytest.approx(2.718**0.8, rel=0.1)
    ends, _, _ = ask(1, latency=1.0, tokens=300, per_token=0.01)
    assert ends[0][0] == pytest.approx(4.0)
    assert ends[0][1].usage.output_tokens == 300
    ends, _, _ = ask(10, latency=1.0, batching=10.0)
    assert max(end[0] for end in ends.values()) == pytest.approx(2.0)
    ends, _, _ = ask(2, gap=10.0, latency=1.0, drift=0.1)
    assert [ends[number][0] for number in range(2)] == pytest.approx([1.0, 12.0])
    ends, _, _ = ask(500, capacity=1000, latency=1.0, travel=0.2)
    assert sum(end[0] for end in ends.values()) / 500 == pytest.approx(1.4, rel=0.02)


def test_moods_refuse_their_share():
    _, counts, _ = ask(2000, capacity=5000, moods=0.1)
    assert counts.refused_share == pytest.approx(0.1, abs=0.02)


def test_counts_between_two_moments():
    async def main():
        server = World().add_server("server", capacity=4, spread=0.0)
        await server.answer()
        first = server.count()
        await asyncio.gather(server.answer(), server.answer())
        return server.count().since(first)

    counts = run_virtual(main())
    assert (counts.requests, counts.answered, counts.busy, counts.offered) == (2, 2, 2.0, 4.0)
    assert counts.utilisation == 0.5


SCRIPT = {
    "capacity": 3,
    "queue": 3,
    "spread": 1.0,
    "travel": 0.1,
    "moods": 0.05,
    "outages": [Outage(20, 30, "failing")],
}


def test_the_same_seed_gives_the_same_trace_and_another_one_does_not():
    traces = [ask(100, gap=0.5, seed=seed, **SCRIPT)[2].trace for seed in (1, 1, 2)]
    assert traces[0] == traces[1] != traces[2]
    assert {event.what for event in traces[0]} == {"arrived", "started", "answered", "refused", "failed"}
    assert all(earlier.time <= later.time for earlier, later in pairwise(traces[0]))


def test_a_world_that_is_not_traced_keeps_nothing():
    async def main():
        world = World(traced=False)
        await world.add_server("server").answer()
        return world.trace

    assert run_virtual(main()) == []


def run_engine(folder, seed):
    world = World(seed)
    # longer than the engine waits after refusals
    outage = Outage(2, 30, "failing")
    servers = [world.add_server("a", capacity=3, outages=[outage]), world.add_server("b", capacity=2, queue=50)]
    members = [
        Member(name=f"m{number}", backend=WorldBackend(server), task=EchoTask(), limits=Limits(concurrency=5))
        for number, server in enumerate([*servers, servers[1]])
    ]
    rows = MemoryRows([{"id": str(number), "text": f"row {number}"} for number in range(40)], "id")
    registry = make_registry()
    plan = make_plan(Recipe(pool=PoolSpec(members=members, policies=())), registry, rows=rows)
    running = []

    @asynccontextmanager
    async def watch(engine):
        running.append(engine)
        yield

    job = run_plan(plan, registry, folder, watch=watch)
    summary = run_virtual(job, threads=lambda: any(engine.waits_for_disk for engine in running))
    return summary, world, servers


def test_the_engine_runs_against_it(tmp_path):
    summary, world, servers = run_engine(tmp_path / "run", 3)
    assert summary.status == "complete"
    answered = Counter(event.server for event in world.trace if event.what == "answered")
    assert answered == {"a": 40, "b": 80}
    assert servers[0].name == "a"
    assert {event.what for event in world.trace} >= {"refused", "failed"}
    assert [backend.quota for backend in map(WorldBackend, servers)] == ["world:a", "world:b"]
