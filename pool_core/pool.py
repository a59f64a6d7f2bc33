"""The Python interface: a pool that runs over rows, in scripts and in notebooks."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pool_core.data.layouts import Layout, arrange, list_names
from pool_core.data.records import read_generations, read_run_info
from pool_core.engine.loop import run_in_loop
from pool_core.engine.run import Engine
from pool_core.errors import PluginError, UsageError
from pool_core.interfaces.values import Row
from pool_core.job import STUCK_HINT, choose_run_dir, export, run_plan
from pool_core.plan.build import make_plan
from pool_core.plan.model import Plan
from pool_core.plan.rows import MemoryRows
from pool_core.recipe.load import load_recipe
from pool_core.recipe.models import Member, Output, PoolSpec, Recipe
from pool_core.registry import Registry, Selection
from pool_core.report.summary import RunSummary
from pool_core.store.store import Store

__all__ = ["Pool", "Result", "run_recipe"]

#: Interrupts that stop the engine, softly and at once; the next one leaves it behind.
_MOST_INTERRUPTS = 2
#: Seconds after which the thread that waits looks for signals: one that another thread has taken does not wake it,
#: such as that of a process that stood still.
_LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Result:
    """A run that has ended. Its answers stay in `run_dir`."""

    summary: RunSummary

    @property
    def run_dir(self) -> Path:
        return self.summary.folder

    def rows(self, layout: Layout = "nested", *, raw: bool = False) -> Iterator[dict[str, Any]]:
        """The merged records, streaming from the run directory; see `arrange` for the layouts.

        Raises:
            UsageError: there is no such layout.
        """
        if layout not in get_args(Layout):
            raise UsageError(f"there is no layout {layout!r}", hint=f"layouts: {', '.join(get_args(Layout))}")
        with Store.read(self.run_dir) as store:
            info = read_run_info(store)
            names = list_names(info.fields, raw=raw, fallbacks=info.fallbacks)
            yield from arrange(layout, read_generations(store, info, raw=raw), names)

    def export(self, path: str | Path, layout: Layout = "nested", *, registry: Registry | None = None) -> int:
        """Write the merged file; its ending chooses the writer. Returns the number of records."""
        with Store.read(self.run_dir) as store:
            output = Output(path=Path(path), layout=layout)
            return export(store, registry or Registry.discover(), output, Path.cwd())[1]


class Pool(PoolSpec):
    """Members that answer the same rows.

    ::

        pool = Pool(members=[Member(name="a", backend={"use": "simulate"}, task="text-generation")])
        result = pool.run([{"instruction": "Say hello."}])

    `run` works in a script and inside a running event loop alike; `arun` is for ``await``.
    """

    if TYPE_CHECKING:
        # what type checkers see, as of `Member`
        def __init__(self, *, members: Sequence[Member | Mapping[str, Any]], **settings: Any) -> None: ...

    def check(self, rows: Iterable[Row] | None = None, *, registry: Registry | None = None) -> Plan:
        """Resolve and judge the pool, contacting nothing. See `Plan.compatible` and `Plan.findings`.

        Raises:
            UsageError: ``rows`` are no collection, such as the path of a file.
            RecipeError, PluginError, RowsError: there is no plan.
        """
        return self._make_plan(rows, None, registry or Registry.discover())

    def run(
        self,
        rows: Iterable[Row],
        *,
        id_column: str | None = None,
        run_dir: str | Path = "runs/pool",
        registry: Registry | None = None,
    ) -> Result:
        """Ask every member what the assignment gives it, and wait for the end.

        Ctrl-C, or a notebook's stop button, lets what is in flight finish and returns an interrupted
        result; a second one stops at once, a third one no longer waits for that.

        Run again with the same ``run_dir``, after a stop or with other rows or members, it asks only
        what is not in the store.

        Raises:
            IncompatibleError: the members do not fit together; nothing was asked.
            UsageError, RecipeError, PluginError, RowsError, StoreError: it cannot start.
            PluginError: a plugin hangs in a call that cannot be ended; what was answered before is in ``run_dir``.
        """
        registry = registry or Registry.discover()
        plan = self._make_plan(rows, id_column, registry)
        return Result(_run_blocking(plan, registry, Path(run_dir)))

    async def arun(
        self,
        rows: Iterable[Row],
        *,
        id_column: str | None = None,
        run_dir: str | Path = "runs/pool",
        registry: Registry | None = None,
    ) -> Result:
        """`run` for a running event loop. Cancelling it stops the run; what was paid for is kept."""
        registry = registry or Registry.discover()
        plan = self._make_plan(rows, id_column, registry)
        return Result(await run_plan(plan, registry, Path(run_dir)))

    def _make_plan(self, rows: Iterable[Row] | None, id_column: str | None, registry: Registry) -> Plan:
        source = None if rows is None else MemoryRows(_list_rows(rows), id_column)
        return make_plan(Recipe(pool=self), registry, rows=source)


#: How a table that has columns gives its rows, by the method: pyarrow's, polars', pandas'.
_TABLE_ROWS = {"to_pylist": ".to_pylist()", "to_dicts": ".to_dicts()", "to_dict": '.to_dict("records")'}


def _list_rows(rows: Iterable[Row]) -> list[Row]:
    """The rows as a list. Raises `UsageError` where what was given is no collection of rows."""
    if hasattr(rows, "columns"):
        for method, call in _TABLE_ROWS.items():
            if hasattr(rows, method):
                kind = f"{type(rows).__module__.partition('.')[0]} {type(rows).__name__}"
                raise UsageError(f"the rows are a {kind}, not a list of mappings", hint=f"give `table{call}`")
    if not isinstance(rows, str | bytes | Mapping):
        with suppress(TypeError):  # it is nothing to go through
            rows = iter(rows)
        if isinstance(rows, Iterator):
            return list(rows)
    raise UsageError(
        f"the rows are a {type(rows).__name__}, not a list of mappings",
        hint='write them as [{"text": "x"}]; the rows of a file are read by a recipe, with `rows: FILE`, '
        "which `run_recipe` runs",
    )


def run_recipe(path: str | Path, *, run_dir: str | Path | None = None, registry: Registry | None = None) -> Result:
    """Run the recipe at ``path``, as ``pool run`` does, and wait for the end. Raises as `Pool.run`."""
    recipe, source = load_recipe(Path(path))
    if registry is None:
        registry = Registry.discover(Selection.parse(os.environ.get("POOL_PLUGINS"), recipe.plugins.block))
    plan = make_plan(recipe, registry, source)
    return Result(_run_blocking(plan, registry, Path(run_dir) if run_dir else choose_run_dir(Path(path))))


def _run_blocking(plan: Plan, registry: Registry, run_dir: Path) -> RunSummary:
    return _Job(plan, registry, run_dir).run()


class _Job:
    """One run, in an event loop and a thread of its own; the calling thread waits and can stop it."""

    def __init__(self, plan: Plan, registry: Registry, run_dir: Path) -> None:
        self._arguments = (plan, registry, run_dir)
        self._engine: Engine | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._interrupts = 0

    def run(self) -> RunSummary:
        # A future, as joining an interrupted thread is broken before Python 3.13: it counts as ended.
        ended: Future[RunSummary] = Future()
        over = threading.Event()
        ended.add_done_callback(lambda _: over.set())

        def give_up(message: str) -> None:
            """Leave the thread behind: it hangs in a call that cannot be ended."""
            ended.set_exception(PluginError(message, hint=STUCK_HINT))

        def work() -> None:
            with suppress(InvalidStateError):  # it was given up
                try:
                    ended.set_result(run_in_loop(run_plan(*self._arguments, watch=self._watch, give_up=give_up)))
                except BaseException as error:  # noqa: BLE001 - raised again in the calling thread
                    ended.set_exception(error)

        thread = threading.Thread(target=copy_context().run, args=(work,), name="pool-run", daemon=True)
        started = False
        while True:
            try:
                if not started:
                    started = True  # an interrupt may come while this thread waits for that one
                    thread.start()
                while not over.wait(_LOOK_SECONDS):
                    pass
                return ended.result()
            except BaseException as error:
                if ended.done():
                    raise
                self._stop()
                if not isinstance(error, KeyboardInterrupt) or self._interrupts > _MOST_INTERRUPTS:
                    raise

    def _watch(self, engine: Engine) -> AbstractAsyncContextManager[None]:
        self._engine, self._loop = engine, asyncio.get_running_loop()
        if self._interrupts:
            engine.stop()
        return nullcontext()

    def _stop(self) -> None:
        self._interrupts += 1
        if self._loop is not None and self._engine is not None:
            with suppress(RuntimeError):  # the loop has just ended, and the run with it
                self._loop.call_soon_threadsafe(self._engine.stop)
