"""A run of a million rows and three members: its peak memory, its time, and the time to find that nothing is left.

The members simulate models that answer at once, so all of the time is the pool's own. Each step is a process
of its own. The same is done with fewer rows: memory may not grow with them. Install the plugins as users do, for
those of an editable install are looked at anew in every run::

    python benchmarks/million.py [--rows 1000000] [--few 10000] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

MEMBERS = ("ann", "bob", "cat")


@dataclass(frozen=True)
class Measured:
    """A process that has ended."""

    seconds: float
    #: Most memory that it held, in bytes.
    memory: int
    output: str


def write_inputs(folder: Path, rows: int) -> None:
    """The rows and the recipe."""
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as file:
        for number in range(rows):
            row = {
                "id": f"row-{number}",
                "category": f"c{number % 7}",
                "instruction": f"Write {number} words on water.",
            }
            file.write(json.dumps(row) + "\n")
    lines = ["rows: {path: rows.jsonl, id: id}", "output: output.jsonl", "pool:", "  members:"]
    for seed, name in enumerate(MEMBERS):
        backend = {"use": "simulate", "model": name, "seed": seed, "words": 20}
        lines += [f"    - name: {name}", f"      backend: {json.dumps(backend)}", "      task: text-generation"]
        lines += ["      limits: {concurrency: 64}"]
    (folder / "recipe.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def run(folder: Path, *arguments: str) -> Measured:
    """Run the command line in a process of its own."""
    started = time.monotonic()
    with (folder / "printed").open("w+b") as printed:
        process = subprocess.Popen([sys.executable, "-m", "pool_core", *arguments], cwd=folder, stdout=printed)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        printed.seek(0)
        output = printed.read().decode()
    if process.returncode:
        raise SystemExit(f"pool {' '.join(arguments)} ended with {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Measured(time.monotonic() - started, usage.ru_maxrss * unit, output)


def measure(folder: Path, rows: int) -> dict[str, Measured]:
    """A run, the same run again, and an export."""
    write_inputs(folder, rows)
    found = {"run": run(folder, "run", "recipe.yaml", "--json")}
    found["again"] = run(folder, "run", "recipe.yaml", "--json")
    found["export"] = run(folder, "export", "runs/recipe", "-o", "long.jsonl", "--layout", "long")
    found["status"] = run(folder, "status", "runs/recipe", "--json")
    first, again = (json.loads(found[name].output) for name in ("run", "again"))
    assert sum(member["ok"] for member in first["members"]) == rows * len(MEMBERS)
    assert sum(member["requests"] for member in again["members"]) == 0
    with (folder / "output.jsonl").open("rb") as file:
        assert sum(1 for _ in file) == rows
    return found


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--few", type=int, default=10_000, help="rows of the run that memory is compared with")
    parser.add_argument("--folder", type=Path, help="where to work; by default a temporary folder")
    options = parser.parse_args()
    peaks = []
    for rows in (options.few, options.rows):
        with TemporaryDirectory(dir=options.folder) as folder:
            found = measure(Path(folder), rows)
            size = sum(path.stat().st_size for path in Path(folder, "runs", "recipe").iterdir())
        cells = rows * len(MEMBERS)
        print(f"{rows:,} rows, {cells:,} cells, store of {size / 1e6:,.0f} MB")
        for name, one in found.items():
            rate = f", {cells / one.seconds:,.0f} cells/s" if name == "run" else ""
            print(f"  {name:8}{one.seconds:9.1f} s{one.memory / 1e6:9.0f} MB{rate}", flush=True)
        peaks.append(found)
    for name in peaks[0]:
        few, many = (peak[name].memory for peak in peaks)
        print(f"memory of {name}: {many / few:.2f} times that of {options.few:,} rows")


if __name__ == "__main__":
    main()
