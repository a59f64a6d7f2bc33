"""The goals that this system sets itself, as figures measured side by side, and whether they are reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from speed.results import Key, Measurement, Summary, summarize
from speed.systems import FLOORS, PEERS, POOL

__all__ = ["Bar", "Figures", "judge_bars"]

_LARGE, _SMALL = "20,000 x 3, no latency", "2,000 x 3, no latency"


@dataclass(frozen=True, slots=True)
class Bar:
    """A goal."""

    text: str
    goal: str
    measured: str
    reached: bool


class Figures:
    """Medians by program, case, system and name; nothing where something was not measured."""

    def __init__(self, found: Mapping[Key, Measurement]) -> None:
        self.programs = {program: summarize(found, program) for program in dict.fromkeys(key.program for key in found)}

    def find(self, program: str, case: str, name: str, system: str = POOL.name) -> float | None:
        """A median."""
        one: Summary | None = self.programs.get(program, {}).get((case, system))
        return one.figures[name][0] if one and name in one.figures else None

    def find_best_peer(self, case: str, name: str, *, most: bool) -> tuple[str, float] | None:
        """The peer whose figure of `throughput` is best, and the figure."""
        there = [(peer.title, self.find("throughput", case, name, peer.name)) for peer in PEERS]
        known = [(title, value) for title, value in there if value is not None]
        return (max if most else min)(known, key=lambda one: one[1]) if known else None


def judge_bars(figures: Figures) -> list[Bar]:
    """All goals of which everything was measured."""
    found = [
        *_judge_cost(figures),
        *_judge_makespan(figures),
        *_judge_start(figures),
        *_judge_size(figures),
    ]
    return [bar for bar in found if bar is not None]


def _judge(
    text: str, value: float | None, limit: float, unit: str, *, least: bool = False, cpu: float | None = None
) -> Bar | None:
    """One goal; ``cpu`` stands beside what was measured: by the processor's time, which does not depend on the load."""
    if value is None:
        return None
    goal = f"{'at least' if least else 'at most'} {limit:,g}{unit}"
    measured = _write(value) + unit + ("" if cpu is None else f"; by CPU {_write(cpu)}{unit}")
    return Bar(text, goal, measured, value >= limit if least else value <= limit)


def _write(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"  # noqa: PLR2004


def _divide(one: float | None, other: float | None) -> float | None:
    return None if one is None or not other else one / other


def _judge_cost(figures: Figures) -> list[Bar | None]:
    bars = []
    for case in (_LARGE, _SMALL):
        mine = figures.find("throughput", case, "cpu_us")
        floor = figures.find("throughput", case, "cpu_us", FLOORS[0].name)
        if case == _LARGE:  # with fewer rows it is the start that is compared
            text = f"processor's time per call, against the program by hand on pyreqwest; {case}"
            bars.append(_judge(text, _divide(mine, floor), 2.5, "x"))
        if best := figures.find_best_peer(case, "cpu_us", most=False):
            text = f"processor's time per call, against the peer that takes least, {best[0]}; {case}"
            bars.append(_judge(text, _divide(mine, best[1]), 0.05, "x"))
        if best := figures.find_best_peer(case, "cells_s", most=True):
            text = f"cells per second, start to merged file, against the fastest peer, {best[0]}; {case}"
            rate = _divide(figures.find("throughput", case, "cells_s"), best[1])
            bars.append(_judge(text, rate, 10.0, "x", least=True))
    return bars


def _judge_makespan(figures: Figures) -> list[Bar | None]:
    def find(case: str, name: str) -> float | None:
        return figures.find("makespan", case, name)

    text = "share of the schedule without cost, first request to last reply; {}"
    bars = [
        _judge(text.format(case), find(case, "share"), 0.97, "", least=True)
        for case in ("3 x 64, 100 ms", "1 x 512, 200 ms")
    ]
    alone = [
        _divide(find("one slow", f"span_s m{n}"), find("one slow: the others alone", f"span_s m{n}")) for n in (0, 1)
    ]
    slowest = max((value for value in alone if value is not None), default=None)
    bars.append(_judge("beside a member ten times slower, the others take, of their time alone", slowest, 1.1, "x"))
    own = _divide(1.0, find("one slow", "share m2"))
    bars.append(_judge("that member takes, of its own schedule", own, 1.03, "x"))
    held = _divide(find("Retry-After", "span_s m0"), find("Retry-After", "held_s m0"))
    text = "a fifth of the rows have to come back: time, of a schedule in which they keep their slots meanwhile"
    bars.append(_judge(text, held, 1.0, "x"))
    return bars


def _judge_start(figures: Figures) -> list[Bar | None]:
    bare = figures.find("startup", "python -c pass", "cpu_ms")
    version = figures.find("startup", "pool --version", "cpu_ms")
    over = None if bare is None or version is None else version - bare
    return [
        _judge("`pool --version`, processor's time over Python's own", over, 120.0, " ms"),
        _judge("`pool check` of the example", figures.find("startup", "pool check", "cpu_ms"), 350.0, " ms"),
        _judge("start to first request", figures.find("startup", "pool run, first request", "start_ms"), 500.0, " ms"),
    ]


def _judge_size(figures: Figures) -> list[Bar | None]:
    def scale(rows: str, name: str) -> float | None:
        return figures.find("scale", rows, name)

    def export(case: str, name: str = "cells_s") -> float | None:
        return figures.find("export", case, name)

    flat = _divide(scale("1,000,000", "memory_mb"), scale("10,000", "memory_mb"))
    linear = _divide(scale("1,000,000", "cells_s"), scale("10,000", "cells_s"))
    parquet = _divide(export("parquet, long"), export("jsonl, long"))
    cost, other = export("jsonl, long", "cpu_us"), export("parquet, long", "cpu_us")
    return [
        _judge(f"peak memory; {_LARGE}", figures.find("throughput", _LARGE, "memory_mb"), 120.0, " MB"),
        _judge("peak memory of 1,000,000 rows x 3 against that of 10,000", flat, 1.1, "x"),
        _judge(
            "a finished run of 100,000 x 3 again",
            scale("100,000", "again_s"),
            3.0,
            " s",
            cpu=scale("100,000", "again_cpu_s"),
        ),
        _judge(
            "export of 100,000 x 3 to JSON Lines, long",
            export("jsonl, long"),
            150_000.0,
            " cells/s",
            least=True,
            cpu=_divide(1e6, cost),
        ),
        _judge(
            "the rate of Parquet against that of JSON Lines, long",
            parquet,
            1.0,
            "x",
            least=True,
            cpu=_divide(cost, other),
        ),
        _judge(
            "cells per second of 1,000,000 rows against 10,000",
            linear,
            0.9,
            "x",
            least=True,
            cpu=_divide(scale("10,000", "cpu_us"), scale("1,000,000", "cpu_us")),
        ),
    ]
