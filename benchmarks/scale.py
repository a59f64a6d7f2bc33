"""Whether cost grows with the rows alone: 10,000, 100,000 and 1,000,000 rows x 3 members that simulate models.

They answer at once, so all of the time is the pool's own. Each size is run, run again when nothing is left to do, and
looked at with `pool status`; a run of ten rows says what a start costs. Rates are without that start::

    nice python benchmarks/scale.py [--repetitions 1] [--most 1000000] [--quick]
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from speed.bench import Bench, NoFiguresError, make_parser, open_bench
from speed.process import Measured, measure
from speed.results import Key
from speed.systems import POOL
from speed.workload import environment

__all__ = ["MEMBERS", "make_run", "write_inputs"]

PROGRAM = "scale"
MEMBERS = ("ann", "bob", "cat")
SIZES = (10_000, 100_000, 1_000_000)
#: Rows of a run that is all start, and how long the largest may take in seconds.
FEW = 10
LIMIT = 3000.0


def main() -> None:
    """Measure what is asked for."""
    parser = make_parser(__doc__)
    add_options(parser)
    parser.set_defaults(repetitions=1)
    options = parser.parse_args()
    run(open_bench(options), options)


def add_options(parser: argparse.ArgumentParser) -> None:
    """How far to go."""
    parser.add_argument("--most", type=int, default=SIZES[-1], help="leave larger sizes out")


def run(bench: Bench, options: argparse.Namespace) -> None:
    """Measure every size that is not known yet."""
    sizes = (1_000, 5_000) if bench.quick else SIZES
    there = bench.find_python(POOL)
    if there is None:
        return
    python, version = there
    for repetition in range(bench.repetitions):
        for rows in (size for size in sizes if size <= options.most):
            key = Key(PROGRAM, f"{rows:,}", POOL.name, repetition)
            folder = bench.scratch / PROGRAM
            bench.measure(key, version, lambda: take(str(python.parent / "pool"), folder, rows))  # noqa: B023


def take(pool: str, folder: Path, rows: int) -> dict[str, float]:
    """A run, the same again, and its status.

    Raises:
        NoFiguresError: not every cell was ok, or the second run asked something.
    """
    start, _ = make_run(pool, folder, FEW)
    first, summary = make_run(pool, folder, rows)
    cells = rows * len(MEMBERS)
    if sum(member["ok"] for member in summary["members"]) != cells:
        raise NoFiguresError(f"not all of {cells} cells are ok")
    again = run_pool(pool, folder, "run", "recipe.yaml", "--json")
    if sum(member["requests"] for member in json.loads(_read_printed(folder))["members"]):
        raise NoFiguresError("a finished run asked again")
    status = run_pool(pool, folder, "status", "runs/recipe", "--json")
    store = sum(path.stat().st_size for path in (folder / "runs" / "recipe").iterdir())
    return {
        "cells_s": cells / (first.wall - start.wall),
        "cpu_us": (first.cpu - start.cpu) / cells * 1e6,
        "wall_s": first.wall,
        "memory_mb": first.memory / 1e6,
        "again_s": again.wall,
        "again_cpu_s": again.cpu,
        "again_memory_mb": again.memory / 1e6,
        "status_s": status.wall,
        "store_mb": store / 1e6,
    }


def make_run(pool: str, folder: Path, rows: int) -> tuple[Measured, dict[str, list[dict[str, int]]]]:
    """A new run in ``folder``, and its summary."""
    write_inputs(folder, rows)
    done = run_pool(pool, folder, "run", "recipe.yaml", "--json")
    return done, json.loads(_read_printed(folder))


def run_pool(pool: str, folder: Path, *arguments: str) -> Measured:
    """A command that has to succeed.

    Raises:
        NoFiguresError: it does not.
    """
    # what it prints goes to a file of its own, so that it can be read whole
    command = ["sh", "-c", 'exec "$@" > printed.json', "sh", pool, *arguments]
    done = measure(command, folder, LIMIT, environment(folder))
    if done.code:
        raise NoFiguresError(f"pool {' '.join(arguments)}: exit code {done.code}: {done.output.strip()[-200:]}")
    return done


def _read_printed(folder: Path) -> str:
    return (folder / "printed.json").read_text(encoding="utf-8")


def write_inputs(folder: Path, rows: int) -> None:
    """Empty ``folder`` and write the rows and the recipe."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as file:
        for number in range(rows):
            text = f"Write {number} words on water."
            file.write(json.dumps({"id": f"row-{number}", "category": f"c{number % 7}", "instruction": text}) + "\n")
    lines = ["rows: {path: rows.jsonl, id: id}", "output: output.jsonl", "pool:", "  members:"]
    for seed, name in enumerate(MEMBERS):
        backend = {"use": "simulate", "model": name, "seed": seed, "words": 20}
        lines += [f"    - name: {name}", f"      backend: {json.dumps(backend)}", "      task: text-generation"]
        lines += ["      limits: {concurrency: 64}"]
    (folder / "recipe.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
