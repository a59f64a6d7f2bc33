"""A run rehearsed: all that it would find in its directory and all that it would ask, with nothing sent or kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pool_core.data.identify import identify_rows
from pool_core.engine.bases import register_bases, release_answers
from pool_core.engine.reading import Reader
from pool_core.engine.recording import read_usage
from pool_core.engine.rehearsal import Found, RehearsedWork, Settled
from pool_core.engine.run import build_backend
from pool_core.engine.work import link_fallbacks
from pool_core.errors import RecipeError, TemplateError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.encoding import decode_answer, decode_json
from pool_core.interfaces.values import Prompt
from pool_core.plan.cells import format_prompt
from pool_core.plan.model import Plan, PlannedMember
from pool_core.store.ingest import IngestCount
from pool_core.store.records import Measured, NewRow
from pool_core.store.rehearsal import DropReason, Rehearsal
from pool_core.watchdog import Watchdog

__all__ = ["Account", "Rehearsed", "rehearse_run"]

#: The stage's name in the store.
STAGE = "pool"

#: Settled cells of a member whose prompts are made again, to tell how many tokens such prompts have.
_MOST_WEIGHED = 512


class Account(Protocol):
    """Takes in what becomes of a member's cells."""

    def add(self, found: Found) -> None:
        """Take in what becomes of one cell."""

    @property
    def requests(self) -> int:
        """Cells that are asked, among those that were added."""

    def weigh(self, prompt: Prompt, input_tokens: int | None) -> None:
        """Take in how many tokens a settled cell's prompt had, None where its answer does not say it."""


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What a rehearsal tells beside what became of the cells."""

    rows: IngestCount
    #: Whether rows that were there before stand in another order.
    reordered: bool
    backends: Sequence[Backend[Any]]
    #: Outcomes whose cells there are no more, by the name of the member and the reason.
    dropped: Mapping[tuple[str, DropReason], int]
    #: What the stored answers of each member were like, by its name.
    measured: Mapping[str, Measured]
    #: What the last run was made of, as it noted it; None where it did not, or there is none.
    parts: Any
    #: Whether there was a run.
    found: bool


def rehearse_run(
    plan: Plan,
    run_dir: Path,
    accounts: Callable[[PlannedMember], Account],
    *,
    watch: Callable[[int], None] | None = None,
) -> Rehearsed:
    """Do what a run of ``plan`` would do up to its requests, and let the account of each member take it in.

    Args:
        run_dir: the run's directory; it is only read, and another process may be at work in it.
        accounts: makes the account of a member.
        watch: called with the number of rows after each that was read.

    Raises:
        RecipeError: the recipe has no rows.
        RowsError, PluginError, StoreError: the rows, a plugin or the run cannot be used.
    """
    return asyncio.run(_rehearse(plan, run_dir, accounts, watch))


async def _rehearse(
    plan: Plan,
    run_dir: Path,
    accounts: Callable[[PlannedMember], Account],
    watch: Callable[[int], None] | None,
) -> Rehearsed:
    if plan.rows is None:
        raise RecipeError("the recipe has no rows", hint="write `rows: FILE`, or give --rows FILE")
    backends = [build_backend(member) for member in plan.members]
    with Rehearsal.read(run_dir) as store, Watchdog() as watchdog:
        measured, parts = store.measure_answers(), store.get_meta("parts")
        keys = store.register_members(STAGE, [member.name for member in plan.members])
        rows = identify_rows(plan) if watch is None else _watch(identify_rows(plan), watch)
        counted = store.ingest(rows, keys, plan.rows.name)
        all_bases = register_bases(store, plan.members, backends, keys)
        free = release_answers(store, keys, all_bases)
        reader = Reader(plan, watchdog)
        try:
            works = [
                RehearsedWork(member, store, reader, key, bases, free)
                for member, key, bases in zip(plan.members, keys, all_bases, strict=True)
            ]
            link_fallbacks(works, backends)
            for member, work, backend in zip(plan.members, works, backends, strict=True):
                await _walk(member, work, backend, reader, store, accounts(member))
        finally:
            reader.close()
        names = dict(store.query("SELECT key, name FROM members"))
        dropped = {(names[key], reason): count for (key, reason), count in store.count_dropped(keys).items()}
        return Rehearsed(counted, store.find_reordered(), backends, dropped, measured, parts, not store.is_new)


async def _walk(
    member: PlannedMember,
    work: RehearsedWork,
    backend: Backend[Any],
    reader: Reader,
    store: Rehearsal,
    account: Account,
) -> None:
    settled: list[Settled] = []
    async for found in work.find(backend):
        account.add(found)
        if isinstance(found, Settled) and found.own and len(settled) < _MOST_WEIGHED:
            settled.append(found)
    for cell in settled if account.requests else ():
        answer = store.read_answer(cell.answer)
        with suppress(TemplateError):  # the row made a prompt once, and only figures rest on it here
            prompt = format_prompt(member, await reader.render(member, decode_json(cell.row.data)))
            account.weigh(prompt, None if answer is None else read_usage(decode_answer(answer)).input_tokens)


def _watch(rows: Iterable[NewRow], watch: Callable[[int], None]) -> Iterator[NewRow]:
    for number, row in enumerate(rows, start=1):
        yield row
        watch(number)
