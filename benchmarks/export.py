"""How fast `pool export` writes the merged file of 100,000 rows x 3 members, per format and layout.

Rates are from the start of the process to the file on disk; a run of ten rows is exported too, and taken off in the
processor's time per cell::

    nice python benchmarks/export.py [--repetitions 3] [--quick]
"""

from __future__ import annotations

import random

from scale import FEW, MEMBERS, make_run, run_pool
from speed.bench import Bench, make_parser, open_bench
from speed.results import Key
from speed.systems import POOL

PROGRAM = "export"
ROWS = 100_000
FORMATS = ("jsonl", "parquet", "csv")
LAYOUTS = ("nested", "long")


def main() -> None:
    """Measure what is asked for."""
    run(open_bench(make_parser(__doc__).parse_args()))


def run(bench: Bench) -> None:
    """Measure every format and layout that is not known yet."""
    rows = 2_000 if bench.quick else ROWS
    cases = [(kind, layout) for kind in FORMATS for layout in LAYOUTS if kind != "csv" or layout == "long"]
    keys = [
        (Key(PROGRAM, f"{kind}, {layout}", POOL.name, repetition), kind, layout)
        for repetition in range(bench.repetitions)
        for kind, layout in random.Random(repetition).sample(cases, len(cases))
    ]
    there = bench.find_python(POOL)
    if there is None or all(bench.is_known(key) for key, _, _ in keys):
        return
    python, version = there
    pool, folder, small = str(python.parent / "pool"), bench.scratch / PROGRAM, bench.scratch / f"{PROGRAM}-few"
    make_run(pool, folder, rows)
    make_run(pool, small, FEW)

    def take(kind: str, layout: str) -> dict[str, float]:
        arguments = ("export", "runs/recipe", "-o", f"exported.{kind}", "--layout", layout, "--json")
        start, done = run_pool(pool, small, *arguments), run_pool(pool, folder, *arguments)
        cells, size = rows * len(MEMBERS), (folder / f"exported.{kind}").stat().st_size
        return {
            "cells_s": cells / done.wall,
            "cpu_us": (done.cpu - start.cpu) / cells * 1e6,
            "wall_s": done.wall,
            "memory_mb": done.memory / 1e6,
            "file_mb": size / 1e6,
        }

    for key, kind, layout in keys:
        bench.measure(key, version, lambda: take(kind, layout))  # noqa: B023


if __name__ == "__main__":
    main()
