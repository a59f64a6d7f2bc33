"""Measure the speed of this system and its peers, all of it, and write the page with its plots.

    nice python benchmarks/speed_all.py [--folder DIR] [--quick] [--fresh] [--redo pool] [--page] [--repetitions 3]

It takes about an hour and a half; a run that was stopped goes on. ``--quick`` takes some minutes and writes its page
beside its results. See docs/benchmarks/speed.md for what is measured and how.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import export
import makespan
import scale
import startup
import throughput
from speed.bench import Bench, make_parser, open_bench
from speed.page import write_page
from speed.results import read

DOCS = Path(__file__).parents[1] / "docs" / "benchmarks"
PLOTS = Path(__file__).parent / "speed" / "plots.py"


def main() -> None:
    """Run all programs, then write the page."""
    parser = make_parser(__doc__)
    throughput.add_options(parser)
    scale.add_options(parser)
    parser.add_argument("--page", action="store_true", help="measure nothing, write the page")
    parser.add_argument("--redo", default="", help="forget what was measured of these systems, with commas")
    options = parser.parse_args()
    bench = open_bench(options)
    if options.redo:
        forget(bench.results, options.redo.split(","))
        bench.found = read(bench.results)
    if not options.page:
        throughput.run(bench, options)
        makespan.run(bench)
        few, bench.repetitions = bench.repetitions, 5 * bench.repetitions  # these take a moment each
        startup.run(bench)
        bench.repetitions = few
        export.run(bench)
        bench.repetitions = 1  # the largest size alone takes most of an hour
        scale.run(bench, options)
    write(bench, bench.results.parent if bench.quick else DOCS)


def forget(results: Path, systems: list[str]) -> None:
    """Take out what was measured of these systems."""
    lines = results.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["key"]["system"] not in systems]
    results.write_text("".join(kept), encoding="utf-8")


def write(bench: Bench, folder: Path) -> None:
    """Write the page, and draw its plots where matplotlib can be installed."""
    if not bench.found:
        raise SystemExit(f"nothing is in {bench.results}: there is no page to write")
    page = folder / "speed.md"
    page.write_text(write_page(bench.found), encoding="utf-8")
    bench.tell(f"written: {page}")
    if (tools := bench.find_tools()) is not None:
        subprocess.run([tools, PLOTS, bench.results, folder], check=True)


if __name__ == "__main__":
    main()
