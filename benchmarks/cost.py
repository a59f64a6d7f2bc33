"""What a cell costs, as a number of calls: the same on every machine, however busy it is.

Python's and C's functions are counted that are called in the thread of the event loop, in runs of two lengths;
the difference is what the cells cost, without start and end. It fails where a figure has grown by more than a
quarter against the one that is kept in `cost.json`. Renew that one where a growth is meant::

    python benchmarks/cost.py [--update]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

from pool_core.data.layouts import arrange, list_names
from pool_core.data.records import read_generations, read_run_info
from pool_core.interfaces.encoding import encode_json
from pool_core.interfaces.values import Request
from pool_core.job import run_plan
from pool_core.plan.build import make_plan
from pool_core.plan.rows import MemoryRows
from pool_core.recipe.models import Limits, Member, PoolSpec, Recipe
from pool_core.store.store import Store
from pool_core.testing.scripted import EchoTask, ScriptedBackend, make_registry
from pool_core.testing.virtual_time import run_virtual

BASELINE = Path(__file__).with_name("cost.json")
#: By what share a figure may grow.
MOST_GROWTH = 0.25
MEMBERS = ("ann", "bob", "cat")
FEW, MANY = 100, 600


def count_calls(job: Callable[[], object]) -> int:
    """The calls that ``job`` makes in this thread."""
    count = 0

    def note(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal count
        if event in ("call", "c_call"):
            count += 1

    sys.setprofile(note)
    try:
        job()
    finally:
        sys.setprofile(None)
    return count


async def answer(_request: Request) -> str:
    """What a server says after a moment."""
    await asyncio.sleep(0.1)
    return "yes"


def run(folder: Path, rows: int) -> None:
    """A run of members whose servers take a moment, in virtual time."""
    source = MemoryRows([{"id": f"{number}", "text": f"row {number}"} for number in range(rows)], "id")
    members = [
        Member(
            name=name,
            backend=ScriptedBackend(answer, model=name, quota=name),
            task=EchoTask(),
            limits=Limits(concurrency=16),
        )
        for name in MEMBERS
    ]
    registry = make_registry()
    plan = make_plan(Recipe(pool=PoolSpec(members=members, policies=())), registry, rows=source)
    run_virtual(run_plan(plan, registry, folder), threads=True)


def export(folder: Path) -> None:
    """All records of a run, as a writer would get and encode them."""
    with Store.read(folder) as store:
        info = read_run_info(store)
        names = list_names(info.fields, raw=False, fallbacks=False)
        for record in arrange("nested", read_generations(store, info), names):
            encode_json(record)


def measure() -> dict[str, float]:
    """The calls for each cell: of a run, of the same run again that finds all answers there, and of an export."""
    counts: dict[str, list[int]] = {"run": [], "again": [], "export": []}
    with TemporaryDirectory() as folder:
        run(Path(folder, "first"), 1)  # what is imported and compiled on first use
        export(Path(folder, "first"))
        for rows in (FEW, MANY):
            place = Path(folder, f"{rows}")
            counts["run"].append(count_calls(lambda place=place, rows=rows: run(place, rows)))
            counts["again"].append(count_calls(lambda place=place, rows=rows: run(place, rows)))
            counts["export"].append(count_calls(lambda place=place: export(place)))
    cells = (MANY - FEW) * len(MEMBERS)
    return {name: round((many - few) / cells, 1) for name, (few, many) in counts.items()}


def find_growth(found: dict[str, float], known: dict[str, float]) -> list[str]:
    """What has grown by more than `MOST_GROWTH`, or was never measured, as sentences."""
    return [
        f"{name}: {count:g} calls a cell, {known.get(name, 0.0):g} are kept in {BASELINE.name}"
        for name, count in found.items()
        if count > (1 + MOST_GROWTH) * known.get(name, 0.0)
    ]


def main() -> None:
    """Measure, and compare or keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="keep the figures of this Python's version")
    options = parser.parse_args()
    version = "{}.{}".format(*sys.version_info)
    known = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    found = measure()
    print(f"Python {version}, calls a cell: " + ", ".join(f"{name} {count:g}" for name, count in found.items()))
    if options.update:
        BASELINE.write_text(json.dumps({**known, version: found}, indent=2, sort_keys=True) + "\n")
    elif problems := find_growth(found, known.get(version, {})):
        raise SystemExit(f"the cost of a cell has grown by more than {MOST_GROWTH:.0%}:\n" + "\n".join(problems))


if __name__ == "__main__":
    main()
