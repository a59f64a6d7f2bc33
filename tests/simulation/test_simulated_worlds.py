"""The engine in seeded worlds: all invariants hold, every kind of fault was there, and a seed tells all."""

from __future__ import annotations

from collections import Counter

import pytest
from invariants import judge
from seeds import KEPT
from simulate import simulate
from worlds import FAULTS, make_world

SEEDS = range(1000, 1200)


@pytest.fixture(scope="module")
def lives(watchdog):
    """By seed what is wrong, and how often each fault was there in all of them."""
    fired, problems = Counter(), {}
    for seed in SEEDS:
        history = simulate(make_world(seed), watchdog)
        fired += history.fired
        if found := judge(history):
            problems[seed] = found
    return problems, fired


def test_every_invariant_holds(lives):
    problems, _ = lives
    assert problems == {}, f"keep these in seeds.py: {sorted(problems)}"


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_was_there(fault, lives):
    _, fired = lives
    assert fired[fault] > 0


def test_no_other_fault_was_there(lives):
    _, fired = lives
    assert fired.keys() == set(FAULTS)


@pytest.mark.parametrize("seed", KEPT, ids=str)
def test_what_once_went_wrong(seed, watchdog):
    assert judge(simulate(make_world(seed), watchdog)) == []


@pytest.mark.parametrize("seed", [*KEPT, *range(20)], ids=str)
def test_the_same_seed_gives_the_same_trace(seed, watchdog):
    first, second = (simulate(make_world(seed), watchdog).make_trace() for _ in range(2))
    assert first == second
