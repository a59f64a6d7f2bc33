"""The work of a lane: the cells of one member, from the store in pages, and back into it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

from pool_core.engine.events import CellFinished, MemberProgress
from pool_core.errors import BackendError, TemplateError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.encoding import decode_answer, decode_json, encode_answer, encode_json
from pool_core.interfaces.values import Answer, Cause, Outcome, Request, Row, Usage
from pool_core.plan.assign import WHEN_FAILED
from pool_core.plan.cells import collect_sampling, compute_key, make_prompt, read_answer
from pool_core.plan.model import PlannedMember
from pool_core.store.records import CellRecord, KnownCell, NewAnswer, StoredRow
from pool_core.store.schema import pack_cell
from pool_core.store.settled import count_settled
from pool_core.store.store import Store

__all__ = ["Cell", "WorkList"]

#: Rows that a lane reads at a time. Its memory is bounded by this and by what is in flight.
PAGE_ROWS = 256
#: Cells of a member from which on it is worth to ask first whether all of them are done.
MANY_CELLS = 10_000
#: A count of tokens stays below this: SQLite holds no larger whole number.
MOST_TOKENS = 1 << 63


@dataclass(slots=True)
class Cell:
    """A cell on its way through a lane."""

    key: int
    row_id: str
    row: Row
    sample: int
    known: KnownCell | None
    #: The member's condition cannot be evaluated for the row.
    condition_failed: bool = False
    request: Request | None = None
    request_key: bytes = b""
    attempts: int = 0
    #: Failed calls in a row that count against the member's attempts.
    failures: int = 0
    #: How often a server's rate limit has sent it back, and the seconds that it waited for that.
    waits: int = 0
    waited: float = 0.0
    #: When its first request was sent, on the loop's clock.
    started: float = 0.0


class WorkList:
    """Finds the cells that a member still has to do, and records how they end."""

    def __init__(
        self,
        member: PlannedMember,
        store: Store,
        *,
        key: int,
        basis: int | None,
        free_answers: int,
        progress: MemberProgress,
        request_ids: Iterator[int],
        wall_time: Callable[[], float],
        notify: Callable[[str, object], None] | None,
    ) -> None:
        self.member = member
        self.progress = progress
        self._store = store
        self._key = key
        self._basis = basis
        self._has_known = store.has_cells(key)
        self._free_answers = free_answers
        self._request_ids = request_ids
        self._wall_time = wall_time
        self._notify = notify
        self._position = -1
        self._ended = False
        self._pending: deque[Cell] = deque()
        if progress.total >= MANY_CELLS and basis is not None:
            self._settle_all([basis])

    def _settle_all(self, bases: Collection[int]) -> None:
        """Count all cells at once where none is left to do: reading a million to find that takes a minute."""
        settled = count_settled(self._store, self._key, bases)
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
        rows = self._store.read_rows(self._position, PAGE_ROWS)
        if not rows:
            self._ended = True
            return
        known: dict[int, KnownCell] = {}
        if self._has_known:
            known = self._store.read_known_cells(self._key, rows[0].position, rows[-1].position)
        for row in rows:
            self._note_cells(row, known)
        self._position = rows[-1].position

    def _note_cells(self, row: StoredRow, known: dict[int, KnownCell]) -> None:
        count = row.assigned[self.member.index]
        condition_failed = count == WHEN_FAILED
        values: Any = None
        for sample in range(1 if condition_failed else count):
            key = pack_cell(row.key, self._key, sample)
            cell = known.get(key)
            if cell is not None and self._is_settled(cell):
                self._count_settled(cell)
                continue
            if values is None:
                values = decode_json(row.data)
            self._pending.append(Cell(key, row.row_id, values, sample, cell, condition_failed))

    def _is_settled(self, cell: KnownCell) -> bool:
        """Whether the outcome stands: it rests on the member as it is, and on an answer that was paid for."""
        return self._basis is not None and cell.basis == self._basis and cell.answer is not None

    def _count_settled(self, cell: KnownCell) -> None:
        self.progress.reused += 1
        if cell.status == "ok":
            self.progress.ok += 1
        else:
            self.progress.failed[cell.cause] += 1

    def prepare(self, cell: Cell, backend: Backend[Any]) -> bool:
        """Make the cell's request. Returns False where the cell is finished without asking anything."""
        member = self.member
        try:
            if cell.condition_failed and member.when is not None:
                member.when.test(cell.row)
            prompt = make_prompt(member, cell.row)
            sampling = collect_sampling(member, cell.sample)
            body = backend.encode(prompt, sampling)
            cell.request_key = compute_key(backend.identity, body, cell.sample)
        except TemplateError as error:
            self.finish(cell, Outcome("failed", Cause.RENDER, str(error)))
            return False
        except BackendError as error:
            self.finish(cell, Outcome("failed", error.cause, str(error)))
            return False
        except Exception as error:  # noqa: BLE001 - a broken backend costs its cell, never the run
            broken = f"the backend {member.backend.name} cannot write the request: {type(error).__name__}: {error}"
            self.finish(cell, Outcome("failed", Cause.PLUGIN, broken))
            return False
        if self._reuse_answer(cell):
            return False
        cell.request = Request(next(self._request_ids), prompt, sampling, cell.sample, body, member.limits.timeout)
        return True

    def _reuse_answer(self, cell: Cell) -> bool:
        """Take a stored answer to this very request, if there is one."""
        if not self._free_answers and not self._store.damaged:  # a damaged cell gives its answer back
            return False
        found = self._store.take_answer(cell.request_key, cell.known.answer if cell.known else None)
        if found is None:
            return False
        key, body = found
        self._free_answers -= 1
        self.progress.reused += 1
        self.finish(cell, read_answer(self.member, decode_answer(body), cell.row), stored=key)
        return True

    def read_reply(self, cell: Cell, answer: Answer, *, latency: float, seconds: float) -> None:
        """End the cell with an answer that was just paid for.

        Args:
            latency: seconds from its request to the answer.
            seconds: seconds from the cell's first request to the answer.
        """
        usage = _read_usage(answer)
        self.progress.input_tokens += usage.input_tokens or 0
        self.progress.output_tokens += usage.output_tokens or 0
        try:
            body = encode_answer(answer)
        except Exception as error:  # noqa: BLE001 - a broken backend costs its cell, never the run
            name = self.member.backend.name
            broken = f"the answer of the backend {name} cannot be stored: {type(error).__name__}: {error}"
            self.finish(cell, Outcome("failed", Cause.PLUGIN, broken), seconds=seconds)
            return
        tokens = (usage.input_tokens, usage.output_tokens)
        paid = NewAnswer(self._wall_time(), latency, cell.request_key, body, self._key, *tokens)
        self.finish(cell, read_answer(self.member, answer, cell.row), paid=paid, seconds=seconds)

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
        outputs = None
        if outcome.outputs is not None:
            try:
                outputs = encode_json(outcome.outputs)
            except Exception as error:  # noqa: BLE001 - a broken task costs its cell, never the run
                broken = f"the output fields cannot be stored: {type(error).__name__}: {error}"
                outcome = Outcome("failed", Cause.SCHEMA, broken, answer=outcome.answer)
        outcome = replace(outcome, attempts=cell.attempts, seconds=seconds)
        usage = _read_usage(outcome.answer)
        record = CellRecord(
            cell.key,
            outcome.status,
            self._basis,
            stored,
            cell.attempts,
            seconds,
            usage.input_tokens,
            usage.output_tokens,
            outcome.cause or "",
            _make_storable(outcome.message),
            outputs,
        )
        self._store.writer.submit(record, paid)
        if outcome.status == "ok":
            self.progress.ok += 1
        else:
            self.progress.failed[str(outcome.cause)] += 1
        if self._notify is not None:
            self._notify("pool_cell_finished", CellFinished(cell.row_id, self.member.name, cell.sample, outcome))


def _read_usage(answer: Answer | None) -> Usage:
    """The tokens of an answer. What is no count, as a hostile server may send, counts as not said."""
    usage = answer.usage if answer is not None else None
    if not isinstance(usage, Usage):
        return Usage()
    counts = (
        count if isinstance(count, int) and 0 <= count < MOST_TOKENS else None
        for count in (usage.input_tokens, usage.output_tokens)
    )
    return Usage(*counts)


def _make_storable(text: str) -> str:
    """SQLite text is UTF-8: lone surrogates of a hostile reply become escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
