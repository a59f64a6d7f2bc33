"""The work of a lane up to the first request: what a run would find in the store, and what it would ask."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pool_core.engine.cell import Cell
from pool_core.engine.events import MemberProgress
from pool_core.engine.pages import Pages
from pool_core.engine.reading import Reader
from pool_core.engine.work import WorkList
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.values import Outcome, Prompt
from pool_core.plan.model import PlannedMember
from pool_core.store.records import CellRecord, KnownCell, NewAnswer, StoredRow
from pool_core.store.store import Store

__all__ = ["Asked", "Failing", "Found", "Read", "RehearsedWork", "Settled"]

#: Why a cell is asked. ``new``: it has no outcome yet. ``unanswered``: it failed without an answer, or the answer
#: was withdrawn. ``changed``: no stored answer is one to the request that it makes now.
Why: TypeAlias = Literal["new", "unanswered", "changed"]


@dataclass(frozen=True, slots=True)
class Settled:
    """A cell that stands as it is."""

    row: StoredRow
    #: Key of its answer.
    answer: int
    #: Whether its own member answered, and no fallback.
    own: bool


@dataclass(frozen=True, slots=True)
class Read:
    """A cell whose stored answer is read again."""

    row_id: str
    sample: int
    prompt: Prompt
    #: What it would be, and what it is; None where it has no outcome yet.
    after: CellRecord
    before: CellRecord | None
    #: Tokens of the prompt, as its answer says; None where it does not.
    input_tokens: int | None


@dataclass(frozen=True, slots=True)
class Failing:
    """A cell that fails before anything is asked."""

    row_id: str
    message: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A cell that is asked."""

    prompt: Prompt
    why: Why


#: What becomes of a cell.
Found: TypeAlias = Settled | Read | Failing | Asked


class RehearsedWork(WorkList):
    """Does all that a run does for a member's cells until it would send or write, and tells instead."""

    def __init__(
        self, member: PlannedMember, store: Store, reader: Reader, key: int, bases: Mapping[int, int | None], free: int
    ) -> None:
        super().__init__(
            member,
            store,
            key=key,
            bases=bases,
            free_answers=free,
            progress=MemberProgress(member.name),
            request_ids=itertools.count(1),
            wall_time=lambda: 0.0,  # nothing is answered here, so nothing has a date
            notify=None,
            reader=reader,
            pages=Pages(store),
        )
        self._own_basis = bases[key]
        self._found: deque[Found] = deque()

    async def find(self, backend: Backend[Any]) -> AsyncIterator[Found]:
        """What becomes of each cell of the member."""
        while not self.ended:
            if self.needs_page:
                self.read_page()
            cell = self.take()
            if cell is not None and await self.prepare(cell, backend):
                assert cell.request is not None
                self._found.append(Asked(cell.request.prompt, _explain(cell)))
            while self._found:
                yield self._found.popleft()

    def _count_settled(self, cell: KnownCell, row: StoredRow) -> None:
        assert cell.answer is not None
        self._found.append(Settled(row, cell.answer, cell.basis == self._own_basis))

    def record(
        self, cell: Cell, outcome: Outcome, answered_by: int, paid: NewAnswer | None, stored: int | None, seconds: float
    ) -> None:
        if stored is None:
            self._found.append(Failing(cell.row_id, outcome.message))
            return
        assert cell.request is not None
        after, _ = self._make_record(cell, outcome, answered_by, stored, seconds)
        before = self._store.read_cell(cell.key) if cell.known is not None else None
        self._found.append(Read(cell.row_id, cell.sample, cell.request.prompt, after, before, after.input_tokens))


def _explain(cell: Cell) -> Why:
    if cell.known is None:
        return "new"
    return "unanswered" if cell.known.answer is None else "changed"
