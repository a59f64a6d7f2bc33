"""The progress of a run, drawn while it runs: a bar per member."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from pool_core.engine.events import MemberProgress

__all__ = ["show_progress"]

REFRESH_SECONDS = 0.2


@asynccontextmanager
async def show_progress(console: Console, members: Sequence[MemberProgress]) -> AsyncIterator[None]:
    """Draw a bar per member until the block ends. Nothing is drawn where the console is no terminal."""
    if not console.is_terminal:
        yield
        return
    bars = Progress(
        TextColumn("{task.fields[name]}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}", markup=False),
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


async def _refresh_forever(bars: Progress, tasks: Sequence[TaskID], members: Sequence[MemberProgress]) -> None:
    while True:
        _refresh(bars, tasks, members)
        await asyncio.sleep(REFRESH_SECONDS)


def _refresh(bars: Progress, tasks: Sequence[TaskID], members: Sequence[MemberProgress]) -> None:
    for task, member in zip(tasks, members, strict=True):
        bars.update(task, completed=member.done, state=_describe(member))
    bars.refresh()


def _describe(member: MemberProgress) -> str:
    parts = [f"{member.in_flight} in flight"]
    if member.failed:
        parts.append(f"{member.failed.total()} failed")
    if member.retries:
        parts.append(f"{member.retries} retries")
    if member.stopped:
        parts = ["stopped"]
    return ", ".join(parts)
