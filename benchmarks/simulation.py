"""Live through seeded worlds with the real engine and the real store in virtual time, and judge each.

    nice python benchmarks/simulation.py [--seeds 10000] [--from 0]

Prints how many worlds, simulated hours and calls there were, what they took on one core, how often each kind
of fault was there, and what is wrong with which seed. Exit code 1 where anything is. A seed that fails is kept
in tests/simulation/seeds.py; docs/design/simulation.md says what is simulated and what must hold.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from time import perf_counter, process_time

sys.path.append(str(Path(__file__).parents[1] / "tests" / "simulation"))

from invariants import judge
from simulate import simulate
from worlds import FAULTS, make_world

from pool_core.watchdog import Watchdog


def main() -> int:
    """Run the worlds that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many worlds")
    parser.add_argument("--from", type=int, default=0, dest="first", help="seed of the first")
    options = parser.parse_args()
    fired: Counter[str] = Counter()
    failed: dict[int, list[str]] = {}
    calls, starts, hours = 0, 0, 0.0
    began, worked = perf_counter(), process_time()
    with Watchdog() as watchdog:
        for seed in range(options.first, options.first + options.seeds):
            history = simulate(make_world(seed), watchdog)
            fired += history.fired
            calls += len(history.calls)
            starts += len(history.starts)
            hours += history.seconds / 3600
            if problems := judge(history):
                failed[seed] = problems
                print(f"seed {seed}: {len(problems)} problems", file=sys.stderr)
                print(*(f"  {problem}" for problem in problems[:3]), sep="\n", file=sys.stderr)
    print(f"{options.seeds:,} worlds, {starts:,} starts, {hours:,.0f} simulated hours, {calls:,} calls")
    print(f"{perf_counter() - began:.0f} s, {process_time() - worked:.0f} s of the processor's time")
    missing = [fault for fault in FAULTS if not fired[fault]]
    for fault in FAULTS:
        print(f"  {fault:18} {fired[fault]:>9,}")
    print(f"faults that were never there: {', '.join(missing) or 'none'}")
    print(f"failed: {', '.join(map(str, failed)) or 'none'}")
    return 1 if failed or missing else 0


if __name__ == "__main__":
    sys.exit(main())
