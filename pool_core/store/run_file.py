"""The file of a run: opened to work on it, or to read it while another process works."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from pool_core.errors import StoreError
from pool_core.store.faults import explain_errors
from pool_core.store.lock import RunLock
from pool_core.store.opening import FILE, holds_run, open_for_reading, open_for_work, tidy_log
from pool_core.store.sealing import COLUMNS, Value, is_intact, select

__all__ = ["RunFile"]


class RunFile:
    """The file and who owns it; what is in it is the matter of `Store`.

    Make one with `open` (owns the directory) or `read` (reads, also while another process owns it).
    """

    def __init__(self, folder: Path, connection: sqlite3.Connection, lock: RunLock | None) -> None:
        self.folder = folder
        self._connection = connection
        self._lock = lock
        self._frozen = 0
        #: Table and key of each damaged record that was found.
        self.damaged: set[tuple[str, int]] = set()
        #: Answers that were put back when it was opened: a process was killed, or the power failed, as it wrote them.
        self.recovered = 0

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Make or open the run in ``folder`` and own it until `close`.

        Raises:
            RunLockedError: another process owns it.
            StoreError: the folder cannot be written, or holds something else, or a damaged file.
        """
        with ExitStack() as undo:
            connection, lock, recovered = open_for_work(folder, undo)
            undo.pop_all()
        store = cls(folder, connection, lock)
        store.recovered = recovered
        return store

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether there is a run in ``folder``."""
        return holds_run(folder)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Open the run in ``folder`` for reading. Raises `StoreError` where there is none, or a damaged one."""
        with ExitStack() as undo:
            connection, lock = open_for_reading(folder, undo)
            undo.pop_all()
        return cls(folder, connection, lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and give the directory back. The writer must be closed before."""
        if self._lock is not None and self._lock.is_owner:
            with suppress(StoreError):  # they are told of again, and nothing else rests on it
                self._discard_damaged()
        self._connection.close()
        if self._lock is not None:
            self._lock.release()
        else:
            tidy_log(self.folder / FILE)

    @contextmanager
    def freeze(self) -> Iterator[None]:
        """Within it, all that is read from this object is as it was on entry, whatever others write.

        It may be entered again within. Meanwhile this object itself, apart from its writer, must not write.
        """
        self._frozen += 1
        try:
            if self._frozen == 1:
                self._connection.execute("BEGIN")
                self.query("SELECT 1 FROM meta LIMIT 1")  # the first read fixes the moment
            yield
        finally:
            self._frozen -= 1
            if self._frozen == 0:
                with suppress(sqlite3.ProgrammingError):  # the file was closed, which ended it
                    if self._connection.in_transaction:
                        self._connection.execute("COMMIT")

    def _discard_damaged(self) -> None:
        """Remove the damaged outcomes and marks that no sound one has replaced. Answers and rows stay as they are."""
        for table, key in self.damaged:
            if table in ("cells", "withdrawn"):
                place = f"{COLUMNS[table][0]} = ?"
                for record in self.query(select(table) + f"WHERE {place}", (key,)):
                    if not is_intact(table, record):
                        with self.write() as connection:
                            connection.execute(f"DELETE FROM {table} WHERE {place}", (key,))  # noqa: S608 - our own

    def query(self, statement: str, values: Any = ()) -> list[tuple[Any, ...]]:
        """What a statement gives. Raises `StoreError`; no record is held against its checksum here."""
        with explain_errors("the store cannot be read", self.folder):
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction, which ends with the block. Raises `StoreError`."""
        with explain_errors("the run cannot be written", self.folder), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection

    def shrink(self) -> None:
        """Give the room that nothing needs back to the disk."""
        with explain_errors("the room cannot be given back", self.folder):
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _check(self, table: str, record: Sequence[Value]) -> bool:
        """Whether a record is intact; one that is not is noted."""
        intact = is_intact(table, record)
        if not intact:
            self._note_damage(table, record[0])
        return intact

    def _note_damage(self, table: str, key: Any) -> None:
        self.damaged.add((table, key))
