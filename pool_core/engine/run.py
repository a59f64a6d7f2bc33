"""The run loop: opens the backends, runs the lanes, closes everything."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from pool_core.engine.attempt import is_cancelled
from pool_core.engine.bases import register_bases, release_answers
from pool_core.engine.budget import Account
from pool_core.engine.caller import Caller
from pool_core.engine.events import MemberProgress
from pool_core.engine.lag import LagMonitor
from pool_core.engine.lane import MOST_UNWRITTEN, Lane
from pool_core.engine.pages import Pages
from pool_core.engine.quota import Quota
from pool_core.engine.reading import Reader
from pool_core.engine.retry import RetryBudget
from pool_core.engine.sharing import make_quotas
from pool_core.engine.spending import Spending, guess_unknown
from pool_core.engine.thresholds import FailureCount
from pool_core.engine.work import WorkList, link_fallbacks
from pool_core.errors import BackendError, PluginError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.values import Cause
from pool_core.plan.assign import WHEN_FAILED
from pool_core.plan.model import Plan, PlannedMember
from pool_core.plan.prices import compute_cost
from pool_core.recipe.models import Budget, StopWhen
from pool_core.store.store import Store
from pool_core.store.writer import Writer
from pool_core.watchdog import Watchdog, describe_error

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
    #: The limit of the recipe that has stopped the run; empty while none has.
    limit: str = field(init=False, default="")
    #: How late the event loop was.
    lag: LagMonitor = field(init=False)
    _reader: Reader = field(init=False)
    _opening: list[asyncio.Task[str]] = field(init=False, default_factory=list)
    _lanes: list[Lane] = field(init=False, default_factory=list)
    _stopped: bool = field(init=False, default=False)
    _task: asyncio.Task[None] | None = field(init=False, default=None)
    _account: Account | None = field(init=False, default=None)
    #: Set while little is unwritten.
    _room: asyncio.Event = field(init=False, default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.backends = [build_backend(member) for member in self.plan.members]
        self._room.set()
        self._reader = Reader(self.plan, self.watchdog)
        self.progress = [MemberProgress(member.name) for member in self.plan.members]
        for assigned, rows in self.store.count_assigned():
            for progress, count in zip(self.progress, assigned, strict=True):
                progress.total += rows * (1 if count == WHEN_FAILED else count)

    @property
    def stopped(self) -> bool:
        """Whether `stop` has been called."""
        return self._stopped

    @property
    def waits_for_disk(self) -> bool:
        """Whether so much is unwritten that the lanes wait for a commit."""
        return not self._room.is_set()

    def stop(self) -> None:
        """Send nothing more and let what is in flight finish; called again, stop at once.

        Must be called in the thread of the event loop.
        """
        if self._stopped and self._task is not None:
            self._task.cancel()
        self._stopped = True
        self._stop_lanes()

    def _stop_lanes(self) -> None:
        for opening in self._opening:
            opening.cancel()
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
        loop, room = asyncio.get_running_loop(), self._room
        writer, task = self.store.writer, self._task
        assert task is not None

        def note_commit() -> None:
            """Called from the writer's thread."""
            if writer.failed:
                loop.call_soon_threadsafe(task.cancel)  # what is asked now could not be kept
            elif not room.is_set() and writer.pending <= MOST_UNWRITTEN:
                loop.call_soon_threadsafe(room.set)

        timer: asyncio.TimerHandle | None = None
        works = self._prepare_work()
        backends = {id(backend): backend for backend in self.backends}  # members may share one
        writer.start(note_commit)
        try:
            if self._stopped:
                return
            self._account = self._open_account(loop.time())
            self._lanes = self._make_lanes(works)
            if self._account is not None and (left := self._account.count_seconds(loop.time())) is not None:
                timer = loop.call_later(left, self._end_time)
            async with asyncio.TaskGroup() as group:
                opening = {key: group.create_task(_open(backend)) for key, backend in backends.items()}
                self._opening = list(opening.values())
                for lane, backend in zip(self._lanes, self.backends, strict=True):
                    group.create_task(_run_lane(lane, opening[id(backend)]))
        finally:
            if timer is not None:
                timer.cancel()
            try:
                await _close_writer(writer)
                room.set()
                self.notes += filter(None, map(_note_durable, backends.values()))
            finally:
                self._reader.close()
                problems = await asyncio.gather(*map(_close, backends.values()))
                self.notes += filter(None, problems)
                if self._account is not None:
                    # calls that may have been billed, and answers that did not say: no record of theirs has it
                    self.store.set_meta("account", {"tokens": self._account.tokens, "cost": self._account.cost})
                if self._account is not None and self._account.estimated:
                    calls = f"{self._account.estimated:,} calls did not say what they used"
                    self.notes.append(f"{calls}; the budget counts them as estimated")

    def _make_lanes(self, works: Sequence[WorkList]) -> list[Lane]:
        quotas = make_quotas(self.plan.members, self.backends)
        retries = {name: RetryBudget() for name in quotas}
        lanes: dict[str, Lane] = {}
        for work, backend in zip(works, self.backends, strict=True):
            backend.pause = _cap_pause(quotas[backend.quota], work.member.limits.max_wait)
            backend.folder = self.store.folder / "backends"
            quota, budget = quotas[backend.quota], retries[backend.quota]
            spending = Spending(work.member, self._account, self._stop_by_limit)
            caller = Caller(work, backend, quota, budget, spending, self.random)
            lane = Lane(work, caller, quota, budget, self._room)
            lanes[work.member.name] = lane
            if work.member.stop_when is not None:
                work.on_end.append(self._make_watch(work.member.stop_when, lane.stop_member))
        if self.plan.recipe.pool.stop_when is not None:
            watch = self._make_watch(self.plan.recipe.pool.stop_when, self._stop_by_limit)
            for work in works:
                work.on_end.append(watch)
        link_fallbacks(works, self.backends)
        for member in self.plan.members:
            if member.fallback is not None:
                lanes[member.name].fall_back_to(lanes[member.fallback])
        return list(lanes.values())

    def _open_account(self, now: float) -> Account | None:
        """The account of the recipe's budget, with what earlier starts have used; None where there is no budget."""
        budget = self.plan.recipe.budget
        if budget == Budget():
            return None
        spent = self.store.read_spent()
        members = dict(zip(self.keys, self.plan.members, strict=True))
        tokens, cost = 0, 0.0
        for key, each in spent.items():
            tokens += each.input_tokens + each.output_tokens
            cost += each.cost
            if key in members:  # where an answer does not say what it used, the estimate does
                unknown = guess_unknown(members[key])
                tokens += each.unknown_tokens * ((unknown.input_tokens or 0) + (unknown.output_tokens or 0))
                cost += each.unknown_cost * (compute_cost(unknown, members[key].price) or 0.0)
        counted = self.store.get_meta("account") or {"tokens": 0, "cost": 0.0}
        return Account(budget, tokens=max(tokens, counted["tokens"]), cost=max(cost, counted["cost"]), started=now)

    def _end_time(self) -> None:
        assert self._account is not None
        self._account.expire(asyncio.get_running_loop().time())
        self._stop_by_limit(self._account.exhausted)

    def _make_watch(self, stop_when: StopWhen, stop: Callable[[str], None]) -> Callable[[Cause | None], None]:
        count = FailureCount(stop_when)

        def watch(cause: Cause | None) -> None:
            if reason := count.note(cause):
                stop(reason)

        return watch

    def _stop_by_limit(self, reason: str) -> None:
        """Send nothing more since a limit of the recipe is reached."""
        self.limit = self.limit or reason
        self._stop_lanes()

    def _prepare_work(self) -> list[WorkList]:
        all_bases = register_bases(self.store, self.plan.members, self.backends, self.keys)
        free = release_answers(self.store, self.keys, all_bases)
        request_ids, pages = itertools.count(1), Pages(self.store)
        return [
            WorkList(
                member,
                self.store,
                key=key,
                bases=bases,
                free_answers=free,
                progress=progress,
                request_ids=request_ids,
                wall_time=self.wall_time,
                notify=self.notify,
                reader=self._reader,
                pages=pages,
            )
            for member, key, bases, progress in zip(self.plan.members, self.keys, all_bases, self.progress, strict=True)
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
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError) and is_cancelled():
            raise
        return f"its backend cannot be opened: {describe_error(error)}"
    return ""


async def _run_lane(lane: Lane, opening: asyncio.Task[str]) -> None:
    """Run a lane once its backend is open: one that is slow to open holds up no other."""
    await asyncio.wait([opening])
    if opening.cancelled():  # the run was stopped meanwhile
        lane.stop()
    elif problem := opening.result():
        lane.stop_member(problem)
    await lane.run()


async def _close(backend: Backend[Any]) -> str:
    """Close a backend. Returns what went wrong, empty if nothing did."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await backend.aclose()
    except TimeoutError:
        return f"the backend {backend.model} was not closed within {CLOSE_SECONDS:g} s"
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError) and is_cancelled():
            raise
        return f"the backend {backend.model} cannot be closed: {describe_error(error)}"
    return ""


def _note_durable(backend: Backend[Any]) -> str:
    """Tell a backend that its answers are durable. Returns what went wrong, empty if nothing did."""
    try:
        backend.note_durable()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a broken backend must not hold up the end of a run
        return f"the backend {backend.model} does not let go of what is done: {describe_error(error)}"
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


def _cap_pause(quota: Quota, most: float) -> Callable[[float], None]:
    """A pause that a server can ask for in an answer, and no longer than the recipe has patience."""
    return lambda seconds: quota.pause(min(seconds, most)) if seconds > 0 else None


def _find_first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
