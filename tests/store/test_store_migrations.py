"""Files of older versions go on, and those of newer ones are left alone."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from pool_core.errors import StoreError
from pool_core.store.migrations import _STEPS, create_tables
from pool_core.store.records import CellRecord, KnownCell, Spent, StoredRow
from pool_core.store.repair import repair_run
from pool_core.store.schema import SCHEMA_VERSION, pack_cell
from pool_core.store.sealing import COLUMNS, is_intact, select
from pool_core.store.store import Store

VERSION_1 = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE rows (
    key INTEGER PRIMARY KEY,
    position INTEGER NOT NULL,
    row_id TEXT NOT NULL UNIQUE,
    ingest INTEGER NOT NULL,
    assigned BLOB NOT NULL,
    digest BLOB NOT NULL,
    data BLOB NOT NULL
);
CREATE INDEX rows_by_position ON rows (position);
CREATE TABLE members (
    key INTEGER PRIMARY KEY,
    stage TEXT NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (stage, name)
);
CREATE TABLE bases (key INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL UNIQUE);
CREATE TABLE answers (
    key INTEGER PRIMARY KEY,
    created REAL NOT NULL,
    seconds REAL NOT NULL,
    request BLOB NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX answers_by_request ON answers (request);
CREATE TABLE cells (
    key INTEGER PRIMARY KEY,
    status TEXT NOT NULL,
    basis INTEGER,
    answer INTEGER,
    attempts INTEGER NOT NULL,
    seconds REAL NOT NULL,
    input_tokens INTEGER,
    output_tokens INTEGER,
    cause TEXT NOT NULL,
    message TEXT NOT NULL,
    outputs BLOB
);
PRAGMA user_version = 1;
"""

BODIES = [
    b'{"text":"a","usage":{"input_tokens":3,"output_tokens":4}}',
    b'{"text":"b","usage":{"input_tokens":5,"output_tokens":null}}',
    b'{"text":"\\ud83d","usage":null}',
    b'{"text":"e","usage":{"input_tokens":' + b"9" * 30 + b',"output_tokens":-1}}',
    b"no JSON any more",
]


def make_old_file(folder):
    """A run of version 1: two rows, two members, one of whose cells failed, and answers that nobody holds."""
    folder.mkdir()
    connection = sqlite3.connect(folder / "run.sqlite")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(VERSION_1)
    connection.executemany("INSERT INTO meta VALUES (?, ?)", [("members", b"[1,2]"), ("run", b'{"fields":{}}')])
    connection.executemany(
        "INSERT INTO rows VALUES (?, ?, ?, 1, ?, ?, ?)",
        [(1, 1, "a", b"\1\1", b"digest", b'{"x":1}'), (2, 0, "b \N{SNOWMAN}", b"\1\1", b"digest", b'{"x":2}')],
    )
    connection.executemany("INSERT INTO members VALUES (?, 'pool', ?)", [(1, "m"), (2, "n")])
    connection.execute("INSERT INTO bases VALUES (1, 'fingerprint')")
    connection.executemany(
        "INSERT INTO answers VALUES (?, 1700000000.25, 2, ?, ?)",
        [(key, b"request %d" % key, body) for key, body in enumerate(BODIES, 1)],
    )
    connection.executemany(
        "INSERT INTO cells VALUES (?, ?, ?, ?, 1, 0.5, 3, 4, ?, ?, ?)",
        [
            (pack_cell(1, 1, 0), "ok", 1, 1, "", "", b'{"said":"a"}'),
            (pack_cell(2, 2, 0), "failed", 1, 2, "parse", "no list", None),
            (pack_cell(1, 2, 0), "failed", None, None, "transport", "no connection", None),
        ],
    )
    connection.commit()
    connection.close()


@pytest.fixture
def folder(tmp_path):
    make_old_file(tmp_path / "old")
    return tmp_path / "old"


def dump(path):
    connection = sqlite3.connect(path)
    lines = [*connection.iterdump(), connection.execute("PRAGMA user_version").fetchone()]
    connection.close()
    return lines


def test_a_file_of_version_1_keeps_all_it_had(folder):
    with Store.open(folder) as store:
        assert store.read_rows() == [
            StoredRow(2, 0, "b \N{SNOWMAN}", b"\1\1", b'{"x":2}'),
            StoredRow(1, 1, "a", b"\1\1", b'{"x":1}'),
        ]
        assert store.read_members() == [(1, "m"), (2, "n")]
        assert store.get_meta("run") == {"fields": {}}
        assert store.register_basis("fingerprint") == 1
        assert store.register_members("pool", ["n", "o"]) == [2, 3]
        assert [store.read_answer(key) for key in range(1, 6)] == [*BODIES[:4], None]  # what is no answer is not used
        assert store.read_cells(1) == [
            CellRecord(pack_cell(1, 1, 0), "ok", 1, 1, 1, 0.5, 3, 4, "", "", b'{"said":"a"}', None),
            CellRecord(
                pack_cell(1, 2, 0), "failed", None, None, 1, 0.5, 3, 4, "transport", "no connection", None, None
            ),
        ]
        assert store.read_known_cells(2, 0, 0) == {pack_cell(2, 2, 0): KnownCell("failed", "parse", 1, 2)}


def test_what_a_file_of_version_1_has_spent_is_read_from_its_answers(folder):
    with Store.open(folder) as store:
        assert store.read_spent() == {
            1: Spent(1, 3, 4, 0.0, 0, 1),
            2: Spent(1, 5, 0, 0.0, 1, 1),
            0: Spent(3, 0, 0, 0.0, 3, 3),
        }


def test_its_settled_cells_stay_settled_and_its_free_answers_free(folder):
    with Store.open(folder) as store:
        assert store.release_answers([(1, 1), (2, 1)]) == 3
        assert store.take_answer(b"request 1", None) is None
        assert store.take_answer(b"request 3", None) == (3, BODIES[2])


def test_rows_that_have_not_changed_keep_their_cells(folder, make):
    with Store.open(folder) as store:
        rows = [make.row("b \N{SNOWMAN}", b'{"x":2}', b"\1\1"), make.row("a", b'{"x":1}', b"\1\1")]
        count = store.ingest(rows, [1, 2], "rows")
        assert (count.added, count.changed, count.removed, count.damaged) == (0, 0, 0, 0)
        assert len(store.read_cells(1)) == 2


def test_every_record_is_sealed_and_the_tables_are_those_of_a_new_file(folder, tmp_path):
    Store.open(folder).close()
    Store.open(tmp_path / "new").close()
    connection = sqlite3.connect(folder / "run.sqlite")
    for table in COLUMNS:
        records = connection.execute(select(table)).fetchall()
        assert bool(records) == (table != "withdrawn")
        assert [is_intact(table, record) for record in records].count(False) == (table == "answers")
    new = sqlite3.connect(tmp_path / "new" / "run.sqlite")
    tables = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name"
    assert connection.execute(tables).fetchall() == new.execute(tables).fetchall()
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    new.close()


def test_a_step_that_fails_leaves_the_file_as_it_was(folder, monkeypatch):
    before = dump(folder / "run.sqlite")

    step = _STEPS[1]

    def fail(connection):
        step(connection)
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("pool_core.store.migrations._STEPS", {1: fail})
    with pytest.raises(StoreError, match="the store cannot be opened: database or disk is full"):
        Store.open(folder)
    assert dump(folder / "run.sqlite") == before
    assert not (folder / "owner.json").exists()


def test_reading_an_old_file_says_what_to_do_and_writes_nothing(folder):
    before = (folder / "run.sqlite").read_bytes()
    with pytest.raises(StoreError) as error:
        Store.read(folder)
    assert str(error.value) == (
        f"{folder / 'run.sqlite'}: the store is of version 1, this pool-core reads {SCHEMA_VERSION}\n"
        "  `pool repair` and `pool run` bring it up to date; nothing is asked again for that"
    )
    assert (folder / "run.sqlite").read_bytes() == before


@pytest.mark.parametrize("table", ["meta", "rows", "members", "bases", "cells", "rows_by_position"])
def test_the_answers_of_a_damaged_file_of_version_1_are_kept(folder, table):
    with closing(sqlite3.connect(folder / "run.sqlite")) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with (folder / "run.sqlite").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xee" * size)
    if table != "rows_by_position":  # an index is made anew
        with pytest.raises(StoreError) as error:
            Store.open(folder)
        assert error.value.hint == f"see what is left of it with: pool repair {folder}"
    found = repair_run(folder)
    assert found.intact["answers"] == 4
    with Store.open(folder) as store:
        assert [store.read_answer(key) for key in range(1, 5)] == BODIES[:4]
        assert store.release_answers([]) >= 4
        assert store.take_answer(b"request 3", None) == (3, BODIES[2])


def test_a_text_of_version_1_that_is_none_any_more(folder):
    with closing(sqlite3.connect(folder / "run.sqlite")) as connection:
        connection.execute("UPDATE cells SET message = CAST(x'ff' AS TEXT)")
        connection.commit()
    with pytest.raises(StoreError, match="a text of version 1 is none any more"):
        Store.open(folder)
    assert repair_run(folder).intact["answers"] == 4
    with Store.open(folder) as store:
        assert store.release_answers([]) == 4


def test_a_full_disk_is_no_damage_of_an_old_file(folder, monkeypatch):
    def fail(_connection):
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorname = "SQLITE_FULL"
        raise error

    monkeypatch.setattr("pool_core.store.migrations._STEPS", {1: fail})
    with pytest.raises(StoreError, match="the run cannot be repaired: database or disk is full"):
        repair_run(folder)


def make_version_2(folder):
    """The file as version 2 has it: another index."""
    Store.open(folder).close()
    with closing(sqlite3.connect(folder / "run.sqlite")) as connection:
        connection.execute("DROP INDEX answers_requests")
        connection.execute("CREATE INDEX answers_by_request ON answers (request)")
        connection.execute("PRAGMA user_version = 2")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def test_a_file_of_version_2_gets_another_index(folder, tmp_path):
    make_version_2(folder)
    with pytest.raises(StoreError, match="the store is of version 2, this pool-core reads 3"):
        Store.read(folder)
    with Store.open(folder) as store:
        assert store.read_answer(1) == BODIES[0]
    Store.open(tmp_path / "new").close()
    tables = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name"
    with (
        closing(sqlite3.connect(folder / "run.sqlite")) as old,
        closing(sqlite3.connect(tmp_path / "new" / "run.sqlite")) as new,
    ):
        assert old.execute(tables).fetchall() == new.execute(tables).fetchall()


def test_a_file_of_version_2_that_cannot_be_brought_up_to_date_is_salvaged(folder):
    make_version_2(folder)
    with closing(sqlite3.connect(folder / "run.sqlite")) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'answers_by_request'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with (folder / "run.sqlite").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xee" * size)
    found = repair_run(folder)
    assert "it is of version 2 and cannot be brought up to date" in found.problems
    assert found.intact["answers"] == 4
    with Store.open(folder) as store:
        assert [store.read_answer(key) for key in range(1, 5)] == BODIES[:4]
        assert len(store.read_cells(1)) == 2


def test_there_is_a_step_from_every_version():
    assert sorted(_STEPS) == list(range(1, SCHEMA_VERSION))


def test_the_columns_of_records_are_those_of_the_tables():
    connection = sqlite3.connect(":memory:")
    create_tables(connection)
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    assert sorted(tables) == sorted(COLUMNS)
    for table, columns in COLUMNS.items():
        found = {column[1] for column in connection.execute(f"PRAGMA table_info({table})")}
        assert found == {*columns, "checksum"}
    connection.close()
