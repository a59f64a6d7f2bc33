"""Every record carries a checksum: it is sealed on its way in and checked on its way out.

SQLite finds a page that makes no sense, and not a page whose content has changed. The checksum is of the
whole record with its table and key, so a record that turns up in another's place is found too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from itertools import chain
from sqlite3 import Connection
from typing import TypeAlias

import msgspec

__all__ = ["COLUMNS", "INSERTS", "Value", "insert", "is_intact", "seal", "select"]

#: What a column may hold.
Value: TypeAlias = str | bytes | int | float | None

#: The columns of each table in the order of their record, which the checksum ends.
COLUMNS: Mapping[str, Sequence[str]] = {
    "meta": ("name", "value"),
    "rows": ("key", "position", "row_id", "assigned", "data"),
    "members": ("key", "stage", "name"),
    "bases": ("key", "fingerprint"),
    "answers": (
        "key", "created", "seconds", "request", "body", "member", "input_tokens", "output_tokens", "cost"
    ),
    "withdrawn": ("answer",),
    "cells": (
        "key", "status", "basis", "answer", "attempts", "seconds", "input_tokens", "output_tokens", "cause",
        "message", "outputs", "answered_by",
    ),
}  # fmt: skip


#: Where the columns of reals stand: SQLite gives 1 back from them as 1.0, and -0.0 as 0.0.
_REALS: Mapping[str, Sequence[int]] = {
    table: tuple(at for at, name in enumerate(columns) if name in ("created", "seconds", "cost"))
    for table, columns in COLUMNS.items()
}

#: Where the checksums of each table begin: to copy one is faster than to make it.
_BEGINNINGS = {table: blake2b(digest_size=8, person=table.encode()) for table in COLUMNS}

_encode = msgspec.msgpack.Encoder().encode

#: Tables whose records may take the place of one with their key. Where one may not, it would be a fault to notice.
_REPLACED = frozenset({"meta", "withdrawn", "cells"})


#: Numbers of records for which there is a statement each: with few of them SQLite keeps all compiled.
_AT_ONCE = (64, 16, 4, 1)


def _write_insert(table: str, records: int = 1) -> str:
    columns = (*COLUMNS[table], "checksum")
    marks = f"({', '.join('?' * len(columns))})"
    verb = "INSERT OR REPLACE" if table in _REPLACED else "INSERT"
    return f"{verb} INTO {table} ({', '.join(columns)}) VALUES {', '.join([marks] * records)}"


#: The statement that writes a sealed record of each table.
INSERTS: Mapping[str, str] = {table: _write_insert(table) for table in COLUMNS}


_INSERTS_AT_ONCE: Mapping[str, Sequence[tuple[int, str]]] = {
    table: tuple((records, _write_insert(table, records)) for records in _AT_ONCE) for table in COLUMNS
}


def insert(connection: Connection, table: str, records: Sequence[Sequence[Value]]) -> None:
    """Write sealed records, many by one statement.

    A statement lets other threads run, and has to wait until it may go on. With one for each record, a thread that
    writes beside a busy one spends most of its time on that, and slows the other down.
    """
    done = 0
    for size, statement in _INSERTS_AT_ONCE[table]:
        while len(records) - done >= size:
            connection.execute(statement, [*chain.from_iterable(records[done : done + size])])
            done += size


def select(table: str) -> str:
    """The beginning of a statement that reads sealed records."""
    return f"SELECT {', '.join(COLUMNS[table])}, checksum FROM {table} "  # noqa: S608 - our own names


def seal(table: str, values: Sequence[Value]) -> tuple[Value, ...]:
    """A record with its checksum, as `INSERTS` takes it."""
    plain = list(values)
    for at in _REALS[table]:
        if at < len(plain) and isinstance(value := plain[at], int | float):
            plain[at] = value + 0.0
    return (*plain, _compute_checksum(table, plain))


def is_intact(table: str, record: Sequence[Value]) -> bool:
    """Whether a record that was read is what was sealed."""
    try:
        return _compute_checksum(table, record[:-1]) == record[-1]
    except UnicodeEncodeError:  # text that is no UTF-8 any more, see the store
        return False


def _compute_checksum(table: str, values: Sequence[Value]) -> int:
    """64 bits of BLAKE2b over the values as MessagePack, which tells types apart. It costs a microsecond."""
    digest = _BEGINNINGS[table].copy()
    digest.update(_encode(values))
    return int.from_bytes(digest.digest(), "big", signed=True)
