"""The work of a lane: the cells of one member, from the store in pages, and back into it."""

from __future__ import annotations

from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pool_core.engine.cell import Cell
from pool_core.engine.events import CellFinished, MemberProgress
from pool_core.engine.pages import Pages
from pool_core.engine.reading import Reader
from pool_core.engine.recording import make_record, read_usage
from pool_core.errors import BackendError, PluginError, TemplateError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.encoding import decode_answer, decode_json, encode_answer
from pool_core.interfaces.values import Answer, Cause, Outcome, Request
from pool_core.plan.assign import WHEN_FAILED
from pool_core.plan.cells import collect_sampling, compute_key
from pool_core.plan.model import PlannedMember
from pool_core.plan.prices import compute_cost
from pool_core.plan.reask import count_reasks, extend_prompt
from pool_core.store.records import CellRecord, KnownCell, NewAnswer, StoredRow
from pool_core.store.schema import pack_cell
from pool_core.store.settled import count_settled
from pool_core.store.store import Store

__all__ = ["WorkList", "link_fallbacks"]

#: Cells of a member from which on it is worth to ask first whether all of them are done.
MANY_CELLS = 10_000


class WorkList:
    """Finds the cells that a member still has to do, and records how they end."""

    def __init__(
        self,
        member: PlannedMember,
        store: Store,
        *,
        key: int,
        bases: Mapping[int, int | None],
        free_answers: int,
        progress: MemberProgress,
        request_ids: Iterator[int],
        wall_time: Callable[[], float],
        notify: Callable[[str, object], None] | None,
        reader: Reader,
        pages: Pages,
    ) -> None:
        """Make the list of one member.

        Args:
            key: the member's key in the store.
            bases: what an outcome rests on, by the key of the member that answered: this one or a fallback.
            free_answers: stored answers that no cell holds.
        """
        self.member = member
        self.progress = progress
        self.key = key
        self._store = store
        self._bases = bases
        self._known_bases = frozenset(basis for basis in bases.values() if basis is not None)
        self._has_known = store.has_cells(key)
        self._free_answers = free_answers
        self._request_ids = request_ids
        self._wall_time = wall_time
        self._notify = notify
        self._reader = reader
        self._pages = pages
        #: By key, the members that take this one's cells over, with their backends.
        self.fallbacks: dict[int, tuple[WorkList, Backend[Any]]] = {}
        #: Told of the end of each cell, with its cause if it failed.
        self.on_end: list[Callable[[Cause | None], None]] = []
        self._position = -1
        self._ended = False
        self._pending: deque[Cell] = deque()
        if progress.total >= MANY_CELLS and self._known_bases:
            self._settle_all(self._known_bases)

    def _settle_all(self, bases: Collection[int]) -> None:
        """Count all cells at once where none is left to do: reading a million to find that takes a minute."""
        settled = count_settled(self._store, self.key, bases)
        if settled is None:
            return
        self._ended = True
        self.progress.reused += settled.total()
        for (status, cause), count in settled.items():
            if status == "ok":
                self.progress.ok += count
            else:
                self.progress.failed[cause] += count

    @property
    def ended(self) -> bool:
        """Whether every cell was handed out."""
        return self._ended and not self._pending

    @property
    def needs_page(self) -> bool:
        """Whether nothing is left of the pages that were read, and more may follow."""
        return not self._ended and not self._pending

    @property
    def unwritten(self) -> int:
        """Outcomes of all lanes that are not durable yet."""
        return self._store.writer.pending

    def take(self) -> Cell | None:
        """A cell of the pages that were read; None when another page is needed or nothing is left."""
        return self._pending.popleft() if self._pending else None

    def read_page(self) -> None:
        """Read the next rows and note their unfinished cells."""
        rows = self._pages.read(self._position)
        if not rows:
            self._ended = True
            return
        known: dict[int, KnownCell] = {}
        if self._has_known:
            known = self._store.read_known_cells(self.key, rows[0].position, rows[-1].position)
        for row in rows:
            self._note_cells(row, known)
        self._position = rows[-1].position

    def _note_cells(self, row: StoredRow, known: dict[int, KnownCell]) -> None:
        count = row.assigned[self.member.index]
        condition_failed = count == WHEN_FAILED
        values: Any = None
        for sample in range(1 if condition_failed else count):
            key = pack_cell(row.key, self.key, sample)
            cell = known.get(key)
            if cell is not None and self._is_settled(cell):
                self._count_settled(cell, row)
                continue
            if values is None:
                values = decode_json(row.data)
            self._pending.append(Cell(key, row.row_id, values, sample, cell, self, condition_failed))

    def _is_settled(self, cell: KnownCell) -> bool:
        """Whether the outcome stands: it rests on the member as it is, and on an answer that was paid for."""
        return cell.basis in self._known_bases and cell.answer is not None

    def _count_settled(self, cell: KnownCell, _row: StoredRow) -> None:
        self.progress.reused += 1
        if cell.status == "ok":
            self.progress.ok += 1
        else:
            self.progress.failed[cell.cause] += 1

    async def prepare(self, cell: Cell, backend: Backend[Any]) -> bool:
        """Make the cell's request. Returns False where the cell is finished without asking anything.

        Raises:
            PluginError: no call of the task can work. The cell is not finished.
        """
        if cell.known is not None and await self._reuse_fallback(cell):
            return False
        finished, failure = await self._use_stored(cell, backend)
        if failure is not None:
            self.finish(cell, failure)
        return not finished and failure is None

    async def _use_stored(self, cell: Cell, backend: Backend[Any]) -> tuple[bool, Outcome | None]:
        """Finish the cell with stored answers, where there are some to its requests.

        Returns:
            Whether it is finished; and why its next request cannot be written, None where it is ready.
        """
        while (failure := await self._write_request(cell, backend)) is None:
            stored = self._take_answer(cell)
            if stored is None:
                return False, None
            key, answer = stored
            outcome = await self._reader.read_answer(self.member, answer, cell.row)
            if not self._extend(cell, answer, outcome):
                self.progress.reused += 1
                self.finish(cell, outcome, stored=key)
                return True, None
        return False, failure

    async def _reuse_fallback(self, cell: Cell) -> bool:
        """Finish a cell that its fallback has answered, if that answer still is one to what would be asked now.

        Where the members' configurations are known to be the same, such a cell is settled and does not come here.
        """
        known = cell.known
        if cell.home is not self or known is None or known.answer is None or cell.prompt is not None:
            return False
        if known.answered_by not in self.fallbacks:
            return False
        fallback, backend = self.fallbacks[known.answered_by]
        finished, _ = await fallback._use_stored(cell, backend)  # noqa: SLF001 - another list of this class
        if not finished:
            cell.restart()
        return finished

    async def _write_request(self, cell: Cell, backend: Backend[Any]) -> Outcome | None:
        """Write what is to be sent. Returns how the cell fails where it cannot be written."""
        member = self.member
        try:
            if cell.prompt is None:
                if cell.condition_failed and member.when is not None:
                    member.when.test(cell.row)
                cell.prompt = await self._reader.render(member, cell.row)
            prompt = self._reader.format(member, cell.prompt)
            sampling = collect_sampling(member, cell.sample)
            body = backend.encode(prompt, sampling)
            cell.request_key = compute_key(backend.identity, body, cell.sample, cell.ask)
        except TemplateError as error:
            return Outcome("failed", Cause.RENDER, str(error))
        except BackendError as error:
            return Outcome("failed", error.cause, str(error))
        except PluginError:
            raise
        except Exception as error:  # noqa: BLE001 - a broken backend costs its cell, never the run
            broken = f"the backend {member.backend.name} cannot write the request: {type(error).__name__}: {error}"
            return Outcome("failed", Cause.PLUGIN, broken)
        number, seconds = next(self._request_ids), member.limits.timeout
        cell.request = Request(number, prompt, sampling, cell.sample, body, seconds, cell.request_key)
        return None

    def _take_answer(self, cell: Cell) -> tuple[int, Answer] | None:
        """A stored answer to this very request that no cell holds, and its key."""
        if not self._free_answers and not self._store.damaged:  # a damaged cell gives its answer back
            return None
        found = self._store.take_answer(cell.request_key, cell.known.answer if cell.known else None)
        if found is None:
            return None
        self._free_answers -= 1
        return found[0], decode_answer(found[1])

    def _extend(self, cell: Cell, answer: Answer, outcome: Outcome) -> bool:
        """Turn to the cell's next request where its answer gave nothing and it may be asked again."""
        if outcome.cause is None or cell.ask >= count_reasks(self.member, outcome.cause):
            return False
        assert cell.prompt is not None
        cell.prompt = extend_prompt(self.member, cell.prompt, answer, outcome.cause, outcome.message)
        cell.ask += 1
        cell.request = None
        return True

    async def read_reply(self, cell: Cell, answer: Answer, *, latency: float, seconds: float) -> bool:
        """Keep an answer that was just paid for. Returns whether it ends the cell; if not, the cell is asked again.

        Args:
            latency: seconds from its request to the answer.
            seconds: seconds from the cell's first request to the answer.
        """
        try:
            paid = self._make_paid(cell, answer, latency)
        except Exception as error:  # noqa: BLE001 - a broken backend costs its cell, never the run
            name = self.member.backend.name
            broken = f"the answer of the backend {name} cannot be stored: {type(error).__name__}: {error}"
            self.finish(cell, Outcome("failed", Cause.PLUGIN, broken), seconds=seconds)
            return True
        try:
            outcome = await self._reader.read_answer(self.member, answer, cell.row)
        except (PluginError, CancelledError):
            self._store.writer.submit_answer(paid)  # it is kept, and the next run reads it
            raise
        if self._extend(cell, answer, outcome):
            self.progress.reasks += 1
            self._store.writer.submit_answer(paid)
            return False
        self.finish(cell, outcome, paid=paid, seconds=seconds)
        return True

    def keep_spare(self, cell: Cell, answer: Answer, latency: float) -> None:
        """Keep a second answer to one request: it was paid for as well. Raises `StoreError`."""
        try:
            paid = self._make_paid(cell, answer, latency)
        except Exception:  # noqa: BLE001 - what cannot be encoded is of a broken backend, and spare
            return
        self._store.writer.submit_answer(paid)

    def _make_paid(self, cell: Cell, answer: Answer, latency: float) -> NewAnswer:
        """The record of an answer; its tokens are counted. Raises what encoding it raises."""
        body = encode_answer(answer)
        usage = read_usage(answer)
        self.progress.input_tokens += usage.input_tokens or 0
        self.progress.output_tokens += usage.output_tokens or 0
        cost = compute_cost(usage, self.member.price)
        if cost is not None:
            self.progress.cost = (self.progress.cost or 0.0) + cost
        tokens = (usage.input_tokens, usage.output_tokens)
        return NewAnswer(self._wall_time(), latency, cell.request_key, body, self.key, *tokens, cost)

    def finish(
        self,
        cell: Cell,
        outcome: Outcome,
        *,
        paid: NewAnswer | None = None,
        stored: int | None = None,
        seconds: float = 0.0,
    ) -> None:
        """Record how the cell ended. Raises `StoreError` if nothing can be written any more."""
        cell.home.record(cell, outcome, self.key, paid, stored, seconds)

    def record(
        self, cell: Cell, outcome: Outcome, answered_by: int, paid: NewAnswer | None, stored: int | None, seconds: float
    ) -> None:
        """Record how a cell of this list ended. ``answered_by`` is the key of the member that ran it."""
        record, outcome = self._make_record(cell, outcome, answered_by, stored, seconds)
        self._store.writer.submit(record, paid)
        if outcome.status == "ok":
            self.progress.ok += 1
        else:
            self.progress.failed[str(outcome.cause)] += 1
        if answered_by != self.key:
            self.progress.taken_over += 1
        for tell in self.on_end:
            tell(outcome.cause)
        if self._notify is not None:
            outcome = replace(outcome, attempts=cell.attempts, seconds=seconds)
            self._notify("pool_cell_finished", CellFinished(cell.row_id, self.member.name, cell.sample, outcome))

    def _make_record(
        self, cell: Cell, outcome: Outcome, answered_by: int, stored: int | None, seconds: float
    ) -> tuple[CellRecord, Outcome]:
        other = answered_by if answered_by != self.key else None
        return make_record(cell, outcome, self._bases[answered_by], other, stored, seconds)


def link_fallbacks(works: Sequence[WorkList], backends: Sequence[Backend[Any]]) -> None:
    """Let each member's list know those of the members that take its cells over, one after the other."""
    by_name = {work.member.name: (work, backend) for work, backend in zip(works, backends, strict=True)}
    for work in works:
        name = work.member.fallback
        while name is not None:
            other, backend = by_name[name]
            work.fallbacks[other.key] = other, backend
            name = other.member.fallback
