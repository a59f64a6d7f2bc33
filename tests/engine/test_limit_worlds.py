"""The adaptive limit against servers of a scripted world: what it finds, how well it uses it, how it follows."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from math import exp
from random import Random
from statistics import mean

import pytest

from pool_core.engine.adapt.limit import AdaptiveLimit
from pool_core.engine.quota import Quota
from pool_core.engine.rate import Rate
from pool_core.testing.load import Load
from pool_core.testing.virtual_time import run_virtual
from pool_core.testing.world import Outage, World

ENDLESS = 100_000  # a queue that never refuses


def run_load(seconds, *, seed=0, members=1, timeout=600.0, limit=None, rate=None, **script):
    """Load on one server of a world for ``seconds``; the limit is adaptive unless it is given."""

    async def main():
        server = World(seed, traced=False).add_server("server", **script)
        quota = Quota(limit or AdaptiveLimit(1024), rate)
        load = Load(quota, server, members=members, timeout=timeout, seed=seed)
        await load.run(seconds)
        return load

    return run_virtual(main())


def count_between(load, start, end=None):
    first = next(moment for moment in load.curve if moment.time >= start)
    last = load.curve[-1] if end is None else next(moment for moment in load.curve if moment.time >= end)
    return last.counts.since(first.counts)


def collect_limits(load, start, end=None):
    return [moment.limit for moment in load.curve if start <= moment.time and (end is None or moment.time <= end)]


def is_near(limit, capacity):
    return 0.9 * capacity - 1 <= limit <= 1.1 * capacity + 1


def draw_server(seed, most_per_second):
    """A capacity, a latency and its spread, evenly over their orders of magnitude."""
    random = Random(seed)
    while True:
        capacity, latency = round(500 ** random.random()), 0.05 * 400 ** random.random()
        if capacity / latency <= most_per_second:
            return {"capacity": capacity, "latency": latency, "spread": random.uniform(0.1, 1.0)}


@pytest.mark.parametrize("seed", range(30))
def test_a_server_that_refuses_is_found_and_used(seed):
    server = draw_server(seed, most_per_second=150)
    capacity, latency = server["capacity"], server["latency"]
    found = max(30.0, 10 * latency)  # the rise takes ten times of a call where these are long
    load = run_load(found + max(60.0, 20 * latency, 200 * latency / capacity), seed=seed, **server)
    limits = collect_limits(load, found)
    assert sum(is_near(limit, capacity) for limit in limits) >= 0.95 * len(limits)
    counts = count_between(load, found)
    assert counts.utilisation > 0.9
    assert counts.refused_share < 0.02


@pytest.mark.parametrize(("capacity", "latency"), [(4, 0.5), (32, 1.0), (100, 2.0), (500, 1.0)])
def test_a_capacity_is_found_in_half_a_minute(capacity, latency):
    load = run_load(30, capacity=capacity, latency=latency)
    first = next(moment.time for moment in load.curve if is_near(moment.limit, capacity))
    assert first < 30
    assert all(is_near(limit, capacity) for limit in collect_limits(load, first + 1))


@pytest.mark.parametrize("seed", range(15))
def test_a_server_that_queues_is_used_and_not_flooded(seed):
    server = draw_server(seed, most_per_second=60)
    capacity, latency, spread = server["capacity"], server["latency"], server["spread"]
    # latency follows the length of the answers, as a model's does
    server |= {"latency": 0.1 * latency, "spread": 0.1, "tokens": 200, "token_spread": spread}
    server["per_token"] = 0.9 * latency / 200
    found = max(30.0, 12 * latency)
    load = run_load(found + max(60.0, 20 * latency, 400 * latency / capacity), seed=seed, queue=ENDLESS, **server)
    counts = count_between(load, found)
    assert counts.utilisation > 0.85
    assert counts.refused == 0
    assert mean(collect_limits(load, found)) <= 2 * capacity + 3


@pytest.mark.parametrize("capacity", [8, 64])
def test_a_server_that_queues_and_does_not_tell_tokens_is_used(capacity):
    load = run_load(150, capacity=capacity, queue=ENDLESS, spread=0.4)
    assert count_between(load, 30).utilisation > 0.85
    assert mean(collect_limits(load, 30)) <= 2 * capacity


@pytest.mark.parametrize(("queue", "low", "high"), [(0, 0.9, 1.1), (ENDLESS, 0.8, 1.8)])
@pytest.mark.parametrize("seed", range(3))
def test_it_follows_a_capacity_that_steps(queue, low, high, seed):
    steps = [(0.0, 8), (60.0, 64), (120.0, 4)]
    load = run_load(180, seed=seed, capacity=steps, queue=queue, spread=0.3)
    for (start, capacity), (end, _) in pairwise([*steps, (180.0, 0)]):
        limits = collect_limits(load, start, end)
        near = [low * capacity - 1 <= limit <= high * capacity + 1 for limit in limits]
        assert sum(near[-20:]) >= (12 if queue else 20), (capacity, limits)  # at one that queues there are dips


@pytest.mark.parametrize("kind", ["down", "failing", "limited", "silent"])
@pytest.mark.parametrize("queue", [0, ENDLESS])
def test_it_recovers_from_an_outage_within_a_minute(kind, queue):
    outage = Outage(60, 120, kind)
    load = run_load(200, capacity=32, queue=queue, outages=[outage], timeout=30)
    before, after = count_between(load, 30, 60), count_between(load, 170, 200)
    assert after.answered > 0.9 * before.answered
    asked = count_between(load, 65, 119).requests
    assert asked < before.requests * (5 if kind in {"down", "failing"} else 1)


@pytest.mark.parametrize("seed", range(6))
def test_it_comes_back_to_what_the_server_bore_before_it_refused_everything(seed):
    load = run_load(180, seed=seed, capacity=32, outages=[Outage(60, 120, "limited")])
    assert min(collect_limits(load, 115, 119)) == 1
    assert is_near(load.curve[-1].limit, 32)


def test_members_of_one_server_get_equal_parts():
    load = run_load(60, capacity=20, members=3)
    assert min(load.answered.values()) > 0.95 * max(load.answered.values())


def test_a_server_that_becomes_slower_and_slower_is_not_taken_for_a_full_one():
    load = run_load(400, capacity=32, queue=ENDLESS, spread=0.3, drift=0.005)  # three times as slow in the end
    assert count_between(load, 30).utilisation > 0.85


def test_calls_that_share_a_server_well_are_let_in():
    load = run_load(200, capacity=ENDLESS, spread=0.3, batching=16)
    answers = count_between(load, 60).answered / 140
    assert answers > 0.6 * 16 / exp(0.3**2 / 2)  # of what no number of calls could reach


@pytest.mark.parametrize(("moods", "least"), [(0.005, 0.85), (0.02, 0.4)])
def test_a_server_that_refuses_for_no_reason_is_used_all_the_same(moods, least):
    assert count_between(run_load(200, capacity=32, spread=0.3, moods=moods), 60).utilisation > least


def test_a_hidden_rate_is_used():
    load = run_load(300, capacity=64, spread=0.3, rpm=300)
    assert count_between(load, 60).answered > 0.7 * 300 * 4


def test_a_rate_that_is_known_is_never_passed():
    load = run_load(300, capacity=64, spread=0.3, rpm=300, tpm=100_000, travel=0.2, rate=Rate(300, 100_000))
    counts = count_between(load, 0)
    assert counts.over_rate == 0
    assert counts.answered > 0.9 * 300 * 5


def test_a_fixed_limit_stays():
    load = run_load(60, capacity=10, limit=6)
    assert set(collect_limits(load, 0)) == {6}
    assert count_between(load, 0).peak == 6


def test_the_limit_is_never_passed_and_no_place_is_lost_while_it_moves():
    async def main():
        random = Random(7)
        server = World(1).add_server("server", capacity=[(0, 30), (20, 3), (40, 50)], spread=1.0)
        quota = Quota(AdaptiveLimit(100))
        original = quota._take

        def take(*args):
            assert quota.in_flight < quota.limit
            return original(*args)

        quota._take = take
        load = Load(quota, server, members=2)
        running = asyncio.ensure_future(load.run(60))
        for _ in range(300):
            await asyncio.sleep(0.2)
            if load._tasks and random.random() < 0.3:
                victim = random.randrange(len(load._tasks))
                load._tasks[victim].cancel()
                load._tasks[victim] = asyncio.ensure_future(load._work(victim % 2))
        await running
        assert quota.in_flight == 0

    run_virtual(main())
