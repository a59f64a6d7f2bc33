"""What is in the file of a run: rows, cells and answers, each held against its checksum."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from pool_core.errors import StoreError
from pool_core.interfaces.encoding import decode_json, encode_json
from pool_core.store.faults import explain_errors, make_damage_error
from pool_core.store.ingest import IngestCount, ingest_rows
from pool_core.store.lock import RunLock
from pool_core.store.opening import CHECKED_SIZE, FILE, connect
from pool_core.store.records import CellRecord, KnownCell, Measured, NewRow, Spent, StoredRow
from pool_core.store.reuse import FreeAnswers
from pool_core.store.run_file import RunFile
from pool_core.store.sealing import COLUMNS, INSERTS, is_intact, seal, select
from pool_core.store.spent import sum_spent
from pool_core.store.writer import Writer

__all__ = ["Store"]

#: Rows whose outcomes are read by one statement, where they follow one another.
_PAGE_ROWS = 64
#: Above this, the key of a row leaves no room in a cell's.
_MOST_ROWS = 1 << 39
_CELL_COLUMNS = ", ".join(f"c.{name}" for name in (*COLUMNS["cells"], "checksum"))


class Store(RunFile):
    """The rows, answers and cells of one run; see `RunFile` for how it is opened.

    Every record is held against its checksum when it is read. One that is damaged is never used: its
    cell counts as not done, and `damaged` names it.
    """

    def __init__(self, folder: Path, connection: sqlite3.Connection, lock: RunLock | None) -> None:
        super().__init__(folder, connection, lock)
        self._free_answers = FreeAnswers(connection, self._note_damage)
        self.writer = Writer(lambda: connect(folder / FILE), str(folder))

    # What the run is about

    def set_meta(self, name: str, value: Any) -> None:
        """Keep a plain value under ``name``."""
        with self.write() as connection:
            connection.execute(INSERTS["meta"], seal("meta", (name, encode_json(value))))

    def get_meta(self, name: str) -> Any:
        """The value kept under ``name``, None where there is none."""
        for record in self.query(select("meta") + "WHERE name = ?", (name,)):
            if not is_intact("meta", record):
                raise make_damage_error(f"what it keeps as {name!r}", self.folder)
            return decode_json(record[1])
        return None

    def register_members(self, stage: str, names: Sequence[str]) -> list[int]:
        """The lasting key of each member of a stage, given on first sight."""
        found = dict(self.query("SELECT name, key FROM members WHERE stage = ?", (stage,)))
        with self.write():
            for name in names:
                if name not in found:
                    found[name] = self._insert_new("members", stage, name)
        return [found[name] for name in names]

    def register_basis(self, fingerprint: str | None) -> int | None:
        """The number of a fingerprint; None for one that is not known and so equals no other."""
        if fingerprint is None:
            return None
        for (key,) in self.query("SELECT key FROM bases WHERE fingerprint = ?", (fingerprint,)):
            return int(key)
        with self.write():
            return self._insert_new("bases", fingerprint)

    def _insert_new(self, table: str, *values: str) -> int:
        """Insert a record under the next key, which is returned."""
        key = int(self._connection.execute(f"SELECT coalesce(max(key), 0) + 1 FROM {table}").fetchone()[0])  # noqa: S608
        self._connection.execute(INSERTS[table], seal(table, (key, *values)))
        return key

    # Rows

    def ingest(self, rows: Iterable[NewRow], members: Sequence[int], name: str) -> IngestCount:
        """Make the rows equal to ``rows``; see `ingest_rows`. Raises `StoreError` where they cannot be written."""
        reassign = self.get_meta("members") != list(members)
        with explain_errors("the rows cannot be stored", self.folder):
            return ingest_rows(self._connection, rows, members, name=name, reassign=reassign)

    def read_members(self) -> list[tuple[int, str]]:
        """Key and name of each member, in the order of the rows' assignments."""
        names = dict(self.query("SELECT key, name FROM members"))
        return [(key, names[key]) for key in self.get_meta("members") or ()]

    def count_assigned(self) -> Iterator[tuple[bytes, int]]:
        """Each assignment that occurs, and how many rows have it. Raises `StoreError` where one is damaged."""
        members = len(self.get_meta("members") or ())
        for assigned, rows in self.query("SELECT assigned, count(*) FROM rows GROUP BY assigned"):
            if not isinstance(assigned, bytes) or len(assigned) != members:
                raise self._make_row_error("the assignment of a stored row is damaged")
            yield assigned, rows

    def read_rows(self, after: int = -1, limit: int = -1) -> list[StoredRow]:
        """Rows in input order whose position is beyond ``after``. Raises `StoreError` for a damaged one."""
        found = self.query(select("rows") + "WHERE position > ? ORDER BY position LIMIT ?", (after, limit))
        return [self._open_row(record) for record in found]

    def iterate_rows(self) -> Iterator[StoredRow]:
        """All rows in input order, streaming. Where the store may be written meanwhile, see `freeze`.

        Raises:
            StoreError: a row is damaged or missing.
        """
        total = self.get_meta("rows")
        count = 0
        with explain_errors("the store cannot be read", self.folder):
            for record in self._connection.execute(select("rows") + "ORDER BY position"):
                row = self._open_row(record)
                if row.position != count:
                    break
                count += 1
                yield row
        if total is not None and count != total:
            raise StoreError(
                f"the store is damaged: row {count + 1} of {total} is not there",
                where=str(self.folder),
                hint="run the recipe again, which reads it from the input, or `pool repair` to go on without it",
            )

    def find_row(self, row_id: str) -> StoredRow | None:
        """The row with this id. Raises `StoreError` if it is damaged."""
        for record in self.query(select("rows") + "WHERE row_id = ?", (row_id,)):
            return self._open_row(record)
        return None

    def _open_row(self, record: tuple[Any, ...]) -> StoredRow:
        if not self._check("rows", record):
            number = record[1] + 1 if isinstance(record[1], int) else "of unknown number"
            raise self._make_row_error(f"the stored row {number} is damaged")
        return StoredRow(*record[:-1])

    def _make_row_error(self, message: str) -> StoreError:
        hint = "run the recipe again: the row is read anew from the input, and stored answers are used"
        return StoreError(message, where=str(self.folder), hint=hint)

    # Cells and answers

    def measure_answers(self) -> dict[str, Measured]:
        """What the answers were like that each member has paid for, by its name."""
        found = self.query(
            "SELECT m.name, count(*), avg(a.seconds), count(a.output_tokens), total(a.output_tokens), "
            "total(1.0 * a.output_tokens * a.output_tokens) FROM answers a JOIN members m ON m.key = a.member "
            "GROUP BY m.name"
        )
        return {
            name: Measured(answers, seconds, told, total / max(told, 1), squares / max(told, 1))
            for name, answers, seconds, told, total, squares in found
        }

    def has_cells(self, member: int) -> bool:
        """Whether any cell of ``member`` has an outcome."""
        return bool(self.query("SELECT 1 FROM cells WHERE key >> 8 & 65535 = ? LIMIT 1", (member,)))

    def read_known_cells(self, member: int, first: int, last: int) -> dict[int, KnownCell]:
        """The outcomes of ``member`` for the rows at positions ``first`` to ``last``, by cell key."""
        found = self.query(
            f"SELECT {_CELL_COLUMNS} FROM rows r JOIN cells c "  # noqa: S608 - our own names
            "ON c.key BETWEEN (r.key << 24) + :first_cell AND (r.key << 24) + :first_cell + 255 "
            "WHERE r.position BETWEEN :first AND :last",
            {"first_cell": member << 8, "first": first, "last": last},
        )
        known = {}
        for record in found:
            key, status, basis, answer, *_ = record
            if self._check("cells", record):
                known[key] = KnownCell(status, record[8], basis, answer, record[11])
            else:
                self._free_answers.release(key, basis, answer)
        return known

    def read_cells(self, row: int) -> list[CellRecord]:
        """All outcomes of a row, in order of member and sample."""
        found = self.query(
            select("cells") + "WHERE key BETWEEN ? AND ? ORDER BY key", (row << 24, row << 24 | 0xFFFFFF)
        )
        return [CellRecord(*cell[:-1]) for cell in found if self._check("cells", cell)]

    def iterate_cells(self) -> Iterator[tuple[int, list[CellRecord]]]:
        """The outcomes of each row that has any, with its key, in the order of `iterate_rows`, streaming.

        Raises:
            StoreError: they cannot be read.
        """
        statement = select("cells") + "WHERE key BETWEEN ? AND ? ORDER BY key"
        with explain_errors("the store cannot be read", self.folder):
            rows = self._connection.execute("SELECT key FROM rows ORDER BY position")
            while keys := [key for (key,) in rows.fetchmany(_PAGE_ROWS)]:
                for first, last in _find_stretches(keys):
                    found = self._connection.execute(statement, (first << 24, last << 24 | 0xFFFFFF))
                    for row, cells in groupby(found, lambda cell: cell[0] >> 24):
                        yield row, [CellRecord._make(cell[:-1]) for cell in cells if self._check("cells", cell)]

    def read_cell(self, key: int) -> CellRecord | None:
        """The outcome of one cell; None where it has none."""
        for cell in self.query(select("cells") + "WHERE key = ?", (key,)):
            return CellRecord(*cell[:-1]) if self._check("cells", cell) else None
        return None

    def read_answer(self, key: int) -> bytes | None:
        """The stored answer with this key; None where it is damaged, or was given up for room."""
        for record in self.query(select("answers") + "WHERE key = ?", (key,)):
            return bytes(record[4]) or None if self._check("answers", record) else None
        self._note_damage("answers", key)
        return None

    def read_spent(self) -> dict[int, Spent]:
        """What was paid for over the run's whole life, by the key of the member that paid.

        Key 0 has the answers of which it is not known: those that are damaged, and those of files of version 1.
        """
        with explain_errors("the store cannot be read", self.folder):
            return sum_spent(
                self._connection, self._check, thorough=(self.folder / FILE).stat().st_size <= CHECKED_SIZE
            )

    def count_cells(self) -> list[tuple[int, str, str, int]]:
        """The number of outcomes by member, status and cause."""
        return self.query("SELECT key >> 8 & 65535, status, cause, count(*) FROM cells GROUP BY 1, 2, 3")

    def read_last_time(self) -> float | None:
        """When the last answer came, in seconds since 1970; None before the first."""
        with explain_errors("the store cannot be read", self.folder):
            for record in self._connection.execute(select("answers") + "ORDER BY key DESC"):
                if self._check("answers", record):
                    return float(record[1])
        return None

    def release_answers(self, settled: Iterable[tuple[int, int]]) -> int:
        """Gather the answers that no settled cell holds, for `take_answer`. Returns their number.

        ``settled`` has the member and basis of each member of the plan: a cell of that member that
        rests on that basis keeps its answer.
        """
        with explain_errors("the store cannot be read", self.folder):
            return self._free_answers.gather(settled)

    def take_answer(self, request: bytes, preferred: int | None) -> tuple[int, bytes] | None:
        """A gathered answer to ``request`` and its key; each is taken once, the cell's own one first."""
        with explain_errors("the store cannot be read", self.folder):
            return self._free_answers.take(request, preferred)


def _find_stretches(keys: Iterable[int]) -> Iterator[tuple[int, int]]:
    """First and last of each stretch of rows whose keys follow one another, in their order.

    A key that damage has made too small or too large for any cell is left out.
    """
    first = last = 0
    for key in keys:
        if not 0 < key < _MOST_ROWS:
            continue
        if first and key != last + 1:
            yield first, last
            first = 0
        first, last = first or key, key
    if first:
        yield first, last
