"""The progress of a run, drawn while it runs: a bar per member."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.constrain import Constrain
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from pool_core.engine.events import MemberProgress

__all__ = ["show_progress"]

REFRESH_SECONDS = 0.2
#: Columns left free at the right, where the terminal writes ``^C``. In a full line it would start a new one.
MARGIN = 5
LONGEST_NAME = 24


@asynccontextmanager
async def show_progress(console: Console, members: Sequence[MemberProgress]) -> AsyncIterator[None]:
    """Draw a bar per member until the block ends. Nothing is drawn where the console is no terminal."""
    if not console.is_terminal:
        yield
        return
    bars = _Bars(
        TextColumn(
            "{task.fields[name]}",
            markup=False,
            table_column=Column(no_wrap=True, overflow="ellipsis", max_width=LONGEST_NAME),
        ),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
        TimeRemainingColumn(),
        console=console,
        auto_refresh=False,
    )
    with bars:
        tasks = [bars.add_task("", total=member.total, name=member.name, state="") for member in members]
        refresher = asyncio.ensure_future(_refresh_forever(bars, tasks, members))
        try:
            yield
        finally:
            refresher.cancel()
            _refresh(bars, tasks, members)


class _Bars(Progress):
    """Bars that never fill the last columns of the terminal."""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield _Margin(self.make_tasks_table(self.tasks))


@dataclass(frozen=True, slots=True)
class _Margin:
    """Draws ``inner`` in what is left of the width."""

    inner: Table

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        yield Constrain(self.inner, max(1, options.max_width - MARGIN))


async def _refresh_forever(bars: Progress, tasks: Sequence[TaskID], members: Sequence[MemberProgress]) -> None:
    while True:
        _refresh(bars, tasks, members)
        await asyncio.sleep(REFRESH_SECONDS)


def _refresh(bars: Progress, tasks: Sequence[TaskID], members: Sequence[MemberProgress]) -> None:
    for task, member in zip(tasks, members, strict=True):
        bars.update(task, completed=member.done, state=_describe(member))
    bars.refresh()


def _describe(member: MemberProgress) -> str:
    """What matters most first: a narrow terminal shows only the start."""
    parts = ["stopped"] if member.stopped else []
    if member.failed:
        parts.append(f"{member.failed.total()} failed")
    if member.in_flight:
        parts.append(f"{member.in_flight} in flight")
    if member.retries:
        parts.append(f"{member.retries} retries")
    return ", ".join(parts)
