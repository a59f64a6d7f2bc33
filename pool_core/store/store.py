"""The file of a run: opened to work on it, or to read it while another process works."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from pool_core.errors import StoreError
from pool_core.interfaces.encoding import decode_json, encode_json
from pool_core.store.ingest import IngestCount, ingest_rows
from pool_core.store.lock import RunLock
from pool_core.store.records import CellRecord, KnownCell, Measured, NewRow, StoredRow
from pool_core.store.schema import SCHEMA, SCHEMA_VERSION
from pool_core.store.writer import Writer

__all__ = ["Store"]

_FILE = "run.sqlite"


class Store:
    """The rows, answers and cells of one run.

    Make one with `open` (owns the directory) or `read` (reads, also while another process owns it).
    """

    def __init__(self, folder: Path, connection: sqlite3.Connection, lock: RunLock | None) -> None:
        self.folder = folder
        self._connection = connection
        self._lock = lock
        self._frozen = 0
        self.writer = Writer(lambda: _connect(folder / _FILE, writable=True), str(folder))

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Make or open the run in ``folder`` and own it until `close`.

        Raises:
            RunLockedError: another process owns it.
            StoreError: the folder cannot be written, or holds something else.
        """
        path = folder / _FILE
        lock = RunLock(folder)
        with ExitStack() as undo:
            undo.callback(lock.release)
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                lock.acquire()
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            except OSError as error:
                raise StoreError(
                    f"the run directory cannot be written: {error.strerror or error}",
                    where=str(folder),
                    hint="choose another one: --run-dir DIR",
                ) from error
            connection = _connect(path, writable=True)
            undo.callback(connection.close)
            _prepare(connection, path)
            undo.pop_all()
        return cls(folder, connection, lock)

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether there is a run in ``folder``."""
        path = folder / _FILE
        if not path.is_file():
            return False
        with closing(_connect(path, writable=False)) as connection:
            return not _is_empty(connection, path)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Open the run in ``folder`` for reading. Raises `StoreError` where there is none."""
        path = folder / _FILE
        nothing = StoreError("there is no run in this directory", where=str(folder), hint=f"it would hold a {_FILE}")
        if not path.is_file():
            raise nothing
        with ExitStack() as undo:
            connection = _connect(path, writable=False)
            undo.callback(connection.close)
            if _is_empty(connection, path):  # a process was killed before it had made the tables
                raise nothing
            _check_version(connection, path)
            undo.pop_all()
        return cls(folder, connection, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and give the directory back. The writer must be closed before."""
        self._connection.close()
        if self._lock is not None:
            self._lock.release()

    @contextmanager
    def freeze(self) -> Iterator[None]:
        """Within it, all that is read from this object is as it was on entry, whatever others write.

        It may be entered again within. Meanwhile this object itself, apart from its writer, must not write.
        """
        self._frozen += 1
        try:
            if self._frozen == 1:
                self._connection.execute("BEGIN")
                self.get_meta("run")  # the first read fixes the moment
            yield
        finally:
            self._frozen -= 1
            if self._frozen == 0:
                with suppress(sqlite3.ProgrammingError):  # the file was closed, which ended it
                    if self._connection.in_transaction:
                        self._connection.execute("COMMIT")

    # What the run is about

    def set_meta(self, name: str, value: Any) -> None:
        """Keep a plain value under ``name``."""
        with self._connection:
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, encode_json(value)))

    def get_meta(self, name: str) -> Any:
        """The value kept under ``name``, None where there is none."""
        found = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if found is None else decode_json(found[0])

    def register_members(self, stage: str, names: Sequence[str]) -> list[int]:
        """The lasting key of each member of a stage, given on first sight."""
        with self._connection:
            self._connection.executemany(
                "INSERT OR IGNORE INTO members (stage, name) VALUES (?, ?)", [(stage, name) for name in names]
            )
        found = dict(self._connection.execute("SELECT name, key FROM members WHERE stage = ?", (stage,)))
        return [found[name] for name in names]

    def register_basis(self, fingerprint: str | None) -> int | None:
        """The number of a fingerprint; None for one that is not known and so equals no other."""
        if fingerprint is None:
            return None
        with self._connection:
            self._connection.execute("INSERT OR IGNORE INTO bases (fingerprint) VALUES (?)", (fingerprint,))
        return int(
            self._connection.execute("SELECT key FROM bases WHERE fingerprint = ?", (fingerprint,)).fetchone()[0]
        )

    # Rows

    def ingest(self, rows: Iterable[NewRow], members: Sequence[int], name: str) -> IngestCount:
        """Make the rows equal to ``rows``; see `ingest_rows`. Raises `StoreError` where they cannot be written."""
        reassign = self.get_meta("members") != list(members)
        try:
            return ingest_rows(self._connection, rows, members, name=name, reassign=reassign)
        except sqlite3.Error as error:
            raise StoreError(
                f"the rows cannot be stored: {error}",
                where=str(self.folder),
                hint="make room or mend the disk, then run the same command again",
            ) from error

    def read_members(self) -> list[tuple[int, str]]:
        """Key and name of each member, in the order of the rows' assignments."""
        names = dict(self._connection.execute("SELECT key, name FROM members"))
        return [(key, names[key]) for key in self.get_meta("members") or ()]

    def count_assigned(self) -> Iterator[tuple[bytes, int]]:
        """Each assignment that occurs, and how many rows have it."""
        yield from self._connection.execute("SELECT assigned, count(*) FROM rows GROUP BY assigned")

    def read_rows(self, after: int = -1, limit: int = -1) -> list[StoredRow]:
        """Rows in input order whose position is beyond ``after``."""
        found = self._connection.execute(
            "SELECT key, position, row_id, assigned, data FROM rows WHERE position > ? ORDER BY position LIMIT ?",
            (after, limit),
        )
        return [StoredRow(*row) for row in found]

    def iterate_rows(self) -> Iterator[StoredRow]:
        """All rows in input order, streaming. Where the store may be written meanwhile, see `freeze`."""
        found = self._connection.execute("SELECT key, position, row_id, assigned, data FROM rows ORDER BY position")
        return (StoredRow(*row) for row in found)

    def find_row(self, row_id: str) -> StoredRow | None:
        """The row with this id."""
        found = self._connection.execute(
            "SELECT key, position, row_id, assigned, data FROM rows WHERE row_id = ?", (row_id,)
        ).fetchone()
        return None if found is None else StoredRow(*found)

    # Cells and answers

    def measure_answers(self) -> dict[str, Measured]:
        """What the answers that cells hold were like, by the name of the member."""
        found = self._connection.execute(
            "SELECT m.name, count(*), avg(a.seconds), count(c.output_tokens), total(c.output_tokens), "
            "total(1.0 * c.output_tokens * c.output_tokens) FROM cells c JOIN answers a ON a.key = c.answer "
            "JOIN members m ON m.key = (c.key >> 8 & 65535) GROUP BY m.name"
        )
        return {
            name: Measured(answers, seconds, told, total / max(told, 1), squares / max(told, 1))
            for name, answers, seconds, told, total, squares in found
        }

    def has_cells(self, member: int) -> bool:
        """Whether any cell of ``member`` has an outcome."""
        found = self._connection.execute("SELECT 1 FROM cells WHERE key >> 8 & 65535 = ? LIMIT 1", (member,))
        return found.fetchone() is not None

    def read_known_cells(self, member: int, first: int, last: int) -> dict[int, KnownCell]:
        """The outcomes of ``member`` for the rows at positions ``first`` to ``last``, by cell key."""
        found = self._connection.execute(
            "SELECT c.key, c.status, c.cause, c.basis, c.answer FROM rows r JOIN cells c "
            "ON c.key BETWEEN (r.key << 24) + :first_cell AND (r.key << 24) + :first_cell + 255 "
            "WHERE r.position BETWEEN :first AND :last",
            {"first_cell": member << 8, "first": first, "last": last},
        )
        return {key: KnownCell(*rest) for key, *rest in found}

    def read_cells(self, row: int) -> list[CellRecord]:
        """All outcomes of a row, in order of member and sample."""
        found = self._connection.execute(
            "SELECT * FROM cells WHERE key BETWEEN ? AND ? ORDER BY key", (row << 24, row << 24 | 0xFFFFFF)
        )
        return [CellRecord(*cell) for cell in found]

    def read_answer(self, key: int) -> bytes:
        """The stored answer with this key."""
        return bytes(self._connection.execute("SELECT body FROM answers WHERE key = ?", (key,)).fetchone()[0])

    def release_answers(self, settled: Iterable[tuple[int, int]]) -> int:
        """Gather the answers that no settled cell holds, for `take_answer`. Returns their number.

        ``settled`` has the member and basis of each member of the plan: a cell of that member that
        rests on that basis keeps its answer.
        """
        execute = self._connection.execute
        execute("DROP TABLE IF EXISTS temp.free_answers")
        execute("CREATE TEMP TABLE IF NOT EXISTS settled (member INTEGER, basis INTEGER)")
        execute("DELETE FROM settled")
        self._connection.executemany("INSERT INTO settled VALUES (?, ?)", settled)
        execute(
            "CREATE TEMP TABLE free_answers AS SELECT request, key FROM answers WHERE key NOT IN (SELECT answer "
            "FROM cells c JOIN settled s ON s.member = (c.key >> 8 & 65535) AND s.basis = c.basis "
            "WHERE answer IS NOT NULL)"
        )
        execute("CREATE INDEX temp.free_by_request ON free_answers (request)")
        return int(execute("SELECT count(*) FROM free_answers").fetchone()[0])

    def take_answer(self, request: bytes, preferred: int | None) -> tuple[int, bytes] | None:
        """A gathered answer to ``request`` and its key; each is taken once, the cell's own one first."""
        found = self._connection.execute(
            "SELECT rowid, key FROM free_answers WHERE request = ? ORDER BY key = ? DESC, key LIMIT 1",
            (request, preferred or 0),
        ).fetchone()
        if found is None:
            return None
        rowid, key = found
        self._connection.execute("DELETE FROM free_answers WHERE rowid = ?", (rowid,))
        return key, self.read_answer(key)


def _connect(path: Path, *, writable: bool) -> sqlite3.Connection:
    mode = "rw" if writable else "ro"
    with ExitStack() as undo, _explain_errors(path):
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            timeout=30,
            check_same_thread=False,
        )
        undo.callback(connection.close)
        if writable:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA temp_store = MEMORY")
        undo.pop_all()
    return connection


@contextmanager
def _explain_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"the store cannot be opened: {error}", where=str(path)) from error


def _is_empty(connection: sqlite3.Connection, path: Path) -> bool:
    with _explain_errors(path), closing(connection.execute("SELECT count(*) FROM sqlite_schema")) as cursor:
        return bool(cursor.fetchone()[0] == 0)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    with _explain_errors(path), connection:
        connection.execute("BEGIN IMMEDIATE")
        if _is_empty(connection, path):
            for statement in _split_statements(SCHEMA):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    _check_version(connection, path)


def _split_statements(script: str) -> Iterator[str]:
    """The statements of a script, for a transaction: `executescript` would commit it."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    with closing(connection.execute("PRAGMA user_version")) as cursor:
        version = cursor.fetchone()[0]
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"the store is of version {version}, this pool-core reads {SCHEMA_VERSION}",
            where=str(path),
            hint="use the pool-core that made it, or another run directory",
        )
