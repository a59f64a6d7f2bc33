"""How the file of a run is opened: made, brought up to date, and looked at before it is trusted."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import ExitStack, closing, suppress
from operator import methodcaller
from pathlib import Path

from pool_core.errors import StoreError
from pool_core.store.faults import explain_errors, make_damage_error
from pool_core.store.files import make_folder, sync
from pool_core.store.lock import RunLock
from pool_core.store.migrations import check_version, create_tables, migrate
from pool_core.store.quarantine import finish_repair
from pool_core.store.salvage import insert_answers, read_torn_log
from pool_core.store.sealing import is_intact, select

__all__ = [
    "CHECKED_SIZE",
    "FILE",
    "check_structure",
    "connect",
    "find_wrong_tables",
    "holds_run",
    "is_empty",
    "open_for_reading",
    "open_for_work",
    "tidy_log",
]

#: The file of a run. The names of SQLite's own files beside it begin with it.
FILE = "run.sqlite"
#: Bytes up to which a file's structure is checked whenever it is opened: that takes half a second at most.
CHECKED_SIZE = 256 << 20

#: Bytes of its log that SQLite keeps for later: after a kill, all of it is looked through.
_LARGEST_LOG = 16 << 20

#: Text of a file whose bytes may have changed: what is no UTF-8 fails its checksum, not the whole query.
_DECODE = methodcaller("decode", "utf-8", "surrogateescape")

_CANNOT_OPEN = "the store cannot be opened"
#: Tables that decide what everything else means. They are small: all of them is checked at opening.
_SMALL_TABLES = ("meta", "members", "bases")
_MOST_PROBLEMS = 5


def open_for_work(folder: Path, undo: ExitStack) -> tuple[sqlite3.Connection, RunLock, int]:
    """Make or open the file in ``folder`` and own the folder. What was taken is given back by ``undo``.

    Returns:
        The connection, the lock, and the number of answers that were put back of a torn log.

    Raises:
        RunLockedError: another process owns it.
        StoreError: the folder cannot be written, or holds something else, or a damaged file.
    """
    path = folder / FILE
    lock = RunLock(folder)
    undo.callback(lock.release)
    try:
        make_folder(folder)
        lock.acquire()
        finish_repair(path)
        if not path.is_file():  # to open and close one that is in use would take SQLite's locks from it
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            sync(folder)
    except OSError as error:
        raise StoreError(
            f"the run directory cannot be written: {error.strerror or error}",
            where=str(folder),
            hint="choose another one: --run-dir DIR",
        ) from error
    with explain_errors(_CANNOT_OPEN, folder, folder / FILE):
        connection = connect(path)
        undo.callback(connection.close)
        torn = read_torn_log(connection, path)
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            if is_empty(connection):
                create_tables(connection)
        try:
            migrate(connection, path)
        except UnicodeEncodeError as error:
            raise make_damage_error("a text of version 1 is none any more", folder) from error
    _check(connection, folder)
    with explain_errors(_CANNOT_OPEN, folder, path), connection:
        recovered = insert_answers(connection, torn)
    return connection, lock, recovered


def open_for_reading(folder: Path, undo: ExitStack) -> tuple[sqlite3.Connection, RunLock | None]:
    """Open the file in ``folder`` beside whoever works on it. What was taken is given back by ``undo``.

    A lock is returned where the folder cannot be written and nobody works on it: while it is held, nobody can.

    Raises:
        StoreError: there is no run, or it cannot be read.
    """
    path = folder / FILE
    nothing = StoreError("there is no run in this directory", where=str(folder), hint=f"it would hold a {FILE}")
    if not path.is_file():
        raise nothing
    with explain_errors(_CANNOT_OPEN, folder, folder / FILE):
        connection, lock = _connect_for_reading(path, undo)
        if is_empty(connection):  # a process was killed before it had made the tables
            raise nothing
        check_version(connection, path)
    _check(connection, folder)
    return connection, lock


def holds_run(folder: Path) -> bool:
    """Whether there is a run in ``folder``. Raises `StoreError` where that cannot be read."""
    path = folder / FILE
    if not path.is_file():
        return False
    with ExitStack() as undo, explain_errors(_CANNOT_OPEN, folder, path):
        undo.callback(tidy_log, path)
        return not is_empty(_connect_for_reading(path, undo)[0])


def tidy_log(path: Path, *, owned: bool = False) -> None:
    """Remove the empty log that SQLite makes for whoever reads, unless somebody works on the run.

    One that holds anything stays: it is what a kill has left, and is looked through when the run goes on.

    Args:
        path: the file of the run.
        owned: the lock of the run is held already.
    """
    log = path.with_name(f"{path.name}-wal")
    lock = RunLock(path.parent)
    with suppress(OSError, sqlite3.Error):  # an empty log does no harm where it cannot be removed
        try:
            if (owned or lock.share()) and log.exists() and not log.stat().st_size:
                connect(path).close()  # SQLite removes it when the last one that may write closes the file
        finally:
            lock.release()


def connect(path: Path, mode: str = "rw") -> sqlite3.Connection:
    """A connection as all of the store uses them. ``mode`` is ``rw``, ``ro`` or ``immutable``."""
    options = "mode=ro&immutable=1" if mode == "immutable" else f"mode={mode}"
    with ExitStack() as undo:
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?{options}",
            uri=True,
            isolation_level=None,
            timeout=30,
            check_same_thread=False,
        )
        undo.callback(connection.close)
        connection.text_factory = _DECODE
        try:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except UnicodeDecodeError as error:  # SQLite names what it cannot read, and Python cannot read the name
            malformed = sqlite3.DatabaseError("database disk image is malformed")
            malformed.sqlite_errorname = "SQLITE_CORRUPT"
            raise malformed from error
        if mode == "rw":
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA journal_size_limit = {_LARGEST_LOG}")
            # on macOS fsync alone leaves the data in the drive's cache
            connection.execute("PRAGMA fullfsync = ON")
            connection.execute("PRAGMA checkpoint_fullfsync = ON")
        connection.execute("PRAGMA temp_store = FILE")  # answers that are gathered may be millions
        undo.pop_all()
    return connection


def _connect_for_reading(path: Path, undo: ExitStack) -> tuple[sqlite3.Connection, RunLock | None]:
    """Beside a writer where SQLite can; else, where nobody can write, without what it keeps for writers."""
    try:
        connection = connect(path, "ro")
        undo.callback(connection.close)
    except sqlite3.OperationalError as error:
        name = getattr(error, "sqlite_errorname", None) or ""
        if not name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY")):
            raise
        lock = RunLock(path.parent)
        log = path.with_name(f"{FILE}-wal")
        if (log.exists() and log.stat().st_size) or not lock.share():
            raise StoreError(
                "the run directory is read-only and the run in it was not closed",
                where=str(path.parent),
                hint="make the directory writable, or copy all of it to where it is",
            ) from error
        undo.callback(lock.release)
        connection = connect(path, "immutable")
        undo.callback(connection.close)
        return connection, lock
    return connection, None


def _check(connection: sqlite3.Connection, folder: Path) -> None:
    """Raise `StoreError` where the file cannot be trusted."""
    with explain_errors(_CANNOT_OPEN, folder, folder / FILE):
        problems = find_wrong_tables(connection) or _find_damaged_meanings(connection)
        if not problems and (folder / FILE).stat().st_size <= CHECKED_SIZE:
            problems = check_structure(connection, _MOST_PROBLEMS)
    if problems:
        raise make_damage_error("; ".join(problems), folder)


def check_structure(connection: sqlite3.Connection, most: int) -> list[str]:
    """What SQLite finds wrong with the pages of the file: at most ``most`` lines."""
    found = [line for (line,) in connection.execute(f"PRAGMA integrity_check({most})")]
    return [] if found == ["ok"] else found


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether there is no table in the file."""
    with closing(connection.execute("SELECT count(*) FROM sqlite_schema")) as cursor:
        return bool(cursor.fetchone()[0] == 0)


def _find_damaged_meanings(connection: sqlite3.Connection) -> list[str]:
    """Damage to the small tables."""
    bad = {
        table: sum(not is_intact(table, record) for record in connection.execute(select(table)))
        for table in _SMALL_TABLES
    }
    return [f"{number} record{'s' * (number > 1)} of {table}" for table, number in bad.items() if number]


def find_wrong_tables(connection: sqlite3.Connection) -> list[str]:
    """The tables and indexes that are not as this version makes them."""
    with closing(sqlite3.connect(":memory:")) as model:
        create_tables(model)
        expected = _read_definitions(model)
    found = _read_definitions(connection)
    return [
        f"{name} is not defined as it should be"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]


def _read_definitions(connection: sqlite3.Connection) -> dict[str, tuple[str, str, str]]:
    """By name the kind, table and statement of each definition, without comments and spacing."""
    definitions = connection.execute("SELECT name, type, tbl_name, coalesce(sql, '') FROM sqlite_schema")
    return {
        str(name): (str(kind), str(table), " ".join(re.sub(r"--[^\n]*", "", str(sql)).split()))
        for name, kind, table, sql in definitions
    }
