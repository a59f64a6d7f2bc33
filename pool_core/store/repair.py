"""A damaged file is built anew of all that is intact in it. The damaged one is kept beside it."""

from __future__ import annotations

import os
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from pool_core.errors import StoreError
from pool_core.interfaces.encoding import encode_json
from pool_core.store.faults import explain_errors, is_damage
from pool_core.store.files import sync
from pool_core.store.lock import RunLock
from pool_core.store.migrations import (
    OLD_ANSWERS,
    check_version,
    create_tables,
    migrate,
    read_version,
    seal_old_answer,
)
from pool_core.store.opening import FILE, check_structure, connect, find_wrong_tables, is_empty, tidy_log
from pool_core.store.pages import read_answers
from pool_core.store.quarantine import finish_repair, name_repaired
from pool_core.store.salvage import insert_answers
from pool_core.store.schema import SCHEMA_VERSION
from pool_core.store.sealing import COLUMNS, INSERTS, is_intact, seal, select

__all__ = ["Repair", "repair_run"]

_MOST_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Repair:
    """What a check has found, and what a repair has kept."""

    #: What is wrong with the structure of the file, in SQLite's words.
    problems: tuple[str, ...]
    #: By table, the records that are intact, and those that can be read and are not.
    intact: Mapping[str, int]
    damaged: Mapping[str, int]
    #: Answers that only their raw pages gave; none are looked for where nothing is changed.
    salvaged: int = 0
    #: Cells that were given up because their row or member is lost.
    orphans: int = 0
    #: Where the damaged file is kept; None where nothing was changed.
    quarantine: Path | None = None

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems and not any(self.damaged.values())


def repair_run(folder: Path, *, dry_run: bool = False) -> Repair:
    """Check every page and every record of a run, and build its file anew where one is damaged.

    The new file has every record that is intact. It takes the place of the damaged one in one step, and
    that is kept in a folder ``damaged-N`` of the run directory. The next run does again what was lost: rows are
    read from the input, cells made of the stored answers, and only what has no answer any more is asked.

    Args:
        dry_run: only check.

    Raises:
        RunLockedError: another process works on the run.
        StoreError: there is no run, it is of another version, or nothing can be written.
    """
    path = folder / FILE
    if not path.is_file():
        raise StoreError("there is no run in this directory", where=str(folder), hint=f"it would hold a {FILE}")
    lock = RunLock(folder)
    try:
        with explain_errors("the run cannot be repaired", folder):
            lock.acquire()
            finish_repair(path)
            _bring_up_to_date(path, dry_run=dry_run)
            with _Source(path) as source:
                found = source.check()
                if not found.sound and not dry_run:
                    found = _build(source, found, path)
            quarantine = None if dry_run else finish_repair(path)
            tidy_log(path, owned=True)
            return replace(found, quarantine=quarantine)
    except OSError as error:
        raise StoreError(
            f"the run cannot be repaired: {error.strerror or error}",
            where=str(folder),
            hint="make room or mend the disk, then run the same command again: the damaged file is as it was",
        ) from error
    finally:
        lock.release()


class _Source:
    """The file as it is, read as far as it can be."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._problems: dict[str, None] = {}
        self._damaged: Counter[str] = Counter()
        #: Of version 1, and too damaged to be brought up to date.
        self._is_old = False

    def __enter__(self) -> Self:
        try:
            self._connection = connect(self.path, "ro")
            wrong = find_wrong_tables(self._connection)
            if is_empty(self._connection):
                wrong = ["there is nothing in it"]
            elif wrong and 0 < (version := read_version(self._connection)) < SCHEMA_VERSION:
                self._is_old = version == 1
                wrong = [f"it is of version {version} and cannot be brought up to date"]
            elif wrong:
                check_version(self._connection, self.path)  # what is of another version has other tables
            elif read_version(self._connection) != SCHEMA_VERSION:
                wrong = ["the number of its version"]
            self._problems |= dict.fromkeys(wrong)
        except sqlite3.DatabaseError as error:
            self._problems[str(error)] = None
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def check(self) -> Repair:
        """Read everything."""
        intact = {table: sum(1 for _ in self.read(table)) for table in COLUMNS}
        with self._note_problems() as connection:
            self._problems |= dict.fromkeys(check_structure(connection, _MOST_PROBLEMS))
        return Repair(tuple(self._problems), intact, dict(self._damaged))

    def read(self, table: str) -> Iterator[tuple[Any, ...]]:
        """The intact records of a table: from its beginning, and from its end where it breaks off between."""
        key = COLUMNS[table][0]
        last = None
        self._damaged[table] = 0
        if self._is_old and table != "answers":
            return  # nothing proves them, and they can be made again
        statement = OLD_ANSWERS if self._is_old else select(table)
        for order in ("ASC", "DESC"):
            with self._note_problems() as connection:
                for read in connection.execute(f"{statement} ORDER BY {key} {order}"):
                    record = seal_old_answer(read) if self._is_old else read
                    if order == "DESC" and last is not None and record[0] <= last:
                        return
                    if is_intact(table, record):
                        yield record
                    else:
                        self._damaged[table] += 1
                    if order == "ASC":
                        last = record[0]
                return

    @contextmanager
    def _note_problems(self) -> Iterator[sqlite3.Connection]:
        try:
            if self._connection is not None:
                yield self._connection
            else:
                with closing(sqlite3.connect(":memory:")) as nothing:
                    yield nothing
        except sqlite3.DatabaseError as error:
            self._problems[str(error)] = None


def _build(source: _Source, found: Repair, path: Path) -> Repair:
    """Write the new file, whole and durable, to where `finish_repair` looks for it."""
    unfinished = path.with_name(f"{path.name}-unfinished")
    unfinished.unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_CREAT | os.O_RDWR, 0o600))
    with closing(connect(unfinished)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            create_tables(connection)
            for table in COLUMNS:
                statement = re.sub("^INSERT( OR REPLACE)?", "INSERT OR IGNORE", INSERTS[table])
                connection.executemany(statement, source.read(table))
            salvaged = insert_answers(connection, read_answers(path))
            orphans = _drop_orphans(connection)
            _close_ranks(connection)
    sync(unfinished)
    unfinished.replace(name_repaired(path))
    sync(path.parent)
    return replace(found, salvaged=salvaged, orphans=orphans)


def _drop_orphans(connection: sqlite3.Connection) -> int:
    """Remove outcomes whose row or member is lost: they would keep their answers from being used."""
    return connection.execute(
        "DELETE FROM cells WHERE key >> 24 NOT IN (SELECT key FROM rows) "
        "OR key >> 8 & 65535 NOT IN (SELECT key FROM members)"
    ).rowcount


def _close_ranks(connection: sqlite3.Connection) -> None:
    """Make the rows that are left stand one after the other, and say how many they are: so they can be exported."""
    known = connection.execute("SELECT key, position FROM rows ORDER BY position")
    moved = [(key, position) for position, (key, old) in enumerate(known) if position != old]
    for row, position in moved:
        key, _, *values, _ = connection.execute(select("rows") + "WHERE key = ?", (row,)).fetchone()
        *_, checksum = seal("rows", (key, position, *values))
        connection.execute("UPDATE rows SET position = ?, checksum = ? WHERE key = ?", (position, checksum, key))
    names = {name for (name,) in connection.execute("SELECT name FROM meta")}
    if "rows" in names:
        (count,) = connection.execute("SELECT count(*) FROM rows").fetchone()
        connection.execute(INSERTS["meta"], seal("meta", ("rows", encode_json(count))))
    if "members" not in names:  # nobody can tell any more whose the bytes of an assignment are
        connection.execute("DELETE FROM meta WHERE name = 'run'")


def _bring_up_to_date(path: Path, *, dry_run: bool) -> None:
    """Migrate a file of an older version, if all of it can be read."""
    try:
        with closing(connect(path, "ro")) as connection:
            old = 0 < read_version(connection) < SCHEMA_VERSION and bool(find_wrong_tables(connection))
            if old and dry_run:
                check_version(connection, path)
    except sqlite3.DatabaseError:
        return
    if old:
        try:
            with closing(connect(path)) as connection:
                migrate(connection, path)
        except (sqlite3.DatabaseError, UnicodeEncodeError) as error:
            if isinstance(error, sqlite3.DatabaseError) and not is_damage(error):
                raise
