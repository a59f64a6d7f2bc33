"""Rows come in: new ones are added, changed ones lose their outcomes, missing ones go."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pool_core.errors import RowsError
from pool_core.interfaces.encoding import encode_json
from pool_core.store.records import NewRow
from pool_core.store.schema import CONDITION_FAILED
from pool_core.store.sealing import INSERTS, is_intact, seal, select

__all__ = ["IngestCount", "define_count_samples", "ingest_rows", "replace_rows"]

_MOST_DUPLICATES = 5

_FIND_ROW = select("rows") + "WHERE row_id = ?"


@dataclass(frozen=True, slots=True)
class IngestCount:
    """What an ingest did."""

    rows: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    #: Rows whose records had been damaged: their cells are done again, of stored answers where they can be.
    damaged: int = 0
    #: Whether everything is as it was: the rows, their order and their assignments.
    unchanged: bool = False


def ingest_rows(
    connection: sqlite3.Connection, rows: Iterable[NewRow], members: Sequence[int], *, name: str, reassign: bool
) -> IngestCount:
    """Make the store's rows equal to ``rows``, in one transaction: on an error nothing has changed.

    Args:
        members: the key of each member, in the order of `NewRow.assigned`.
        name: what messages call the input.
        reassign: the meaning of assignments has changed, so every cell is held against its row's.

    Raises:
        RowsError: two rows have one id; whatever reading ``rows`` raises passes through.
    """
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        return replace_rows(connection, rows, members, name=name, reassign=reassign)


def replace_rows(
    connection: sqlite3.Connection, rows: Iterable[NewRow], members: Sequence[int], *, name: str, reassign: bool
) -> IngestCount:
    """`ingest_rows` within the caller's transaction."""
    ingest = _Ingest(connection)
    for position, row in enumerate(rows):
        ingest.take(position, row)
        if len(ingest.duplicates) >= _MOST_DUPLICATES:
            break
    if ingest.duplicates:
        raise RowsError(
            "ids must be unique: " + "; ".join(ingest.duplicates),
            where=name,
            hint="choose another id column, or none: then a row's content identifies it",
        )
    count = ingest.finish(reassign=reassign)
    if reassign or ingest.reassigned or count.removed or count.damaged or 0 < count.added < count.rows:
        _drop_stale_cells(connection, members)
    # in the same transaction: without it nobody could tell whose the bytes of an assignment are
    for key, value in (("members", list(members)), ("rows", count.rows)):
        connection.execute(INSERTS["meta"], seal("meta", (key, encode_json(value))))
    return count


class _Ingest:
    """One pass over the input, within the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._damaged = _drop_damaged_end(connection)
        self._known, last = connection.execute("SELECT count(*), coalesce(max(key), 0) FROM rows").fetchone()
        #: The first key that a new row gets.
        self._first = self._next = last + 1
        # cells of a row that was lost: the next row to get its key must not get them too
        connection.execute("DELETE FROM cells WHERE key >= ?", (self._first << 24,))
        #: By key of a row that was there before, 1 if the input still has it.
        self._seen = bytearray(self._first)
        self._rows = self._changed = self._written = 0
        #: The assignment of a known row is another now.
        self.reassigned = False
        self.duplicates: list[str] = []

    def take(self, position: int, row: NewRow) -> None:
        """Store a row of the input, unless it is there as it should be."""
        self._rows += 1
        known = self._connection.execute(_FIND_ROW, (row.row_id,)).fetchone()
        if known is None:
            record = (self._next, position, row.row_id, row.assigned, row.data)
            self._connection.execute(INSERTS["rows"], seal("rows", record))
            self._next += 1
            return
        key, old_position, _, assigned, data, _ = known
        if key >= self._first or self._seen[key]:
            self.duplicates.append(f"{row.row_id!r} of {row.place} is that of row {old_position + 1} as well")
            return
        self._seen[key] = 1
        intact = is_intact("rows", known)
        if intact and (old_position, assigned, data) == (position, row.assigned, row.data):
            return
        self._written += 1
        self._damaged += not intact
        if data != row.data or not intact:
            self._changed += intact
            self._connection.execute("DELETE FROM cells WHERE key BETWEEN ? AND ?", (key << 24, key << 24 | 0xFFFFFF))
        self.reassigned = self.reassigned or assigned != row.assigned
        _update_row(self._connection, (key, position, row.row_id, row.assigned, row.data))

    def finish(self, *, reassign: bool) -> IngestCount:
        """Remove the rows that the input has no more."""
        removed = self._known - self._seen.count(1)
        if removed:
            known = self._connection.execute("SELECT key FROM rows WHERE key < ?", (self._first,))
            gone = [(key,) for (key,) in known if not self._seen[key]]
            self._connection.executemany("DELETE FROM rows WHERE key = ?", gone)
        added = self._next - self._first
        unchanged = not (reassign or added or removed or self._damaged or self._written)
        return IngestCount(self._rows, added, self._changed, removed, self._damaged, unchanged)


def _update_row(connection: sqlite3.Connection, record: tuple[int, int, str, bytes, bytes]) -> None:
    *_, checksum = seal("rows", record)
    key, *values = record
    connection.execute(
        "UPDATE rows SET position = ?, row_id = ?, assigned = ?, data = ?, checksum = ? WHERE key = ?",
        (*values, checksum, key),
    )


def _drop_damaged_end(connection: sqlite3.Connection) -> int:
    """Remove damaged rows at the end of the table: a key that has become too large would spoil those after it.

    They are read anew from the input. Returns their number.
    """
    last = select("rows") + "ORDER BY key DESC LIMIT 1"
    count = 0
    while (record := connection.execute(last).fetchone()) is not None and not is_intact("rows", record):
        connection.execute("DELETE FROM rows WHERE key = ?", record[:1])
        count += 1
    return count


def _drop_stale_cells(connection: sqlite3.Connection, members: Sequence[int]) -> None:
    """Remove the outcomes of cells that the assignment has no more. Their answers stay."""
    define_count_samples(connection, members)
    connection.execute(
        "DELETE FROM cells WHERE (key & 255) >= "
        "count_samples((SELECT assigned FROM rows WHERE rows.key = cells.key >> 24), cells.key >> 8 & 65535)"
    )


def define_count_samples(connection: sqlite3.Connection, members: Sequence[int]) -> None:
    """Let statements use ``count_samples``: of a row's assignment and a member's key, the number of its cells.

    Args:
        members: the key of each member, in the order of the assignment.
    """
    places = {member: place for place, member in enumerate(members)}

    def count_samples(assigned: bytes | None, member: int) -> int:
        place = places.get(member)
        if assigned is None or place is None:
            return 0
        return 1 if assigned[place] == CONDITION_FAILED else assigned[place]

    connection.create_function("count_samples", 2, count_samples, deterministic=True)
