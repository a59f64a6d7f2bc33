"""What a call costs: this system, a program by hand, and peers, on the same rows, models and server.

Each does 2,000 rows x 3 models with 64 calls in flight per model, without latency and with 100 ms; this system, the
programs by hand and the fastest peer do 20,000 rows too. A system is a process of its own, from its start to its end
with the merged file on disk; the repetitions are interleaved::

    nice python benchmarks/throughput.py [--systems pool,curator] [--large pool,curator] [--repetitions 3] [--quick]
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass
from pathlib import Path

from speed.bench import Bench, NoFiguresError, make_parser, open_bench
from speed.play import Server, run_server
from speed.process import measure
from speed.results import Key
from speed.schedule import Load, ModelLoad, schedule
from speed.systems import FLOORS, PEERS, POOL, SYSTEMS, System
from speed.workload import MODELS, environment, judge, write_job

PROGRAM = "throughput"
INFLIGHT = 64
#: Rows of the first run of a system, which is not measured.
WARM = 20


@dataclass(frozen=True, slots=True)
class Case:
    """A job."""

    rows: int
    #: Mean time of a call in seconds.
    latency: float

    @property
    def name(self) -> str:
        return f"{self.rows:,} x {len(MODELS)}, {'no latency' if not self.latency else f'{self.latency * 1000:g} ms'}"

    def make_load(self) -> Load:
        return Load({model: ModelLoad(self.latency) for model in MODELS})


SMALL = (Case(2_000, 0.0), Case(2_000, 0.1))
LARGE = Case(20_000, 0.0)
QUICK = (Case(200, 0.0), Case(200, 0.02))


def main() -> None:
    """Measure what is asked for."""
    parser = make_parser(__doc__)
    add_options(parser)
    options = parser.parse_args()
    run(open_bench(options), options)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which systems are measured."""
    parser.add_argument("--systems", type=choose, default=list(SYSTEMS), help="their names, with commas; default: all")
    parser.add_argument("--large", type=choose, default=[POOL, *FLOORS, PEERS[0]], help="those that do 20,000 rows too")


def choose(text: str) -> list[System]:
    """The systems of these names."""
    by_name = {system.name: system for system in SYSTEMS}
    unknown = [name for name in text.split(",") if name not in by_name]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {', '.join(by_name)}")
    return [by_name[name] for name in text.split(",")]


def run(bench: Bench, options: argparse.Namespace) -> None:
    """Measure every case of every system that is not known yet."""
    small, large = (QUICK, None) if bench.quick else (SMALL, LARGE)
    warm: set[System] = set()
    with run_server() as server:
        for repetition in range(bench.repetitions):
            systems = list(options.systems)
            random.Random(repetition).shuffle(systems)
            for system in systems:
                for case in (*small, *([large] if large and system in options.large else [])):
                    key = Key(PROGRAM, case.name, system.name, repetition)
                    if bench.is_known(key) or (there := bench.find_python(system)) is None:
                        continue
                    folder = bench.scratch / PROGRAM / system.name
                    python, version = there
                    if system not in warm:  # what it reads from the disk for the first time is not its own cost
                        warm_up(system, python, server, folder)
                        warm.add(system)
                    bench.measure(key, version, lambda: take(system, python, case, server, folder))  # noqa: B023


def warm_up(system: System, python: Path, server: Server, folder: Path) -> None:
    """A job of a few rows, which counts for nothing."""
    server.play(Load({}))
    write_job(folder, server.url, WARM, INFLIGHT)
    measure(system.make_command(python), folder, system.limit, environment(folder))


def take(system: System, python: Path, case: Case, server: Server, folder: Path) -> dict[str, float]:
    """One job of one system.

    Raises:
        NoFiguresError: it ended with an error, or its merged file has not every cell.
    """
    load = case.make_load()
    server.play(load)
    write_job(folder, server.url, case.rows, INFLIGHT)
    done = measure(system.make_command(python), folder, system.limit, environment(folder))
    found, seen, cells = judge(folder / "output.jsonl"), server.read(), case.rows * len(MODELS)
    if done.code:
        last = (done.output.strip().splitlines() or [""])[-1][:150]
        raise NoFiguresError(f"killed after {done.wall:.0f} s" if done.code < 0 else f"exit code {done.code}: {last}")
    if found.cells != cells or found.wrong or found.rows != case.rows:
        raise NoFiguresError(f"{found.cells} of {cells} cells in {found.rows} lines, {found.wrong} of them wrong")
    first, last = min(one.first for one in seen.values()), max(one.last for one in seen.values())
    figures = {
        "cpu_us": done.cpu / cells * 1e6,
        "cells_s": cells / done.wall,
        "wall_s": done.wall,
        "start_s": first - done.started,
        "span_s": last - first,
        "end_s": done.started + done.wall - last,
        "memory_mb": done.memory / 1e6,
        "processes": float(done.processes),
        "requests": float(sum(one.requests for one in seen.values())),
        "most_inflight": float(max(one.most_inflight for one in seen.values())),
    }
    if case.latency:
        ideal = max(schedule(load, model, range(case.rows), INFLIGHT) for model in MODELS)
        figures |= {"share_span": ideal / (last - first), "share_wall": ideal / done.wall}
    return figures


if __name__ == "__main__":
    main()
