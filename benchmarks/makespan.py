"""How much of the best possible time is used: first request to last reply, against a schedule without cost.

Four loads: 3 members with 64 calls in flight each at 100 ms; one member with 512 at 200 ms; three of which one is ten
times slower, against the two others alone; and one whose server asks a fifth of the rows to come back in a second,
against a schedule in which such a row does not keep its slot::

    nice python benchmarks/makespan.py [--repetitions 3] [--quick]
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from speed.bench import Bench, NoFiguresError, make_parser, open_bench
from speed.play import Seen, Server, run_server
from speed.process import measure
from speed.results import Key
from speed.schedule import Load, ModelLoad, schedule
from speed.systems import FLOORS, POOL, System
from speed.workload import environment, judge, write_job

PROGRAM = "makespan"


@dataclass(frozen=True, slots=True)
class Case:
    """A load."""

    name: str
    rows: int
    inflight: int
    load: Load
    #: A program by hand retries nothing, so there are loads that it cannot do.
    floors: bool = True


def make_cases(*, quick: bool) -> list[Case]:
    """The loads."""
    few = 20 if quick else 1
    even, slow = ModelLoad(0.1), ModelLoad(1.0)
    three = {"m0": even, "m1": even, "m2": even}
    return [
        Case("3 x 64, 100 ms", 2_000 // few, 64, Load(three)),
        Case("1 x 512, 200 ms", 10_000 // few, 512, Load({"m0": ModelLoad(0.2)})),
        Case("one slow: the others alone", 1_000 // few, 64, Load({"m0": even, "m1": even})),
        Case("one slow", 1_000 // few, 64, Load(three | {"m2": slow})),
        Case("Retry-After", 600 // few, 64, Load({"m0": ModelLoad(0.1, limited=0.2)}), floors=False),
    ]


def main() -> None:
    """Measure what is asked for."""
    run(open_bench(make_parser(__doc__).parse_args()))


def run(bench: Bench) -> None:
    """Measure every load that is not known yet."""
    with run_server() as server:
        for repetition in range(bench.repetitions):
            for case in make_cases(quick=bench.quick):
                systems = [POOL, *(FLOORS if case.floors else [])]
                random.Random(repetition).shuffle(systems)
                for system in systems:
                    key = Key(PROGRAM, case.name, system.name, repetition)
                    if bench.is_known(key) or (there := bench.find_python(system)) is None:
                        continue
                    python, version = there
                    folder = bench.scratch / PROGRAM / system.name
                    bench.measure(key, version, lambda: take(system, python, case, server, folder))  # noqa: B023


def take(system: System, python: Path, case: Case, server: Server, folder: Path) -> dict[str, float]:
    """One run under one load.

    Raises:
        NoFiguresError: not every cell is there.
    """
    server.play(case.load)
    models = tuple(case.load.models)
    write_job(folder, server.url, case.rows, case.inflight, models)
    done = measure(system.make_command(python), folder, system.limit, environment(folder))
    found = judge(folder / "output.jsonl")
    if done.code or found.cells != case.rows * len(models):
        raise NoFiguresError(f"exit code {done.code}, {found.cells} cells: {done.output.strip()[-200:]}")
    return compute(case, server.read()) | {"cpu_us": done.cpu / found.cells * 1e6}


def compute(case: Case, seen: Mapping[str, Seen]) -> dict[str, float]:
    """The shares of the schedule: of each model, and of all."""
    figures = {}
    ideals = {model: schedule(case.load, model, range(case.rows), case.inflight) for model in case.load.models}
    for model, ideal in ideals.items():
        figures |= {f"span_s {model}": seen[model].span, f"share {model}": ideal / seen[model].span}
        if case.load.models[model].limited:
            held = schedule(case.load, model, range(case.rows), case.inflight, hold=True)
            figures |= {f"held_s {model}": held, f"limited {model}": float(seen[model].limited)}
    first, last = min(one.first for one in seen.values()), max(one.last for one in seen.values())
    inflight = max(one.most_inflight for one in seen.values())
    return figures | {"share": max(ideals.values()) / (last - first), "most_inflight": float(inflight)}


if __name__ == "__main__":
    main()
