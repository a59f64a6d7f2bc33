"""How late the event loop is at a rate of answers, with the real store, in real time.

The members' backend answers after 0.2 s, as many calls at a time as make the rate; the loop's lag is
measured every 5 ms. ``--parser`` chooses what the task does with an answer: nothing much, 2 ms of work,
the same in a process of its own, or a search that does not end for one answer in a thousand::

    python benchmarks/lag.py [--rate 1000] [--seconds 10] [--members 8] [--parser light|works|heavy|endless]
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import BaseModel

from pool_core.engine.run import Engine
from pool_core.interfaces.values import Answer, Request, Row, Usage
from pool_core.job import run_plan
from pool_core.plan.build import make_plan
from pool_core.plan.rows import MemoryRows
from pool_core.recipe.models import Limits, Member, PoolSpec, Recipe
from pool_core.testing.scripted import EchoTask, ScriptedBackend, make_registry

LATENCY = 0.2
PARSERS = ("light", "works", "heavy", "endless")


class Working(EchoTask):
    """Takes 2 ms of the processor's time for an answer."""

    def parse(self, answer: Answer, row: Row) -> BaseModel:
        until = time.thread_time() + 0.002
        while time.thread_time() < until:
            pass
        return super().parse(answer, row)


class Heavy(Working):
    """The same, in another process."""

    heavy = True


class Endless(EchoTask):
    """Searches without end in one answer of a thousand."""

    def parse(self, answer: Answer, row: Row) -> BaseModel:
        if row["id"].endswith("500"):
            re.match(r"(a+)+$", "a" * 60 + "b")
        return super().parse(answer, row)


async def answer_late(request: Request) -> Answer:
    """An answer of a usual size."""
    await asyncio.sleep(LATENCY)
    return Answer("Some words of an answer. " * 40, "stop", Usage(100, 200), "bench")


def pick(values: list[float], share: float) -> float:
    """The value below which ``share`` of the sorted ``values`` are."""
    return values[min(len(values) - 1, int(share * len(values)))]


async def measure(lags: list[float]) -> None:
    """Note how late the loop wakes, again and again."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + 0.005
        await asyncio.sleep(0.005)
        lags.append(max(0.0, loop.time() - due))


def make_members(options: argparse.Namespace) -> list[Member]:
    """Members that together answer at the rate."""
    task: dict[str, type[EchoTask]] = {"light": EchoTask, "works": Working, "heavy": Heavy, "endless": Endless}
    if options.parser == "heavy":  # a process of its own cannot import the main script
        import lag  # noqa: PLC0415

        task["heavy"] = lag.Heavy
    calls = max(1, round(options.rate * LATENCY / options.members))
    return [
        Member(
            name=f"member-{number}",
            backend=ScriptedBackend(answer_late, f"model-{number}"),
            task=task[options.parser](),
            limits=Limits(concurrency=calls, task_timeout=0.5),
        )
        for number in range(options.members)
    ]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description="Measure the event loop's lag.")
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--parser", choices=PARSERS, default="light")
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))
    rows: list[dict[str, Any]] = [
        {"id": str(number), "text": "What is said of this? " * 20}
        for number in range(options.rate * options.seconds // options.members)
    ]
    lags: list[float] = []
    spent: list[float] = []

    @asynccontextmanager
    async def watch(_engine: Engine) -> AsyncIterator[None]:
        meter = asyncio.ensure_future(measure(lags))
        started, used = time.monotonic(), time.process_time()
        yield
        spent.extend((time.monotonic() - started, time.process_time() - used))
        meter.cancel()

    registry = make_registry()
    recipe = Recipe(pool=PoolSpec(members=make_members(options), policies=()))
    with TemporaryDirectory() as folder:
        plan = make_plan(recipe, registry, rows=MemoryRows(rows, "id"))
        summary = asyncio.run(run_plan(plan, registry, Path(folder) / "run", watch=watch))
    lags.sort()
    seconds, processor = spent
    print(f"answers        {summary.requests / seconds:8.0f} a second ({summary.requests} in {seconds:.1f} s)")
    print(f"processor      {processor / seconds:8.0%} of one core")
    for share, label in ((0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"), (1.0, "max")):
        print(f"lag {label:11}{pick(lags, share) * 1000:8.1f} ms")
    failed = sum(sum(member.failed.values()) for member in summary.members)
    print(f"cells failed   {failed:8}")
    for note in summary.notes:
        print(f"note: {note}")


if __name__ == "__main__":
    main()
