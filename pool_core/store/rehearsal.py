"""A run as it would be after a change: the file is only read, and what a run would write goes to temporary tables.

SQLite looks for a table among the temporary ones first. So what works on a run works here unchanged: the rows
and the small tables are copies, and the outcomes are a view of the file's own without those that were removed.
Answers are never copied. Temporary tables are files outside the run directory that nobody else sees.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Self, TypeAlias

from pool_core.store.faults import explain_errors
from pool_core.store.ingest import IngestCount, define_count_samples, replace_rows
from pool_core.store.lock import RunLock
from pool_core.store.migrations import create_tables
from pool_core.store.records import NewRow
from pool_core.store.store import Store

__all__ = ["DropReason", "Rehearsal"]

#: Why an outcome goes: its row is not in the input any more, its member not in the recipe, its sample not assigned.
DropReason: TypeAlias = Literal["row", "member", "sample"]

_COPIED = ("meta", "rows", "members", "bases")

_OVERLAY = (
    "CREATE INDEX temp.rows_by_position ON rows (position)",
    "CREATE TEMP TABLE dropped (key INTEGER PRIMARY KEY)",
    "CREATE TEMP VIEW cells AS SELECT * FROM main.cells WHERE key NOT IN (SELECT key FROM temp.dropped)",
    "CREATE TEMP TRIGGER drop_cell INSTEAD OF DELETE ON cells BEGIN INSERT INTO dropped VALUES (old.key); END",
)


class Rehearsal(Store):
    """The store of a run on which a change is tried. Nothing of it is kept, and another process may go on with the run.

    All that it reads is as it was when it was opened.
    """

    def __init__(self, folder: Path, connection: sqlite3.Connection, lock: RunLock | None) -> None:
        super().__init__(folder, connection, lock)
        #: Whether there is no run in the folder.
        self.is_new = False
        with explain_errors("the store cannot be read", folder):
            connection.execute("BEGIN")
            for table in _COPIED:
                (statement,) = connection.execute(
                    "SELECT sql FROM main.sqlite_schema WHERE name = ?", (table,)
                ).fetchone()
                connection.execute(statement.replace("CREATE TABLE", "CREATE TEMP TABLE", 1))
                connection.execute(f"INSERT INTO temp.{table} SELECT * FROM main.{table}")  # noqa: S608 - our own
            for statement in _OVERLAY:
                connection.execute(statement)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Open the run in ``folder``; where there is none, one without anything in it. Raises `StoreError`."""
        if Store.exists(folder):
            return super().read(folder)
        connection = sqlite3.connect("", isolation_level=None)  # a file of SQLite's own, which nobody else sees
        create_tables(connection)
        store = cls(folder, connection, None)
        store.is_new = True
        return store

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Write to the temporary tables. Raises `StoreError`."""
        with explain_errors("the change cannot be tried", self.folder):
            yield self._connection

    def ingest(self, rows: Iterable[NewRow], members: Sequence[int], name: str) -> IngestCount:
        """Make the temporary rows equal to ``rows``; see `Store.ingest`."""
        reassign = self.get_meta("members") != list(members)
        with self.write() as connection:
            return replace_rows(connection, rows, members, name=name, reassign=reassign)

    def count_dropped(self, members: Sequence[int]) -> Counter[tuple[int, DropReason]]:
        """The outcomes whose cells there are no more after `ingest`, by the key of the member and the reason.

        Args:
            members: as they were given to `ingest`.
        """
        define_count_samples(self._connection, members)
        self._connection.create_function("is_member", 1, frozenset(members).__contains__, deterministic=True)
        found = self.query(
            "SELECT member, reason, count(*) FROM (SELECT d.key >> 8 & 65535 AS member, CASE "
            "WHEN r.key IS NULL THEN 'row' WHEN NOT is_member(d.key >> 8 & 65535) THEN 'member' "
            "WHEN (d.key & 255) >= count_samples(r.assigned, d.key >> 8 & 65535) THEN 'sample' END AS reason "
            "FROM temp.dropped d LEFT JOIN temp.rows r ON r.key = d.key >> 24) WHERE reason IS NOT NULL GROUP BY 1, 2"
        )
        return Counter({(member, reason): count for member, reason, count in found})

    def find_reordered(self) -> bool:
        """Whether rows that were there before stand in another order after `ingest`."""
        with explain_errors("the store cannot be read", self.folder):
            last = -1
            for (position,) in self._connection.execute(
                "SELECT was.position FROM temp.rows r JOIN main.rows was ON was.key = r.key AND was.row_id = r.row_id "
                "ORDER BY r.position"
            ):
                if position < last:
                    return True
                last = position
        return False
