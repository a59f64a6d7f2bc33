"""What must not change when a world is changed: rows are strangers to each other, and so are members."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from invariants import judge
from simulate import simulate
from worlds import MemberSpec, ServerSpec, Start, Stop, World, make_world

QUIET = ServerSpec("quiet", {"latency": 1.0, "spread": 0.5, "capacity": 1000, "tokens": 50.0})
#: What goes wrong with a row whatever goes on beside it. None of it stops a member.
CALL_FAULTS = dict.fromkeys(("server", "overloaded", "overloaded-wait", "rate", "rate-wait", "plugin", "cut"), 0.04)
ROW_FAULTS = {"bad-request": 0.1, "too-long": 0.05, "unsendable": 0.05, "unrenderable": 0.05}
ANSWER_FAULTS = {"empty": 0.1, "unreadable": 0.1, "wrong-schema": 0.05, "refusal": 0.05, "truncated": 0.05}
ROWS = 60


def make_members(seed):
    faulty = {"call_faults": CALL_FAULTS, "row_faults": ROW_FAULTS, "answer_faults": ANSWER_FAULTS}
    limits = {"concurrency": random.Random(seed).choice((1, 5, 40)), "timeout": 300.0}
    return (
        MemberSpec("a", 0, limits=limits, **faulty, reask={"times": 2, "show_error": bool(seed % 2)}),
        MemberSpec("b", 0, limits=limits, **faulty),
    )


def make_rows_world(seed, rows, *starts):
    start = Start(make_members(seed), tuple(rows), 4)
    texts = tuple(f"row {number}" for number in range(ROWS))
    return World(seed, (QUIET,), texts, (start, *starts), fingerprints=bool(seed % 3))


def get_outcomes(history, rows):
    """By cell what became of it, for the rows named."""
    return {
        place: (cell.status, cell.cause, cell.answered_by, cell.outputs, cell.attempts)
        for place, cell in history.starts[-1].cells.items()
        if int(place[0]) in rows
    }


@pytest.mark.parametrize("seed", range(12))
def test_rows_that_are_dropped_or_change_places_change_no_other_row(seed, watchdog):
    """Many rows are poisoned: with each that is dropped, what it might do to others would be seen."""
    order = random.Random(seed)
    whole = simulate(make_rows_world(seed, range(ROWS)), watchdog)
    mixed = simulate(make_rows_world(seed, order.sample(range(ROWS), ROWS)), watchdog)
    kept = sorted(order.sample(range(ROWS), ROWS // 2))
    fewer = simulate(make_rows_world(seed, kept), watchdog)
    assert [judge(history) for history in (whole, mixed, fewer)] == [[], [], []]
    assert get_outcomes(mixed, range(ROWS)) == get_outcomes(whole, range(ROWS))
    assert get_outcomes(fewer, kept) == get_outcomes(whole, kept)
    assert len({outcome[:2] for outcome in get_outcomes(whole, range(ROWS)).values()}) > 5


@pytest.mark.parametrize("seed", range(12))
def test_a_finished_run_that_is_started_again_asks_what_has_no_answer_and_nothing_else(seed, watchdog):
    world = make_rows_world(seed, range(ROWS))
    history = simulate(replace(world, starts=world.starts * 2), watchdog)
    assert judge(history) == []
    first, _ = history.starts
    open_cells = {(world.texts[int(row)], sample) for (row, _, sample), cell in first.cells.items() if not cell.answer}
    again = {(call.text, call.sample) for call in history.calls if call.start == 1}
    assert again <= open_cells


def test_a_finished_run_without_failures_asks_nothing(watchdog):
    member = MemberSpec("a", 0, limits={"timeout": 300.0}, call_faults={"server": 0.2}, answer_faults=ANSWER_FAULTS)
    start = Start((member,), tuple(range(ROWS)), 1)
    texts = tuple(f"row {number}" for number in range(ROWS))
    for fingerprints in (True, False):
        history = simulate(World(1, (QUIET,), texts, (start,) * 3, fingerprints), watchdog)
        assert judge(history) == []
        assert {call.start for call in history.calls} == {0}
        first, second, third = ([replace(c, attempts=0) for c in start.cells.values()] for start in history.starts)
        assert first == second == third


@pytest.mark.parametrize("seed", range(8))
def test_stops_change_nothing_but_the_time(seed, watchdog):
    """A run that is stopped again and again ends like one that is not, for what failed in passing is asked anew."""
    plain = make_rows_world(seed, range(ROWS))
    members = tuple(replace(member, call_faults={}) for member in plain.starts[0].members)
    start = replace(plain.starts[0], members=members)
    stopped = [replace(start, stop=Stop(at=at, again=again)) for at, again in ((1.5, None), (2.0, 0.3), (2.5, 0.0))]
    whole = simulate(replace(plain, starts=(start,)), watchdog)
    parts = simulate(replace(plain, starts=(*stopped, start)), watchdog)
    assert [judge(whole), judge(parts)] == [[], []]
    assert {place: (c.status, c.cause, c.outputs) for place, c in parts.starts[-1].cells.items()} == {
        place: (c.status, c.cause, c.outputs) for place, c in whole.starts[-1].cells.items()
    }
    assert sum(start.stopped > 0 for start in parts.starts) == 3


SLOW_SERVERS = {
    "slow": {"latency": 10.0},
    "slow and small": {"latency": 10.0, "capacity": 1, "queue": 1000},
    "refusing": {"latency": 10.0, "capacity": 1, "retry_after": 20.0},
    "down": {"latency": 10.0, "outages": [(5.0, 1e9, "down")]},
    "silent": {"latency": 10.0, "outages": [(5.0, 1e9, "silent")]},
}


@pytest.mark.parametrize("kind", SLOW_SERVERS)
def test_a_slow_member_does_not_lower_the_throughput_of_the_others(kind, watchdog):
    servers = (QUIET, replace(QUIET, name="other"), ServerSpec("slow", QUIET.script | SLOW_SERVERS[kind]))
    limits = {"concurrency": 8, "timeout": 300.0}
    fast = [MemberSpec("a", 0, limits=limits), MemberSpec("b", 1, limits=limits)]
    slow = MemberSpec("c", 2, limits=limits | {"max_stall": 120.0})

    def find_ends(members):
        start = Start(tuple(members), tuple(range(300)), len(members))
        texts = tuple(f"row {number}" for number in range(300))
        history = simulate(World(3, servers, texts, (start,)), watchdog)
        assert judge(history) == []
        return {name: max(c.ended_at for c in history.calls if c.member == name) for name in "ab"}

    alone, beside = find_ends(fast), find_ends([*fast, slow])
    assert all(beside[name] <= 1.02 * alone[name] for name in "ab")


@pytest.mark.parametrize("seed", [seed for seed in range(40) if not any(
    "unrenderable" in member.row_faults for start in make_world(seed).starts for member in start.members
)][:16])  # fmt: skip
def test_a_whole_job_lives_as_its_engine_does(seed, watchdog):
    """What is made once for all worlds is no fake: planned and reported in full, a world has the same trace."""
    world = replace(make_world(seed), fingerprints=False)
    whole = simulate(world, None)
    assert judge(whole) == []
    assert whole.make_trace() == simulate(world, watchdog).make_trace()
    for start in whole.starts:
        pending = any(each["total"] > each["done"] for each in start.progress.values())
        failed = any(each["failed"] for each in start.progress.values())
        ends = {"limited": start.limit, "interrupted": start.stopped, "partial": pending or failed}
        expected = "complete"
        if pending and (start.limit or start.stopped):
            expected = "limited" if start.limit else "interrupted"
        elif ends["partial"]:
            expected = "partial"
        assert start.status == expected
