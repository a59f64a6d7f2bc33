"""Rows come in: new ones are added, changed ones lose their outcomes, missing ones go."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pool_core.errors import RowsError
from pool_core.interfaces.encoding import encode_json
from pool_core.store.records import NewRow
from pool_core.store.sealing import INSERTS, is_intact, seal, select

__all__ = ["IngestCount", "ingest_rows"]

#: In a row's assignment: the member's condition failed; one failed cell stands for it.
_CONDITION_FAILED = 255
_MOST_DUPLICATES = 5


@dataclass(frozen=True, slots=True)
class IngestCount:
    """What an ingest did."""

    rows: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    #: Rows whose records had been damaged: their cells are done again, of stored answers where they can be.
    damaged: int = 0


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
        lost = _drop_damaged_end(connection)
        old_count, first_new = connection.execute("SELECT count(*), coalesce(max(key), 0) + 1 FROM rows").fetchone()
        # cells of a row that was lost: the next row to get its key must not get them too
        connection.execute("DELETE FROM cells WHERE key >= ?", (first_new << 24,))
        seen = bytearray(first_new)  # by key of an old row, 1 if the input still has it
        next_key = first_new
        changed = damaged = count = 0
        duplicates: list[str] = []
        for position, row in enumerate(rows):
            count += 1
            known = connection.execute(select("rows") + "WHERE row_id = ?", (row.row_id,)).fetchone()
            if known is None:
                record = (next_key, position, row.row_id, row.assigned, row.data)
                connection.execute(INSERTS["rows"], seal("rows", record))
                next_key += 1
                continue
            key, old_position, _, assigned, data, _ = known
            if key >= first_new or seen[key]:
                duplicates.append(f"{row.row_id!r} of {row.place} is that of row {old_position + 1} as well")
                if len(duplicates) >= _MOST_DUPLICATES:
                    break
                continue
            seen[key] = 1
            intact = is_intact("rows", known)
            if intact and (old_position, assigned, data) == (position, row.assigned, row.data):
                continue
            damaged += not intact
            if data != row.data or not intact:
                changed += intact
                connection.execute("DELETE FROM cells WHERE key BETWEEN ? AND ?", (key << 24, (key << 24) | 0xFFFFFF))
            reassign = reassign or assigned != row.assigned
            _update_row(connection, (key, position, row.row_id, row.assigned, row.data))
        if duplicates:
            raise RowsError(
                "ids must be unique: " + "; ".join(duplicates),
                where=name,
                hint="choose another id column, or none: then a row's content identifies it",
            )
        removed = old_count - seen.count(1)
        if removed:
            _remove_rows(connection, seen)
        added = next_key - first_new
        damaged += lost
        if reassign or removed or damaged or 0 < added < count:
            _drop_stale_cells(connection, members)
        # in the same transaction: without it nobody could tell whose the bytes of an assignment are
        connection.execute(INSERTS["meta"], seal("meta", ("members", encode_json(list(members)))))
    return IngestCount(count, added, changed, removed, damaged)


def _update_row(connection: sqlite3.Connection, record: tuple[int, int, str, bytes, bytes]) -> None:
    *_, checksum = seal("rows", record)
    key, *values = record
    connection.execute(
        "UPDATE rows SET position = ?, row_id = ?, assigned = ?, data = ?, checksum = ? WHERE key = ?",
        (*values, checksum, key),
    )


def _remove_rows(connection: sqlite3.Connection, seen: bytearray) -> None:
    """Remove the rows that the input has no more."""
    known = connection.execute("SELECT key FROM rows WHERE key < ?", (len(seen),))
    gone = [key for (key,) in known if not seen[key]]
    connection.executemany("DELETE FROM rows WHERE key = ?", ((key,) for key in gone))


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
    places = {member: place for place, member in enumerate(members)}

    def count_samples(assigned: bytes | None, member: int) -> int:
        place = places.get(member)
        if assigned is None or place is None:
            return 0
        return 1 if assigned[place] == _CONDITION_FAILED else assigned[place]

    connection.create_function("count_samples", 2, count_samples, deterministic=True)
    connection.execute(
        "DELETE FROM cells WHERE (key & 255) >= "
        "count_samples((SELECT assigned FROM rows WHERE rows.key = cells.key >> 24), cells.key >> 8 & 65535)"
    )
