"""The schedule of a client that costs nothing, and the latencies that it is made of."""

from __future__ import annotations

from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from speed.schedule import Load, ModelLoad, schedule


def test_calls_of_one_length_fill_their_slots_in_rounds():
    load = Load({"m": ModelLoad(2.0, sigma=0.0)})
    assert schedule(load, "m", range(10), 4) == pytest.approx(6.0)
    assert schedule(load, "m", range(8), 4) == pytest.approx(4.0)
    assert schedule(load, "m", range(3), 4) == pytest.approx(2.0)
    assert schedule(load, "m", [], 4) == 0.0


def test_a_model_without_a_load_takes_no_time():
    assert schedule(Load({}), "m", range(100), 2) == 0.0


def test_latencies_have_their_mean_and_depend_on_model_row_and_seed_alone():
    load = Load({"a": ModelLoad(0.1), "b": ModelLoad(0.1)})
    drawn = [load.draw("a", row, 0)[0] for row in range(20_000)]
    assert fmean(drawn) == pytest.approx(0.1, rel=0.02)
    assert drawn == [Load({"a": ModelLoad(0.1)}).draw("a", row, 3)[0] for row in range(20_000)]
    assert drawn != [load.draw("b", row, 0)[0] for row in range(20_000)]
    assert drawn != [Load({"a": ModelLoad(0.1)}, seed=2).draw("a", row, 0)[0] for row in range(20_000)]
    assert max(drawn) > 0.3  # a tail


def test_the_share_of_rows_that_have_to_come_back_does_so_once():
    load = Load({"m": ModelLoad(0.1, limited=0.2)})
    limited = [row for row in range(10_000) if load.draw("m", row, 0)[1]]
    assert len(limited) == pytest.approx(2_000, rel=0.1)
    assert not any(load.draw("m", row, 1)[1] for row in limited)


def test_a_row_that_waits_gives_its_slot_to_others():
    # all have to come back after 1 s: with one slot each, they wait one after another or all at once
    load = Load({"m": ModelLoad(0.5, sigma=0.0, limited=1.0, retry_after=1.0)})
    assert schedule(load, "m", range(4), 1, hold=True) == pytest.approx(6.0)
    assert schedule(load, "m", range(4), 1) == pytest.approx(3.0)  # 1 s until the first may, then 4 x 0.5 s
    assert schedule(load, "m", range(4), 4) == schedule(load, "m", range(4), 4, hold=True) == pytest.approx(1.5)


@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 5), st.sampled_from([0.0, 0.3]))
def test_a_schedule_is_no_shorter_than_its_work_and_no_longer_than_a_greedy_one_can_be(rows, slots, seed, limited):
    load = Load({"m": ModelLoad(1.0, limited=limited, retry_after=0.5)}, seed)
    times = [load.draw("m", row, 1)[0] for row in range(rows)]
    held = [time + 0.5 * load.draw("m", row, 0)[1] for row, time in enumerate(times)]
    least = max(sum(times) / slots, *held)
    most = sum(held) / slots + max(held)
    assert least - 1e-9 <= schedule(load, "m", range(rows), slots)
    assert least - 1e-9 <= schedule(load, "m", range(rows), slots, hold=True) <= most + 1e-9
    assert schedule(load, "m", range(rows), slots) <= sum(times) / slots + max(times) + 0.5 + 1e-9
