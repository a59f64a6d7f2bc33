"""What it costs to begin: the processor's time of short commands against Python alone, and the first request.

The commands run in turn, many times; the example's `pool check` contacts nothing::

    nice python benchmarks/startup.py [--repetitions 15] [--quick]
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

from speed.bench import Bench, NoFiguresError, make_parser, open_bench
from speed.play import Server, run_server
from speed.process import Measured, measure
from speed.results import Key
from speed.schedule import Load
from speed.systems import FLOORS, POOL, ROOT
from speed.workload import environment, write_job

PROGRAM = "startup"
EXAMPLE = ROOT / "examples" / "mixed-tasks"


def main() -> None:
    """Measure what is asked for."""
    parser = make_parser(__doc__)
    parser.set_defaults(repetitions=15)
    run(open_bench(parser.parse_args()))


def run(bench: Bench) -> None:
    """Measure every command that is not known yet."""
    there, by_hand = bench.find_python(POOL), bench.find_python(FLOORS[0])
    if there is None:
        return
    python, version = there
    pool = str(python.parent / "pool")
    folder = bench.scratch / PROGRAM
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("runs", "output*"))
    commands: dict[str, Callable[[Server], dict[str, float]]] = {
        "python -c pass": lambda _: take([str(python), "-c", "pass"], folder),
        "import pydantic": lambda _: take([str(python), "-c", "import pydantic; pydantic.BaseModel"], folder),
        "pool --version": lambda _: take([pool, "--version"], folder),
        "pool check": lambda _: take([pool, "check", "recipe.yaml"], folder),
        "pool run, first request": lambda server: take_start(POOL.make_command(python), server, folder / "first"),
    }
    if by_hand is not None:
        command = FLOORS[0].make_command(by_hand[0])
        commands["by hand, first request"] = lambda server: take_start(command, server, folder / "first")
    with run_server() as server:
        for repetition in range(bench.repetitions):
            names = list(commands)
            random.Random(repetition).shuffle(names)
            for name in names:
                bench.measure(Key(PROGRAM, name, "pool", repetition), version, lambda: commands[name](server))  # noqa: B023


def take(command: list[str], folder: Path) -> dict[str, float]:
    """One command."""
    done = _finish(command, folder)
    return {"cpu_ms": done.cpu * 1000, "wall_ms": done.wall * 1000}


def take_start(command: list[str], server: Server, folder: Path) -> dict[str, float]:
    """One short run, until its first request reaches the server."""
    server.play(Load({}))
    write_job(folder, server.url, rows=10, inflight=4)
    done = _finish(command, folder)
    first = min(one.first for one in server.read().values())
    return {"start_ms": (first - done.started) * 1000, "cpu_ms": done.cpu * 1000, "wall_ms": done.wall * 1000}


def _finish(command: list[str], folder: Path) -> Measured:
    done = measure(command, folder, 60.0, environment(folder))
    if done.code:
        raise NoFiguresError(f"exit code {done.code}: {done.output.strip()[-200:]}")
    return done


if __name__ == "__main__":
    main()
