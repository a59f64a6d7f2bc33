"""The file of a run: made, opened, read beside its writer, and refused where it is something else."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import threading
import tracemalloc
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool_core.errors import StoreError
from pool_core.store.records import CellRecord, KnownCell, StoredRow
from pool_core.store.schema import SCHEMA_VERSION, pack_cell, unpack_cell
from pool_core.store.store import Store


def read_mode(path):
    return stat.S_IMODE(path.stat().st_mode)


# The file


def test_a_run_survives_closing(tmp_path, reopen, make):
    first = reopen()
    first.ingest([make.row("a", b'{"x":1}')], first.register_members("pool", ["m"]), "rows")
    first.set_meta("run", {"fields": ["x"]})
    make.save(first, (make.cell(1, 1), make.answer(b"key", b"body")))
    again = reopen()
    assert again.read_rows() == [StoredRow(1, 0, "a", b"\1", b'{"x":1}')]
    assert again.get_meta("run") == {"fields": ["x"]}
    assert again.read_answer(again.read_cells(1)[0].answer) == b"body"


def test_nobody_else_may_look_into_a_run(tmp_path, make):
    folder = tmp_path / "runs" / "one"
    before = os.umask(0)
    try:
        with Store.open(folder) as store:
            store.register_members("pool", ["m"])
            make.save(store, make.cell(1, 1))
            assert read_mode(folder) == 0o700
            files = {path.name: read_mode(path) for path in folder.iterdir()}
    finally:
        os.umask(before)
    assert files == {
        "owner.json": 0o600,
        "run.sqlite": 0o600,
        "run.sqlite-wal": 0o600,
        "run.sqlite-shm": 0o600,
        "lock": 0o600,
    }


def test_any_folder_name_works(tmp_path):
    folder = tmp_path / "a b?c#d%20e'\N{SNOWMAN}"
    with Store.open(folder) as store:
        store.set_meta("x", 1)
    with Store.read(folder) as store:
        assert store.get_meta("x") == 1
    assert (folder / "run.sqlite").is_file()


def test_a_relative_folder_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Store.open(Path("run")) as store:
        assert store.read_rows() == []
    assert (tmp_path / "run" / "run.sqlite").is_file()


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(StoreError) as error:
        Store.open(tmp_path / "run")
    assert str(error.value) == (
        f"{tmp_path / 'run'}: the run directory cannot be written: File exists\n  choose another one: --run-dir DIR"
    )


def test_a_folder_in_the_place_of_the_file_is_refused_and_nothing_stays_locked(tmp_path):
    (tmp_path / "run.sqlite").mkdir()
    with pytest.raises(StoreError, match="the run directory cannot be written: Is a directory") as error:
        Store.open(tmp_path)
    (tmp_path / "run.sqlite").rmdir()
    assert not (tmp_path / "owner.json").exists()
    Store.open(tmp_path).close()
    assert error.value.exit_code == 1


@pytest.mark.parametrize("opener", [Store.open, Store.read])
def test_what_is_no_database_is_refused_and_left_alone(tmp_path, opener):
    (tmp_path / "run.sqlite").write_bytes(b"something else " * 100)
    with pytest.raises(StoreError) as error:
        opener(tmp_path)
    assert str(error.value) == (
        f"{tmp_path / 'run.sqlite'}: the store cannot be opened: file is not a database\n"
        f"  see what is left of it with: pool repair {tmp_path}"
    )
    assert (tmp_path / "run.sqlite").read_bytes() == b"something else " * 100
    assert not (tmp_path / "owner.json").exists()


@pytest.mark.parametrize("opener", [Store.open, Store.read])
def test_another_version_is_refused(tmp_path, opener):
    Store.open(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "run.sqlite")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(StoreError) as error:
        opener(tmp_path)
    assert str(error.value) == (
        f"{tmp_path / 'run.sqlite'}: the store is of version {SCHEMA_VERSION + 1}, this pool-core reads "
        f"{SCHEMA_VERSION}\n  use the pool-core that made it, or another run directory"
    )


def test_the_database_of_another_program_is_refused_and_left_alone(tmp_path):
    connection = sqlite3.connect(tmp_path / "run.sqlite")
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(StoreError, match="the store is of version 0"):
        Store.open(tmp_path)
    connection = sqlite3.connect(tmp_path / "run.sqlite")
    assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]
    connection.close()


def test_reading_where_there_is_no_run(tmp_path):
    with pytest.raises(StoreError) as error:
        Store.read(tmp_path)
    assert str(error.value) == f"{tmp_path}: there is no run in this directory\n  it would hold a run.sqlite"
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_was_killed_before_its_tables_were_made(tmp_path):
    (tmp_path / "run.sqlite").touch()
    with pytest.raises(StoreError, match="there is no run in this directory"):
        Store.read(tmp_path)
    with Store.open(tmp_path) as store:
        assert store.read_rows() == []


def test_reading_writes_nothing_and_needs_no_lock(tmp_path, store, make):
    store.ingest([make.row("a")], store.register_members("pool", ["m"]), "rows")
    with Store.read(store.folder) as reader:
        assert reader.find_row("a") == StoredRow(1, 0, "a", b"\1", b"{}")
        assert reader.find_row("b") is None
        with pytest.raises(StoreError, match="the run cannot be written: attempt to write a readonly database"):
            reader.set_meta("x", 1)


def test_closing_twice_does_no_harm(store):
    store.close()
    store.close()


# What the run is about


def test_meta_keeps_plain_values(store):
    assert store.get_meta("x") is None
    for value in ({"a": [1, None, "x"]}, [], 0, "half \ud83d"):
        store.set_meta("x", value)
        assert store.get_meta("x") == value


def test_members_keep_their_keys(reopen):
    first = reopen()
    assert first.register_members("pool", ["a", "b"]) == [1, 2]
    assert first.register_members("pool", ["b"]) == [2]
    again = reopen()
    assert again.register_members("pool", ["c", "b", "a"]) == [3, 2, 1]
    assert again.register_members("judges", ["a"]) == [4]


def test_members_stand_in_the_order_of_the_rows_assignments(store, make):
    assert store.read_members() == []
    keys = store.register_members("pool", ["a", "b", "c"])
    store.ingest([make.row("r", assigned=b"\1\1")], [keys[2], keys[0]], "rows")
    assert store.read_members() == [(3, "c"), (1, "a")]


def test_a_basis_is_a_number_for_a_fingerprint(reopen):
    first = reopen()
    assert first.register_basis(None) is None
    assert [first.register_basis(text) for text in ("x", "y", "x")] == [1, 2, 1]
    assert reopen().register_basis("y") == 2


# Rows


def test_rows_come_in_pages_in_input_order(store, make):
    keys = store.register_members("pool", ["m"])
    store.ingest([make.row(name) for name in "abcde"], keys, "rows")
    store.ingest([make.row(name) for name in "edcba"], keys, "rows")
    assert [(row.key, row.position) for row in store.read_rows()] == [(5, 0), (4, 1), (3, 2), (2, 3), (1, 4)]
    assert [row.row_id for row in store.read_rows(-1, 2)] == ["e", "d"]
    assert [row.row_id for row in store.read_rows(1, 2)] == ["c", "b"]
    assert [row.row_id for row in store.read_rows(3, 2)] == ["a"]
    assert store.read_rows(4, 2) == []
    assert list(store.iterate_rows()) == store.read_rows()


def test_assignments_are_counted(store, make):
    keys = store.register_members("pool", ["m", "n"])
    store.ingest(
        [make.row("a", assigned=b"\1\0"), make.row("b", assigned=b"\1\0"), make.row("c", assigned=b"\0\2")], keys, "r"
    )
    assert dict(store.count_assigned()) == {b"\1\0": 2, b"\0\2": 1}


def test_an_empty_store(store):
    assert (store.read_rows(), list(store.iterate_rows())) == ([], [])
    assert (list(store.count_assigned()), store.read_cells(1)) == ([], [])
    assert store.read_known_cells(1, 0, 10) == {}
    assert not store.has_cells(1)
    assert (store.release_answers([]), store.take_answer(b"x", None)) == (0, None)


# Cells


@given(st.integers(1, 2**38), st.integers(1, 65535), st.integers(0, 255))
def test_a_cell_is_one_number_and_back(row, member, sample):
    key = pack_cell(row, member, sample)
    assert unpack_cell(key) == (row, member, sample)
    assert key < 2**63


cells = st.tuples(st.integers(1, 2**38), st.integers(1, 65535), st.integers(0, 255))


@given(cells, cells)
def test_cells_stand_in_order_of_row_member_and_sample(one, other):
    assert (pack_cell(*one) < pack_cell(*other)) == (one < other)


def test_known_cells_are_those_of_the_rows_at_these_positions(store, make):
    """Keys and positions differ, and rows, members and samples have the numbers in which packing could go wrong."""
    keys = store.register_members("pool", [f"m{number}" for number in range(300)])
    names = [f"r{number}" for number in range(520)]
    assigned = b"\1" * 300
    store.ingest([make.row(name, assigned=assigned) for name in names], keys, "rows")
    rows, members, samples = (1, 2, 255, 256, 257, 512, 513), (1, 2, 255, 256, 257), (0, 1, 253)
    make.save(store, *(make.cell(*place) for place in product(rows, members, samples)))
    positions = {name: position for position, name in enumerate(reversed(names))}
    store.ingest([make.row(name, assigned=b"\xfe" * 300) for name in positions], keys, "rows")
    for member in (1, 2, 3, 255, 256, 257):
        for first, last in ((0, 519), (0, 100), (263, 264), (518, 518)):
            expected = {
                pack_cell(row, member, sample)
                for row in rows
                for sample in samples
                if member in members and first <= positions[f"r{row - 1}"] <= last
            }
            assert set(store.read_known_cells(member, first, last)) == expected


def test_a_known_cell_says_what_a_run_needs(store, make):
    keys = store.register_members("pool", ["m"])
    store.ingest([make.row("a", assigned=b"\2")], keys, "rows")
    basis = store.register_basis("x")
    make.save(store, (make.cell(1, 1, 0, basis=basis), make.answer(b"k")), make.cell(1, 1, 1, status="failed"))
    assert store.read_known_cells(1, 0, 0) == {
        pack_cell(1, 1, 0): KnownCell("ok", "", basis, 1),
        pack_cell(1, 1, 1): KnownCell("failed", "parse", None, None),
    }


def test_the_cells_of_a_row_stand_in_order(store, make):
    made = [make.cell(1, 2, 0), make.cell(1, 1, 254), make.cell(1, 1, 2), make.cell(2, 1, 0), make.cell(1, 65535, 254)]
    make.save(store, *made)
    assert store.read_cells(1) == [made[2], made[1], made[0], made[4]]
    assert isinstance(store.read_cells(2)[0], CellRecord)
    assert store.read_cells(3) == []


def test_a_member_has_cells_or_not(store, make):
    make.save(store, make.cell(1, 2), make.cell(300, 257, 254))
    assert {member: store.has_cells(member) for member in (1, 2, 256, 257)} == {
        1: False,
        2: True,
        256: False,
        257: True,
    }


# Beside the writer


def test_a_run_can_be_read_while_it_is_written(store, make):
    keys = store.register_members("pool", ["m"])
    store.ingest([make.row(f"r{number}") for number in range(40)], keys, "rows")
    committed = threading.Semaphore(0)
    store.writer.start(committed.release)
    with Store.read(store.folder) as reader:
        seen = []
        for row in range(1, 41):
            store.writer.submit(make.cell(row, 1))
            if row % 20 == 0:
                assert committed.acquire(timeout=300)
                seen.append(reader._connection.execute("SELECT count(*) FROM cells").fetchone()[0])
        store.writer.close()
        assert 0 < seen[0] <= 20
        assert reader._connection.execute("SELECT count(*) FROM cells").fetchone()[0] == 40


def test_what_is_read_within_a_freeze_is_of_one_moment(store, make):
    keys = store.register_members("pool", ["m"])
    store.ingest([make.row("a"), make.row("b")], keys, "rows")
    with Store.read(store.folder) as reader:
        with reader.freeze():
            with reader.freeze():
                make.save(store, make.cell(1, 1), make.cell(2, 1))
            store.ingest([make.row("c", assigned=b"\1\1")], store.register_members("pool", ["n", "m"]), "rows")
            found = [(row.row_id, reader.read_cells(row.key)) for row in reader.iterate_rows()]
            assert (found, reader.read_members()) == ([("a", []), ("b", [])], [(1, "m")])
            assert [row.row_id for row in reader.read_rows()] == ["a", "b"]  # not even when all rows were read
        assert reader.read_members() == [(2, "n"), (1, "m")]
        assert [row.row_id for row in reader.iterate_rows()] == ["c"]


def test_a_freeze_ends_with_an_error_and_with_the_file(store, make):
    with Store.read(store.folder) as reader:
        with pytest.raises(LookupError), reader.freeze():
            raise LookupError
        store.ingest([make.row("a")], store.register_members("pool", ["m"]), "rows")
        assert [row.row_id for row in reader.read_rows()] == ["a"]
        with reader.freeze():
            reader.close()


def test_rows_and_messages_may_hold_any_text(store, make):
    keys = store.register_members("pool", ["m"])
    row_id = "nul \0, quote ', emoji \N{PILE OF POO}, \N{RIGHT-TO-LEFT OVERRIDE}"
    data = json.dumps({"text": "\ud83d", row_id: row_id}).encode()
    store.ingest([make.row(row_id, data), make.row("nul ", b"{}")], keys, "rows")
    make.save(store, make.cell(1, 1, status="failed", message=row_id, outputs=None))
    assert store.find_row(row_id).data == data
    assert store.read_cells(1)[0].message == row_id
    assert store.read_cells(1)[0].outputs is None


def test_outcomes_are_read_one_row_after_the_other(store, make):
    [member] = store.register_members("pool", ["m"])
    ids = [f"r{number}" for number in range(20)]
    store.ingest([make.row(name) for name in ids], [member], "rows")
    large = b'"%b"' % (b"x" * 1_000_000)
    make.save(store, *(make.cell(row, member, outputs=large) for row in range(1, 21)))
    for order in (ids, ids[::-1]):
        store.ingest([make.row(name) for name in order], [member], "rows")
        tracemalloc.start()
        try:
            found = [row for row, _cells in store.iterate_cells()]
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert found == [row.key for row in store.iterate_rows()]
        assert len(found) == 20
        assert most < 8 * len(large)
