"""Runs the real engine with the real store through the whole life of a world, in virtual time."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import Context
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from history import History, Recorder, StartRecord, read_file
from script import SimulatedBackend, SimulatedTask
from worlds import MemberSpec, Start, World

from pool_core.data.identify import identify_rows
from pool_core.engine.run import Engine
from pool_core.job import Watch, run_plan
from pool_core.plan.assign import make_assigner
from pool_core.plan.build import make_plan
from pool_core.plan.model import BackendPlan, Plan, PlannedMember
from pool_core.plan.prices import Rate, TokenPrice
from pool_core.plan.rows import MemoryRows
from pool_core.recipe.models import Budget, Hedge, Limits, Member, PoolSpec, Price, Reask, Recipe, Sampling, StopWhen
from pool_core.store.store import Store
from pool_core.testing.scripted import make_registry
from pool_core.testing.virtual_time import VirtualTimeLoop
from pool_core.testing.world import ModelServer, Outage
from pool_core.testing.world import World as ServerWorld
from pool_core.watchdog import Watchdog

__all__ = ["MEMORY", "PRICE", "EndlessError", "make_folder", "simulate"]

#: A file system in memory, where there is one: an fsync costs nothing there, and all else is as everywhere.
MEMORY = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
#: Dollars per million tokens of prompts and answers.
PRICE = (1.0, 3.0)
#: A world that takes longer does not end: seconds of virtual time, and callbacks of the event loop.
MOST_SECONDS = 60 * 86_400.0
MOST_CALLBACKS = 3_000_000


class EndlessError(BaseException):
    """The world does not come to an end."""


class CountingLoop(VirtualTimeLoop):
    """A loop in virtual time that counts what it does, and does not go on for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.callbacks = 0

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> asyncio.Handle:
        self.callbacks += 1
        if self.callbacks == MOST_CALLBACKS:
            raise EndlessError(f"{MOST_CALLBACKS:,} callbacks by second {self.time():,.0f}")
        return super().call_soon(callback, *args, context=context)

    def advance(self, seconds: float | None) -> None:
        super().advance(seconds)
        if self.time() > MOST_SECONDS:
            raise EndlessError(f"{self.callbacks:,} callbacks by second {self.time():,.0f}")


@contextmanager
def make_folder() -> Iterator[Path]:
    """A folder for one run, which is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="simulation-", dir=MEMORY))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def simulate(world: World, watchdog: Watchdog | None) -> History:
    """Live through ``world`` and say what happened. Raises nothing for what the engine does wrong.

    Args:
        watchdog: one for many worlds; None for whole jobs, as a person starts them: the recipe is planned
            anew for each start, and a report is written.
    """
    recorder = Recorder(world)
    with make_folder() as folder, asyncio.Runner(loop_factory=CountingLoop) as runner:
        try:
            runner.run(_live(world, folder, recorder, watchdog))
        except (Exception, EndlessError) as error:  # noqa: BLE001 - told to whoever judges the world
            recorder.history.starts[-1].crash = f"{type(error).__name__}: {error}"
        recorder.history.seconds = runner.get_loop().time()
    return recorder.history


async def _live(world: World, folder: Path, recorder: Recorder, watchdog: Watchdog | None) -> None:
    servers = _make_servers(world)
    for start in world.starts:
        await asyncio.sleep(start.pause)
        await _run_start(world, start, servers, folder, recorder, watchdog)
    for server in servers:
        _note_server(server, recorder)


def _make_servers(world: World) -> list[ModelServer]:
    place = ServerWorld(world.seed, traced=True)
    servers = []
    for spec in world.servers:
        outages = [Outage(*outage) for outage in spec.script.get("outages", ())]
        servers.append(place.add_server(spec.name, **{**spec.script, "outages": outages}))
    return servers


def _note_server(server: ModelServer, recorder: Recorder) -> None:
    counts, fired = server.count(), recorder.history.fired
    fired["server-over-rate"] += counts.over_rate
    fired["server-refused"] += counts.refused - counts.over_rate
    fired["server-failed"] += counts.failed


async def _run_start(
    world: World,
    start: Start,
    servers: list[ModelServer],
    folder: Path,
    recorder: Recorder,
    watchdog: Watchdog | None,
) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, CountingLoop)
    record = StartRecord(recorder.take_moment(), loop.time())
    recorder.history.starts.append(record)
    backends = [SimulatedBackend(spec, world.seed, servers[spec.server], recorder) for spec in start.members]
    before = loop.callbacks

    @asynccontextmanager
    async def watch(engine: Engine) -> AsyncIterator[None]:
        engine.random = Random(f"engine {world.seed}")
        engine.wall_time = loop.time
        stopper = _Stopper(start, engine, backends, record, recorder)
        try:
            yield
        finally:
            stopper.end()
            record.limit, record.notes = engine.limit, tuple(engine.notes)
            for each in engine.progress:
                figures = asdict(replace(each, failed={}))  # type: ignore[arg-type]
                record.progress[each.name] = figures | {"failed": dict(each.failed), "done": each.done}

    try:
        if watchdog is None:
            await _run_job(world, start, backends, folder, recorder, watch)
        else:
            await _run_engine(_make_plan(world, start, backends, recorder), folder, watchdog, watch)
    except Exception as error:  # noqa: BLE001 - told to whoever judges the world
        record.crash = f"{type(error).__name__}: {error}"
        return
    record.callbacks = loop.callbacks - before
    record.ended, record.ended_at = recorder.take_moment(), loop.time()
    read_file(folder, record)


async def _run_engine(plan: Plan, folder: Path, watchdog: Watchdog, watch: Watch) -> None:
    """What `run_plan` does, without what is the same for every world: the recipe, the report, the output."""
    with Store.open(folder) as store:
        keys = store.register_members("pool", [member.name for member in plan.members])
        store.ingest(identify_rows(plan), keys, "rows")
        engine = Engine(plan, store, keys, watchdog)
        try:
            async with watch(engine):
                await engine.run()
        finally:
            store.writer.close()


async def _run_job(
    world: World, start: Start, backends: list[SimulatedBackend], folder: Path, recorder: Recorder, watch: Watch
) -> None:
    members = [
        Member(
            name=spec.name,
            backend=backend,
            task=SimulatedTask(spec, world.seed, recorder),
            sampling=Sampling(max_tokens=spec.max_tokens),
            limits=Limits(**spec.limits),
            reask=Reask(**spec.reask) if spec.reask else None,
            fallback=spec.fallback,
            hedge=Hedge(**spec.hedge) if spec.hedge else None,
            stop_when=StopWhen(**spec.stop_when) if spec.stop_when else None,
            price=Price(input=PRICE[0], output=PRICE[1]),
        )
        for spec, backend in zip(start.members, backends, strict=True)
    ]
    pool = PoolSpec(
        members=tuple(members),
        policies=(),
        samples=start.samples,
        assign=start.assign,  # type: ignore[arg-type]
        stop_when=StopWhen(**start.stop_when) if start.stop_when else None,
    )
    registry = make_registry()
    recipe = Recipe(pool=pool, budget=Budget(**start.budget))
    plan = make_plan(recipe, registry, rows=_make_rows(world, start))
    summary = await run_plan(plan, registry, folder, watch=watch)
    recorder.history.starts[-1].status = summary.status


class _Stopper:
    """Stops a start when the world says so."""

    def __init__(
        self, start: Start, engine: Engine, backends: list[SimulatedBackend], record: StartRecord, recorder: Recorder
    ) -> None:
        self._stop = start.stop
        self._engine = engine
        self._record = record
        self._recorder = recorder
        self._answers = 0
        self._timers: list[asyncio.TimerHandle] = []
        if start.stop is not None and start.stop.at is not None:
            self._set_timer(start.stop.at, self._stop_once)
        for backend in backends:
            backend.on_answer = self._note_answer

    def end(self) -> None:
        """The start has ended: stop nothing any more."""
        for timer in self._timers:
            timer.cancel()

    def _set_timer(self, seconds: float, then: Callable[[], None]) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(seconds, then))

    def _note_answer(self) -> None:
        self._answers += 1
        if self._stop is not None and self._stop.call == self._answers:
            self._stop_once()

    def _stop_once(self) -> None:
        assert self._stop is not None
        self._recorder.history.fired["stop"] += 1
        self._record.stopped, self._record.stopped_at = (
            self._recorder.take_moment(),
            asyncio.get_running_loop().time(),
        )
        self._engine.stop()
        if self._stop.again == 0:
            self._stop_again()
        elif self._stop.again is not None:
            self._set_timer(self._stop.again, self._stop_again)

    def _stop_again(self) -> None:
        self._recorder.history.fired["stop-again"] += 1
        self._record.stopped_again_at = asyncio.get_running_loop().time()
        self._engine.stop()


def _make_plan(world: World, start: Start, backends: list[SimulatedBackend], recorder: Recorder) -> Plan:
    """The plan of a start. What all worlds have in common is made once: see `_make_template`."""
    template = _make_template(len(start.members))
    members = [
        _plan_member(world, planned, spec, backend, recorder)
        for planned, spec, backend in zip(template.members, start.members, backends, strict=True)
    ]
    pool = template.recipe.pool
    if start.stop_when is not None:
        pool = pool.model_copy(update={"stop_when": StopWhen(**start.stop_when)})
    recipe = template.recipe.model_copy(update={"pool": pool, "budget": Budget(**start.budget)})
    return replace(
        template,
        recipe=recipe,
        members=tuple(members),
        rows=_make_rows(world, start),
        assign=make_assigner(start.assign, start.samples, 0, [1.0] * len(members), [None] * len(members)),
    )


def _make_rows(world: World, start: Start) -> MemoryRows:
    return MemoryRows([{"id": str(number), "text": world.texts[number]} for number in start.rows], "id")


def _plan_member(
    world: World, planned: PlannedMember, spec: MemberSpec, backend: SimulatedBackend, recorder: Recorder
) -> PlannedMember:
    versions = (spec.prompt_version, spec.parser_version)
    return replace(
        planned,
        name=spec.name,
        task=SimulatedTask(spec, world.seed, recorder),
        backend=BackendPlan(type(backend).__name__, None, None, instance=backend),
        sampling={} if spec.max_tokens is None else {"max_tokens": spec.max_tokens},
        limits=Limits(**spec.limits),
        price=TokenPrice(Rate(*PRICE), "recipe"),
        request_fingerprint=f"asks {versions[0]} {spec.max_tokens}" if world.fingerprints else None,
        parse_fingerprint=f"reads {versions[1]} {spec.reask}" if world.fingerprints else None,
        reask=Reask(**spec.reask) if spec.reask else None,
        fallback=spec.fallback,
        hedge=Hedge(**spec.hedge) if spec.hedge else None,
        stop_when=StopWhen(**spec.stop_when) if spec.stop_when else None,
    )


@cache
def _make_template(count: int) -> Plan:
    """A plan of so many members, of a recipe as a person would write it."""
    world = World(0, (), (), ())
    recorder = Recorder(world)
    server = ServerWorld(0).add_server("s")
    members = []
    for number in range(count):
        spec = MemberSpec("abcd"[number], 0)
        backend = SimulatedBackend(spec, 0, server, recorder)
        members.append(Member(name=spec.name, backend=backend, task=SimulatedTask(spec, 0, recorder)))
    recipe = Recipe(pool=PoolSpec(members=tuple(members), policies=()))
    return make_plan(recipe, make_registry(), rows=MemoryRows([{"id": "0", "text": "row"}], "id"))
