"""What the tests of the engine share: running members over rows in virtual time, and a guard against hangs."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager

import pytest

from pool_core.data.records import read_generations, read_run_info
from pool_core.job import run_plan
from pool_core.plan.build import make_plan
from pool_core.plan.rows import MemoryRows
from pool_core.recipe.models import Budget, Limits, Member, PoolSpec, Recipe
from pool_core.store.store import Store
from pool_core.testing.scripted import EchoTask, ScriptedBackend, make_registry
from pool_core.testing.virtual_time import run_virtual

#: So long that a machine that is only slow never takes it.
HANG_SECONDS = 300


@pytest.fixture(autouse=True)
def _hang_guard():
    """A test that hangs fails, with the place where it hangs."""

    def fail(_number, _frame):
        raise RuntimeError(f"the test hangs: {HANG_SECONDS} s have passed")

    before = signal.signal(signal.SIGALRM, fail)
    signal.setitimer(signal.ITIMER_REAL, HANG_SECONDS)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def make_member():
    """Make a member of a script, or of a backend that is ready."""

    def make(name, script, *, task=None, quota="", sampling=None, **limits):
        backend = script if not callable(script) else ScriptedBackend(script, model=name, quota=quota)
        return Member(
            name=name, backend=backend, task=task or EchoTask(), limits=Limits(**limits), sampling=sampling or {}
        )

    return make


@pytest.fixture
def run_members(tmp_path):
    """Run members over rows (a number of rows, or their texts); returns the summary.

    ``steer`` is a coroutine function that gets the engine and runs beside it. Time is virtual and stands still
    while the lanes wait for the writer's thread. With ``real_time`` it is not: then the thread takes no longer
    than what it is held against.
    """

    def run(members, rows, *, run_dir="run", steer=None, pool=None, budget=None, registry=None, real_time=False):
        texts = [f"row {number}" for number in range(rows)] if isinstance(rows, int) else rows
        source = MemoryRows([{"id": str(number), "text": text} for number, text in enumerate(texts)], "id")
        registry = registry or make_registry()
        spec = PoolSpec(members=members, policies=(), **(pool or {}))
        plan = make_plan(Recipe(pool=spec, budget=Budget(**(budget or {}))), registry, rows=source)

        running = []

        @asynccontextmanager
        async def watch(engine):
            running.append(engine)
            helper = asyncio.ensure_future(steer(engine)) if steer is not None else None
            yield
            if helper is not None:
                await helper

        job = run_plan(plan, registry, tmp_path / run_dir, watch=watch)
        if real_time:
            return asyncio.run(job)
        return run_virtual(job, threads=lambda: any(engine.waits_for_disk for engine in running))

    return run


@pytest.fixture
def read_run(tmp_path):
    """The generations of a run, as (row id, member, sample) to what became of it."""

    def read(run_dir="run"):
        with Store.read(tmp_path / run_dir) as store:
            return {
                (row.row_id, generation["member"], generation["sample"]): generation
                for row, generations in read_generations(store, read_run_info(store))
                for generation in generations
            }

    return read
