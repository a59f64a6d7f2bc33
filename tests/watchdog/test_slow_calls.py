"""Which slow calls a person is told of: those that hold up a run, and not one that met a busy moment of the machine."""

from __future__ import annotations

import pytest

from pool_core.watchdog import Watchdog
from pool_core.watchdog import watchdog as watchdog_module


@pytest.mark.parametrize(
    ("seconds", "told"),
    [((0.2, 0.2), None), ((1.9,), None), ((2.0,), "1 times, 2.0 s"), ((0.3, 0.1, 0.4), "2 times, 0.4 s")],
)
def test_one_call_is_told_of_where_it_was_long_and_several_always(monkeypatch, seconds, told):
    now = 0.0

    def take(spent):
        nonlocal now
        now += spent

    monkeypatch.setattr(watchdog_module, "SLOW_SECONDS", 0.25)
    monkeypatch.setattr(watchdog_module, "monotonic", lambda: now)
    with Watchdog() as watchdog:
        for spent in seconds:
            now = 0.0
            watchdog.run(lambda: take(spent), "the task x", seconds=1000)  # noqa: B023
    end = "s at most: what takes long belongs into a process of its own (`heavy`)"
    expected = [] if told is None else [f"the task x held up all members {told.removesuffix(' s')} {end}"]
    assert watchdog.describe_slow() == expected
