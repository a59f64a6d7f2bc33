"""Answers are withdrawn: no cell may use them any more, and what they cost stays known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from pool_core.store.records import CellRecord
from pool_core.store.sealing import INSERTS, is_intact, seal, select
from pool_core.store.store import Store

__all__ = ["Garbage", "collect_garbage", "find_garbage", "withdraw_failed"]

#: Answers that no outcome rests on and whose body is there.
_UNHELD = "FROM answers WHERE key NOT IN (SELECT answer FROM cells WHERE answer IS NOT NULL) AND length(body) > 0"


def withdraw_failed(store: Store, members: Collection[int], causes: Collection[str]) -> Counter[tuple[int, str]]:
    """Take their answers from the failed cells of ``members`` with one of ``causes``: the next run asks them anew.

    Other answers to the same requests that no cell holds are withdrawn too, or that run would take one of them.

    Returns:
        The number of cells by member and cause.

    Raises:
        StoreError: nothing can be written; then nothing has changed.
    """
    counted: Counter[tuple[int, str]] = Counter()
    with store.write() as connection:
        connection.execute("CREATE TEMP TABLE taken (answer INTEGER PRIMARY KEY)")
        for record in connection.execute(select("cells") + "WHERE status = 'failed'").fetchall():
            cell = CellRecord(*record[:-1])
            member = cell.key >> 8 & 0xFFFF
            if member not in members or cell.cause not in causes or not is_intact("cells", record):
                continue
            counted[member, cell.cause] += 1
            if cell.answer is not None:
                connection.execute("INSERT OR IGNORE INTO taken VALUES (?)", (cell.answer,))
                connection.execute(INSERTS["cells"], seal("cells", cell._replace(answer=None)))
        unusable = connection.execute(
            "SELECT key FROM answers WHERE key NOT IN (SELECT answer FROM cells WHERE answer IS NOT NULL) "
            "AND request IN (SELECT request FROM answers WHERE key IN (SELECT answer FROM taken))"
        ).fetchall()
        connection.executemany(INSERTS["withdrawn"], (seal("withdrawn", key) for key in unusable))
        connection.execute("DROP TABLE taken")
    return counted


@dataclass(frozen=True, slots=True)
class Garbage:
    """Answers that no outcome rests on."""

    answers: int
    #: Bytes of their bodies.
    size: int


def find_garbage(store: Store) -> Garbage:
    """What `collect_garbage` would free. Raises `StoreError`."""
    ((answers, size),) = store.query(f"SELECT count(*), coalesce(sum(length(body)), 0) {_UNHELD}")
    return Garbage(answers, size)


def collect_garbage(store: Store) -> None:
    """Withdraw the answers that no outcome rests on, and keep of each only what it cost.

    Giving the room back to the disk needs as much room as the file has, for a while.

    Raises:
        StoreError: nothing can be written; then no answer was lost.
    """
    with store.write() as connection:
        for (key,) in connection.execute(f"SELECT key {_UNHELD}").fetchall():
            record = connection.execute(select("answers") + "WHERE key = ?", (key,)).fetchone()
            if not is_intact("answers", record):  # it proves nothing of what it cost
                continue
            checksum = seal("answers", (*record[:4], b"", *record[5:-1]))[-1]
            connection.execute("UPDATE answers SET body = x'', checksum = ? WHERE key = ?", (checksum, key))
            connection.execute(INSERTS["withdrawn"], seal("withdrawn", (key,)))
    store.shrink()
