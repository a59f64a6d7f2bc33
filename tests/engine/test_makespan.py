"""How long a run takes in virtual time, against the shortest schedule: each slot takes the next cell at once."""

from __future__ import annotations

import asyncio
import heapq
from random import Random

import pytest

from pool_core.engine import lane as lane_module
from pool_core.engine import run as run_module
from pool_core.errors import BackendError
from pool_core.interfaces.values import Cause
from pool_core.testing.scripted import ScriptedBackend

ROWS, PLACES = 2000, 64


def now():
    return asyncio.get_running_loop().time()


def get_text(request):
    return request.prompt.messages[-1].content


def draw_latency(name, text, mean=0.1):
    return Random(f"{name}/{text}").lognormvariate(-0.125, 0.5) * mean


def compute_greedy(name, mean=0.1):
    """When the last of ``PLACES`` slots is done, of which each takes the next row once it is free."""
    slots = [0.0] * PLACES
    for number in range(ROWS):
        heapq.heapreplace(slots, slots[0] + draw_latency(name, f"row {number}", mean))
    return max(slots)


def make_server(name, ends, mean=0.1):
    async def answer(request):
        await asyncio.sleep(draw_latency(name, get_text(request), mean))
        ends[name] = now()
        return "yes"

    return ScriptedBackend(answer, model=name, quota=name)


def test_members_take_no_longer_than_the_shortest_schedule(make_member, run_members):
    ends = {}
    members = [make_member(name, make_server(name, ends), concurrency=PLACES) for name in "abc"]
    run_members(members, ROWS)
    assert {name: compute_greedy(name) / ends[name] >= 0.999 for name in ends} == dict.fromkeys("abc", True)


def test_no_virtual_time_passes_while_lanes_wait_for_the_disk(make_member, run_members, monkeypatch):
    monkeypatch.setattr(lane_module, "MOST_UNWRITTEN", 100)
    monkeypatch.setattr(run_module, "MOST_UNWRITTEN", 100)
    ends = {}
    run_members([make_member("a", make_server("a", ends), concurrency=PLACES)], ROWS)
    assert ends["a"] == pytest.approx(compute_greedy("a"), rel=0.001)


def test_a_member_that_is_ten_times_slower_holds_up_nobody(make_member, run_members):
    ends = {}
    members = [
        make_member(name, make_server(name, ends, mean), concurrency=PLACES)
        for name, mean in (("a", 0.1), ("b", 0.1), ("slow", 1.0))
    ]
    run_members(members, ROWS)
    assert ends["a"] == pytest.approx(compute_greedy("a"), rel=0.001)
    assert ends["b"] == pytest.approx(compute_greedy("b"), rel=0.001)
    assert ends["slow"] == pytest.approx(compute_greedy("slow", 1.0), rel=0.001)


def test_cells_that_wait_long_hold_no_place_of_an_adaptive_limit(make_member, run_members):
    """How many may wait grows with the limit."""
    asked = {}

    async def answer(request):
        text = get_text(request)
        again = text in asked
        asked.setdefault(text, now())
        await asyncio.sleep(1.0)
        if int(text.split()[1]) % 5 == 4 and not again:
            return BackendError(Cause.SERVER, "later", retry_after=200.0)
        return "yes"

    run_members([make_member("a", answer, concurrency="auto")], ROWS)
    assert len(asked) == ROWS
    assert max(asked.values()) < 200
