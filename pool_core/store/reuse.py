"""Stored answers that may be used again: each serves one cell."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable

from pool_core.store.sealing import Value, is_intact, select

__all__ = ["FreeAnswers"]


class FreeAnswers:
    """The answers that no settled cell holds. Lives in the connection's temporary tables."""

    def __init__(self, connection: sqlite3.Connection, note_damage: Callable[[str, int], None]) -> None:
        self._execute = connection.execute
        self._executemany = connection.executemany
        self._note_damage = note_damage
        self._settled: frozenset[tuple[int, int]] = frozenset()

    def gather(self, settled: Iterable[tuple[int, int]]) -> int:
        """Gather them. A cell of a member that rests on a basis, both in ``settled``, keeps its answer.

        Returns:
            Their number.
        """
        self._settled = frozenset(settled)
        self._execute("DROP TABLE IF EXISTS temp.free_answers")
        self._execute("CREATE TEMP TABLE IF NOT EXISTS settled (member INTEGER, basis INTEGER)")
        self._execute("DELETE FROM settled")
        self._executemany("INSERT INTO settled VALUES (?, ?)", self._settled)
        self._execute("CREATE TEMP TABLE IF NOT EXISTS withheld (answer INTEGER PRIMARY KEY)")
        self._execute("DELETE FROM withheld")
        known = self._execute(select("withdrawn"))
        self._executemany("INSERT INTO withheld VALUES (?)", (record[:1] for record in known if self._check(record)))
        self._execute(
            "CREATE TEMP TABLE free_answers AS SELECT request, key FROM answers WHERE key NOT IN (SELECT answer "
            "FROM cells c JOIN settled s ON s.member = (c.key >> 8 & 65535) AND s.basis = c.basis "
            "WHERE answer IS NOT NULL UNION ALL SELECT answer FROM withheld)"
        )
        self._execute("CREATE INDEX temp.free_by_request ON free_answers (request)")
        return int(self._execute("SELECT count(*) FROM free_answers").fetchone()[0])

    def take(self, request: bytes, preferred: int | None) -> tuple[int, bytes] | None:
        """An answer to ``request`` and its key, ``preferred`` before others; it is not free any more."""
        while True:
            found = self._execute(
                "SELECT rowid, key FROM free_answers WHERE request = ? ORDER BY key = ? DESC, key LIMIT 1",
                (request, preferred or 0),
            ).fetchone()
            if found is None:
                return None
            rowid, key = found
            self._execute("DELETE FROM free_answers WHERE rowid = ?", (rowid,))
            record = self._execute(select("answers") + "WHERE key = ?", (key,)).fetchone()
            # the request was read from an index: the record has the last word
            if record is not None and is_intact("answers", record) and record[3] == request:
                return key, record[4]
            self._note_damage("answers", key)

    def release(self, cell: int, basis: int | None, answer: int | None) -> None:
        """Make the answer free that a damaged cell has kept from being gathered, unless another cell holds it."""
        if (cell >> 8 & 0xFFFF, basis) not in self._settled or not isinstance(answer, int):
            return
        self._execute(
            "INSERT INTO free_answers SELECT request, key FROM answers WHERE key = :answer "
            "AND NOT EXISTS (SELECT 1 FROM cells WHERE answer = :answer AND key != :cell) "
            "AND key NOT IN (SELECT answer FROM withheld)",
            {"answer": answer, "cell": cell},
        )

    def _check(self, record: tuple[Value, ...]) -> bool:
        intact = is_intact("withdrawn", record)
        if not intact:
            self._note_damage("withdrawn", int(record[0] or 0))
        return intact
