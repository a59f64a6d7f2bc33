"""Older files become of today's version: one numbered step after the other, each in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pool_core.errors import StoreError
from pool_core.interfaces.encoding import decode_json
from pool_core.store.schema import SCHEMA, SCHEMA_VERSION
from pool_core.store.sealing import COLUMNS, INSERTS, seal

__all__ = ["OLD_ANSWERS", "check_version", "create_tables", "migrate", "read_version", "seal_old_answer"]


def create_tables(connection: sqlite3.Connection) -> None:
    """Make the tables of today's version, within the caller's transaction."""
    for statement in _split_statements(SCHEMA):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the file to today's version. A step that fails leaves the file as it was before it.

    Raises:
        StoreError: the file is of a version that this program does not know.
    """
    while (version := read_version(connection)) in _STEPS:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            _STEPS[version](connection)
            connection.execute(f"PRAGMA user_version = {version + 1}")
    check_version(connection, path)


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Raise `StoreError` where the file is not of today's version."""
    version = read_version(connection)
    if version in _STEPS:
        raise StoreError(
            f"the store is of version {version}, this pool-core reads {SCHEMA_VERSION}",
            where=str(path),
            hint="`pool repair` and `pool run` bring it up to date; nothing is asked again for that",
        )
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"the store is of version {version}, this pool-core reads {SCHEMA_VERSION}",
            where=str(path),
            hint="use the pool-core that made it, or another run directory",
        )


def read_version(connection: sqlite3.Connection) -> int:
    """The number that the file bears."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _split_statements(script: str) -> Iterator[str]:
    """The statements of a script, for a transaction: `executescript` would commit it."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _seal_records(connection: sqlite3.Connection) -> None:
    """Version 1 to 2: checksums everywhere, what each answer cost and who paid, who answered for whom."""
    for index in ("rows_by_position", "answers_by_request"):
        connection.execute(f"DROP INDEX {index}")
    tables = ("meta", "rows", "members", "bases", "answers", "cells")
    for table in tables:
        connection.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    create_tables(connection)
    connection.create_function("read_count", 2, _read_count, deterministic=True)
    new = {
        "answered_by": "NULL",
        "member": "payers.member",
        "cost": "NULL",
        **{f"answers.{name}": f"read_count(body, '{name}')" for name in ("input_tokens", "output_tokens")},
    }
    # the member of an answer is that of the cell which holds it
    payers = "LEFT JOIN (SELECT answer, min(key >> 8 & 65535) AS member FROM old_cells GROUP BY answer) AS payers"
    for table in tables:
        columns = ", ".join(new.get(f"{table}.{name}") or new.get(name) or name for name in COLUMNS[table])
        source = f"old_{table} {payers} ON payers.answer = key" if table == "answers" else f"old_{table}"
        records = connection.execute(f"SELECT {columns} FROM {source}")  # noqa: S608 - our own names
        sealing = seal_old_answer if table == "answers" else partial(seal, table)
        connection.executemany(INSERTS[table], map(sealing, records))
    for table in tables:
        connection.execute(f"DROP TABLE old_{table}")


#: Reads the answers of a file of version 1 as `seal_old_answer` takes them.
OLD_ANSWERS = "SELECT key, created, seconds, request, body, NULL, NULL, NULL, NULL FROM answers"


def seal_old_answer(record: Sequence[Any]) -> tuple[Any, ...]:
    """An answer of version 1 with its checksum; one that is no answer any more gets a wrong one."""
    _, created, seconds, request, body, *_ = record
    kinds = isinstance(created, float) and isinstance(seconds, float) and isinstance(request, bytes)
    return seal("answers", record) if kinds and _read_answer(body) else (*record, 0)


def _read_answer(body: object) -> dict[str, Any]:
    """The parts of a stored answer; none where it is none."""
    try:
        answer: Any = decode_json(body) if isinstance(body, bytes) else None
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) and "text" in answer else {}


def _read_count(body: object, name: str) -> int | None:
    """A count of tokens in a stored answer; None where it says none that could be stored."""
    usage = _read_answer(body).get("usage")
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if isinstance(count, int) and 0 <= count < 1 << 63 else None


def _replace_index(connection: sqlite3.Connection) -> None:
    """Version 2 to 3: the requests of the answers in the order of their coming. A file that was of version 1 has it."""
    connection.execute("DROP INDEX IF EXISTS answers_by_request")
    for statement in _split_statements(SCHEMA):
        if "answers_requests" in statement:
            connection.execute(statement.replace("CREATE INDEX", "CREATE INDEX IF NOT EXISTS"))


_STEPS: Mapping[int, Callable[[sqlite3.Connection], None]] = {1: _seal_records, 2: _replace_index}
