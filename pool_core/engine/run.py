"""The run loop: opens the backends, runs the lanes, closes everything."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from pool_core.engine.events import MemberProgress
from pool_core.engine.lag import LagMonitor
from pool_core.engine.lane import MOST_UNWRITTEN, Lane, count_workers
from pool_core.engine.quota import Quota
from pool_core.engine.reading import Reader
from pool_core.engine.work import WorkList
from pool_core.errors import BackendError, PluginError
from pool_core.interfaces.backend import Backend
from pool_core.plan.assign import WHEN_FAILED
from pool_core.plan.model import Plan, PlannedMember
from pool_core.store.store import Store
from pool_core.store.writer import Writer
from pool_core.watchdog import Watchdog

__all__ = ["Engine", "Notify", "build_backend"]

#: Tells a plugin hook by name; raises nothing.
Notify = Callable[[str, object], None]

#: Seconds that a backend may take to close; it may not hold up the end of a run.
CLOSE_SECONDS = 10.0


@dataclass(slots=True)
class Engine:
    """Executes one plan on one store. The rows must have been ingested."""

    plan: Plan
    store: Store
    #: The key of each member in the store, in the plan's order.
    keys: Sequence[int]
    #: Entered in the thread that runs the engine.
    watchdog: Watchdog
    notify: Notify | None = None
    random: Random = field(default_factory=Random)
    wall_time: Callable[[], float] = time.time
    progress: list[MemberProgress] = field(init=False)
    backends: list[Backend[Any]] = field(init=False)
    #: What is worth telling beside the figures: backends that could not be closed.
    notes: list[str] = field(init=False, default_factory=list)
    #: How late the event loop was.
    lag: LagMonitor = field(init=False)
    _reader: Reader = field(init=False)
    _lanes: list[Lane] = field(init=False, default_factory=list)
    _stopped: bool = field(init=False, default=False)
    _task: asyncio.Task[None] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.backends = [build_backend(member) for member in self.plan.members]
        self._reader = Reader(self.plan, self.watchdog)
        self.progress = [MemberProgress(member.name) for member in self.plan.members]
        for assigned, rows in self.store.count_assigned():
            for progress, count in zip(self.progress, assigned, strict=True):
                progress.total += rows * (1 if count == WHEN_FAILED else count)

    @property
    def stopped(self) -> bool:
        """Whether `stop` has been called."""
        return self._stopped

    def stop(self) -> None:
        """Send nothing more and let what is in flight finish; called again, stop at once.

        Must be called in the thread of the event loop.
        """
        if self._stopped and self._task is not None:
            self._task.cancel()
        self._stopped = True
        for lane in self._lanes:
            lane.stop()

    async def run(self) -> None:
        """Run until every cell is finished, the engine is stopped, or nothing can be written.

        Raises:
            StoreError: outcomes cannot be written. Everything that was committed is kept.
        """
        self._task = asyncio.ensure_future(self._run())
        self.lag = LagMonitor(asyncio.get_running_loop())
        self.watchdog.on_tick = self.lag.ping
        try:
            await self._task
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if not self._stopped or (caller is not None and caller.cancelling()):
                raise
        except BaseExceptionGroup as group:
            raise _find_first(group) from group
        finally:
            self.watchdog.on_tick = None

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        room = asyncio.Event()
        room.set()
        writer, task = self.store.writer, self._task
        assert task is not None

        def note_commit() -> None:
            """Called from the writer's thread."""
            if writer.failed:
                loop.call_soon_threadsafe(task.cancel)  # what is asked now could not be kept
            elif writer.pending <= MOST_UNWRITTEN:
                loop.call_soon_threadsafe(room.set)

        works = self._prepare_work()
        quotas = _share_quotas(self.plan.members, self.backends)
        backends = {id(backend): backend for backend in self.backends}  # members may share one
        writer.start(note_commit)
        try:
            if self._stopped:
                return
            self._lanes = [
                Lane(work, backend, quotas[backend.quota], self.random, room)
                for work, backend in zip(works, self.backends, strict=True)
            ]
            async with asyncio.TaskGroup() as group:
                opening = {key: group.create_task(_open(backend)) for key, backend in backends.items()}
                for lane, backend in zip(self._lanes, self.backends, strict=True):
                    group.create_task(_run_lane(lane, opening[id(backend)]))
        finally:
            try:
                await _close_writer(writer)
            finally:
                self._reader.close()
                problems = await asyncio.gather(*map(_close, backends.values()))
                self.notes += filter(None, problems)

    def _prepare_work(self) -> list[WorkList]:
        bases = [
            self.store.register_basis(_describe_basis(member, backend))
            for member, backend in zip(self.plan.members, self.backends, strict=True)
        ]
        free = self.store.release_answers(
            [(key, basis) for key, basis in zip(self.keys, bases, strict=True) if basis is not None]
        )
        request_ids = itertools.count(1)
        return [
            WorkList(
                member,
                self.store,
                key=key,
                basis=basis,
                free_answers=free,
                progress=progress,
                request_ids=request_ids,
                wall_time=self.wall_time,
                notify=self.notify,
                reader=self._reader,
            )
            for member, key, basis, progress in zip(self.plan.members, self.keys, bases, self.progress, strict=True)
        ]


def build_backend(member: PlannedMember) -> Backend[Any]:
    """Make the backend of a member. Raises `PluginError` where it cannot be made."""
    try:
        return member.backend.build()
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"the backend {member.backend.name} cannot be made: {error}", where=f"member {member.name!r}"
        ) from error


async def _open(backend: Backend[Any]) -> str:
    """Open a backend. Returns why it cannot be, empty if it is open."""
    try:
        await backend.open()
    except BackendError as error:
        return str(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - one member's backend must not stop the others
        return f"its backend cannot be opened: {type(error).__name__}: {error}"
    return ""


async def _run_lane(lane: Lane, opening: asyncio.Task[str]) -> None:
    """Run a lane once its backend is open: one that is slow to open holds up no other."""
    if problem := await opening:
        lane.stop(problem)
    else:
        await lane.run()


async def _close(backend: Backend[Any]) -> str:
    """Close a backend. Returns what went wrong, empty if nothing did."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await backend.aclose()
    except TimeoutError:
        return f"the backend {backend.model} was not closed within {CLOSE_SECONDS:g} s"
    except (Exception, SystemExit) as error:  # noqa: BLE001 - every answer is in the store already
        return f"the backend {backend.model} cannot be closed: {type(error).__name__}: {error}"
    return ""


async def _close_writer(writer: Writer) -> None:
    """Commit what is left, however often this is cancelled: it was paid for. Raises `StoreError`."""
    closing = asyncio.ensure_future(asyncio.to_thread(writer.close))
    cancelled: asyncio.CancelledError | None = None
    while not closing.done():
        try:
            await asyncio.wait([closing])
        except asyncio.CancelledError as error:
            cancelled = error
    closing.result()
    if cancelled is not None:
        raise cancelled


def _share_quotas(members: Sequence[PlannedMember], backends: Sequence[Backend[Any]]) -> dict[str, Quota]:
    """One quota for all members of one limit; the smallest concurrency that any of them names holds."""
    quotas: dict[str, Quota] = {}
    for member, backend in zip(members, backends, strict=True):
        limit = count_workers(member.limits)
        quota = quotas.setdefault(backend.quota, Quota(limit))
        quota.limit = min(quota.limit, limit)
    return quotas


def _describe_basis(member: PlannedMember, backend: Backend[Any]) -> str | None:
    """What a member's outcomes rest on, as one text; None where it is not known."""
    if member.request_fingerprint is None or member.parse_fingerprint is None:
        return None
    return f"{member.request_fingerprint}/{member.parse_fingerprint}/{backend.identity}"


def _find_first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
