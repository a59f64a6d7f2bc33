"""Answers that SQLite has given up are put back: of the torn end of its log, and of broken pages."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from pool_core.store.migrations import read_version
from pool_core.store.pages import AnswerRecord, read_answers
from pool_core.store.schema import SCHEMA_VERSION
from pool_core.store.sealing import INSERTS, seal

__all__ = ["insert_answers", "read_torn_log"]


def read_torn_log(connection: sqlite3.Connection, path: Path) -> list[AnswerRecord]:
    """The answers in that part of the log which SQLite does not take up.

    SQLite goes by the log up to the first frame that is torn or damaged and drops all that follows, as the
    answers of a commit that did not come to its end. They were paid for.

    Must be called before anything is written through ``connection``: that overwrites the log.
    """
    _, taken, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    is_new = read_version(connection) != SCHEMA_VERSION
    # the log repeats a page with each of its answers, and may have frames of long ago: only what is missing is held
    found: dict[tuple[int, int], AnswerRecord] = {}
    for record in read_answers(path, first_frame=max(0, taken), log_only=True):
        place = (record[0], record[-1])
        known = "SELECT 1 FROM answers WHERE key = ? AND checksum = ?"
        if place not in found and (is_new or connection.execute(known, place).fetchone() is None):
            found[place] = record
    return list(found.values())


def insert_answers(connection: sqlite3.Connection, records: Iterable[AnswerRecord]) -> int:
    """Insert those that are not there, within the caller's transaction. Returns their number.

    A key may be another answer's by now, if this one was never committed: then it gets the next.
    """
    count = 0
    known = _Known(connection)
    for record in records:
        if known.has(record):
            continue
        key = record[0]
        if connection.execute("SELECT 1 FROM answers WHERE key = ?", (key,)).fetchone():
            key = connection.execute("SELECT max(key) + 1 FROM answers").fetchone()[0]
        connection.execute(INSERTS["answers"], seal("answers", (key, *record[1:-1])))
        known.add(key, record)
        count += 1
    known.close()
    return count


class _Known:
    """The answers that are there, by request. The store itself never looks for one, so there is no such index."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self._made = False

    def has(self, record: AnswerRecord) -> bool:
        """Whether this very answer is there, under whatever key, or was given up for room."""
        if not self._made:
            self._made = True
            self._execute("CREATE TEMP TABLE known_requests AS SELECT request, key FROM answers")
            self._execute("CREATE INDEX temp.known_by_request ON known_requests (request)")
        _, created, _, request, body, *_ = record
        same = (
            "SELECT 1 FROM known_requests k JOIN answers a ON a.key = k.key "
            "WHERE k.request = ? AND a.created = ? AND (a.body = ? OR a.body = x'')"
        )
        return self._execute(same, (request, created, body)).fetchone() is not None

    def add(self, key: int, record: AnswerRecord) -> None:
        """Note an answer that was inserted."""
        self._execute("INSERT INTO known_requests VALUES (?, ?)", (record[3], key))

    def close(self) -> None:
        if self._made:
            self._execute("DROP TABLE known_requests")
