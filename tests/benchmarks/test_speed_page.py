"""The page about speed: what the goals say of figures, and that the page is the one of the committed figures."""

from __future__ import annotations

from pathlib import Path

import pytest
from speed.bars import Figures, judge_bars
from speed.page import PLOTS, write_page
from speed.results import FOLDER, Key, Measurement, read
from speed.systems import SYSTEMS

DOCS = Path(__file__).parents[2] / "docs" / "benchmarks"
MACHINE = {"version": "v 1", "day": "2026-01-31", "load": 0.5, "cores": 2, "memory": 2**34, "python": "3.11.7"}
LARGE = "20,000 x 3, no latency"


def make(*lines):
    """Measurements of (program, case, system, figures)."""
    found = {}
    for number, (program, case, system, figures) in enumerate(lines):
        key = Key(program, case, system, number)
        found[key] = Measurement(key, figures, "" if figures else "exit code 1", **MACHINE)
    return found


def judge(*lines):
    return {bar.text: bar for bar in judge_bars(Figures(make(*lines)))}


@pytest.mark.parametrize(("mine", "reached"), [(125.0, True), (125.1, False)])
def test_cost_is_compared_with_the_program_by_hand(mine, reached):
    floor = ("throughput", LARGE, "floor_pyreqwest", {"cpu_us": 50.0})
    (bar,) = judge(floor, ("throughput", LARGE, "pool", {"cpu_us": mine})).values()
    assert (bar.goal, bar.reached) == ("at most 2.5x", reached)


def test_the_best_peer_is_the_one_to_beat_for_each_figure():
    bars = judge(
        ("throughput", LARGE, "pool", {"cpu_us": 100.0, "cells_s": 6_000.0}),
        ("throughput", LARGE, "openai_sdk", {"cpu_us": 1.0, "cells_s": 1e9}),  # by hand: no peer
        ("throughput", LARGE, "curator", {"cpu_us": 3_000.0, "cells_s": 500.0}),
        ("throughput", LARGE, "langchain", {"cpu_us": 2_000.0, "cells_s": 400.0}),
        ("throughput", LARGE, "litellm_router", {}),  # it did not do the job
    )
    cost = bars[f"processor's time per call, against the peer that takes least, LangChain; {LARGE}"]
    assert (cost.measured, cost.reached) == ("0.05x", True)
    rate = bars[f"cells per second, start to merged file, against the fastest peer, Bespoke Curator; {LARGE}"]
    assert (rate.measured, rate.goal, rate.reached) == ("12x", "at least 10x", True)


def test_makespan_is_judged_by_its_worst_part():
    bars = judge(
        ("makespan", "3 x 64, 100 ms", "pool", {"share": 0.9699}),
        ("makespan", "one slow: the others alone", "pool", {"span_s m0": 2.0, "span_s m1": 2.0}),
        ("makespan", "one slow", "pool", {"span_s m0": 2.0, "span_s m1": 2.5, "share m2": 0.98}),
        ("makespan", "Retry-After", "pool", {"span_s m0": 8.0, "held_s m0": 4.0}),
    )
    assert {text.split(";")[0].split(":")[0]: (bar.measured, bar.reached) for text, bar in bars.items()} == {
        "share of the schedule without cost, first request to last reply": ("0.9699", False),
        "beside a member ten times slower, the others take, of their time alone": ("1.25x", False),
        "that member takes, of its own schedule": ("1.02x", True),
        "a fifth of the rows have to come back": ("2x", False),
    }


def test_start_scale_and_export_are_judged():
    bars = judge(
        ("startup", "python -c pass", "pool", {"cpu_ms": 10.0}),
        ("startup", "pool --version", "pool", {"cpu_ms": 131.0}),
        ("startup", "pool check", "pool", {"cpu_ms": 349.0}),
        ("startup", "pool run, first request", "pool", {"start_ms": 501.0}),
        ("scale", "10,000", "pool", {"memory_mb": 60.0, "cells_s": 10_000.0}),
        ("scale", "100,000", "pool", {"again_s": 2.5, "again_cpu_s": 1.5}),
        ("scale", "1,000,000", "pool", {"memory_mb": 90.0, "cells_s": 9_100.0}),
        ("export", "jsonl, long", "pool", {"cells_s": 160_000.0, "cpu_us": 5.0}),
        ("export", "parquet, long", "pool", {"cells_s": 150_000.0, "cpu_us": 4.0}),
    )
    assert [(bar.measured, bar.reached) for bar in bars.values()] == [
        ("121 ms", False), ("349 ms", True), ("501 ms", False), ("1.5x", False), ("2.5 s; by CPU 1.5 s", True),
        ("160,000 cells/s; by CPU 200,000 cells/s", True), ("0.9375x; by CPU 1.25x", False), ("0.91x", True),
    ]  # fmt: skip


def test_goals_of_which_something_was_not_measured_are_left_out():
    assert judge(("throughput", LARGE, "pool", {"cpu_us": 100.0}), ("startup", "pool --version", "pool", {})) == {}


def test_the_page_says_what_did_not_work_and_under_which_load():
    found = make(
        ("throughput", LARGE, "pool", {"cpu_us": 100.0}),
        ("throughput", LARGE, "pool", {"cpu_us": 120.0}),
        ("throughput", LARGE, "curator", {}),
    )
    page = write_page(found)
    assert "| pool-core | 110 (100 to 120) |" in page
    assert "| Bespoke Curator | none: exit code 1 |" in page
    assert "| LangChain | not measured |" in page
    assert "Measured on 2026-01-31 with Python 3.11.7 on 2 cores and 16 GiB." in page
    assert "the load was 0.5 to 0.5." in page


def test_the_committed_page_is_that_of_the_committed_figures():
    found = read(FOLDER / "speed.jsonl")
    assert (DOCS / "speed.md").read_text(encoding="utf-8") == write_page(found), "run benchmarks/speed_all.py --page"
    assert {key.system for key in found} == {system.name for system in SYSTEMS}
    for plot in PLOTS:
        assert "<svg" in (DOCS / plot).read_text(encoding="utf-8")
