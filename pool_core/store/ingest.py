"""Rows come in: new ones are added, changed ones lose their outcomes, missing ones go."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from pool_core.errors import RowsError
from pool_core.interfaces.encoding import encode_json
from pool_core.store.records import NewRow

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
        number = connection.execute("SELECT coalesce(max(ingest), 0) + 1 FROM rows").fetchone()[0]
        added = changed = count = 0
        duplicates: list[str] = []
        for position, row in enumerate(rows):
            count += 1
            digest = blake2b(row.data, digest_size=16).digest()
            known = connection.execute(
                "SELECT key, position, ingest, assigned, digest FROM rows WHERE row_id = ?", (row.row_id,)
            ).fetchone()
            if known is None:
                added += 1
                connection.execute(
                    "INSERT INTO rows (position, row_id, ingest, assigned, digest, data) VALUES (?, ?, ?, ?, ?, ?)",
                    (position, row.row_id, number, row.assigned, digest, row.data),
                )
                continue
            key, old_position, last_seen, assigned, old_digest = known
            if last_seen == number:
                duplicates.append(f"{row.row_id!r} of {row.place} is that of row {old_position + 1} as well")
                if len(duplicates) >= _MOST_DUPLICATES:
                    break
                continue
            if digest != old_digest:
                changed += 1
                connection.execute("DELETE FROM cells WHERE key BETWEEN ? AND ?", (key << 24, (key << 24) | 0xFFFFFF))
            reassign = reassign or assigned != row.assigned
            connection.execute(
                "UPDATE rows SET position = ?, ingest = ?, assigned = ?, digest = ?, data = ? WHERE key = ?",
                (position, number, row.assigned, digest, row.data, key),
            )
        if duplicates:
            raise RowsError(
                "ids must be unique: " + "; ".join(duplicates),
                where=name,
                hint="choose another id column, or none: then a row's content identifies it",
            )
        removed = connection.execute("DELETE FROM rows WHERE ingest < ?", (number,)).rowcount
        if reassign or removed:
            _drop_stale_cells(connection, members)
        # in the same transaction: without it nobody could tell whose the bytes of an assignment are
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('members', ?)", (encode_json(list(members)),))
    return IngestCount(count, added, changed, removed)


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
