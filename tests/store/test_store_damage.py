"""Records that are not what was written: never used, always told, done again."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from pool_core.errors import StoreError
from pool_core.report.state import read_state
from pool_core.store.opening import connect
from pool_core.store.schema import pack_cell
from pool_core.store.store import Store


@pytest.fixture
def folder(tmp_path, make):
    """A run of two rows and two members, whose cells rest on basis 1, each with its answer."""
    with Store.open(tmp_path / "run") as store:
        keys = store.register_members("pool", ["m", "n"])
        store.ingest([make.row("a", b"1", b"\1\1"), make.row("b", b"2", b"\1\1")], keys, "rows")
        basis = store.register_basis("fingerprint")
        store.set_meta("run", {})
        make.save(
            store,
            *(
                (make.cell(row, member, basis=basis), make.answer(b"%d/%d" % (row, member), b"%d%d" % (row, member)))
                for row in (1, 2)
                for member in keys
            ),
        )
    return tmp_path / "run"


def change(folder, statement):
    """What a disk may do: the statement is carried out and no checksum is made."""
    with closing(sqlite3.connect(folder / "run.sqlite")) as connection:
        connection.execute(statement)
        connection.commit()


CELL = pack_cell(1, 1, 0)
CELL_CHANGES = [
    "status = 'failed'",
    "status = x'6f6b'",
    "status = CAST(x'6fff' AS TEXT)",
    "basis = NULL",
    "attempts = 2",
    "seconds = 0.25",
    "input_tokens = 4",
    "output_tokens = NULL",
    "cause = 'parse'",
    "message = 'x'",
    "answered_by = 1",
    "outputs = x'7b7c'",
    "outputs = NULL",
    "checksum = checksum + 1",
    "checksum = 0.5",
]


@pytest.mark.parametrize("what", CELL_CHANGES)
def test_a_damaged_cell_counts_as_not_done_and_is_told(folder, what):
    change(folder, f"UPDATE cells SET {what} WHERE key = {CELL}")
    with Store.open(folder) as store:
        store.release_answers([(1, 1), (2, 1)])
        assert set(store.read_known_cells(1, 0, 1)) == {pack_cell(2, 1, 0)}
        assert set(store.read_known_cells(2, 0, 1)) == {pack_cell(1, 2, 0), pack_cell(2, 2, 0)}
        assert store.damaged == {("cells", CELL)}
        assert store.take_answer(b"1/1", None) == (1, b"11")
        assert store.take_answer(b"2/1", None) is None


@pytest.mark.parametrize("what", CELL_CHANGES)
def test_a_damaged_cell_is_not_exported_and_is_told(folder, what):
    change(folder, f"UPDATE cells SET {what} WHERE key = {CELL}")
    for _ in range(2):
        with Store.read(folder) as store:
            assert [cell.key for cell in store.read_cells(1)] == [pack_cell(1, 2, 0)]
            assert store.damaged == {("cells", CELL)}


def test_an_answer_that_another_cell_holds_is_not_given_back(folder, make):
    change(folder, f"UPDATE cells SET answer = 2 WHERE key = {CELL}")
    with Store.open(folder) as store:
        store.release_answers([(1, 1), (2, 1)])
        store.read_known_cells(1, 0, 1)
        assert store.take_answer(b"1/2", None) is None
        assert store.take_answer(b"1/1", None) == (1, b"11")


def test_the_answer_of_a_damaged_cell_that_was_not_settled_is_given_once(folder):
    change(folder, f"UPDATE cells SET attempts = 2 WHERE key = {CELL}")
    with Store.open(folder) as store:
        assert store.release_answers([]) == 4
        store.read_known_cells(1, 0, 1)
        assert store.take_answer(b"1/1", None) == (1, b"11")
        assert store.take_answer(b"1/1", None) is None


@pytest.mark.parametrize(
    "what", ["body = x'3132'", "request = x'00'", "created = 2", "cost = 1", "member = 1", "input_tokens = 1"]
)
def test_a_damaged_answer_is_not_used_and_is_told(folder, what):
    change(folder, f"UPDATE answers SET {what} WHERE key = 1")
    with Store.open(folder) as store:
        assert store.read_answer(1) is None
        assert store.read_answer(2) == b"12"
        store.release_answers([])
        assert store.take_answer(b"1/1", None) is None
        assert store.take_answer(b"1/2", None) == (2, b"12")
        assert store.damaged == {("answers", 1)}


def test_an_answer_that_is_gone_is_told(folder):
    change(folder, "DELETE FROM answers WHERE key = 1")
    with Store.read(folder) as store:
        assert store.read_answer(1) is None
        assert store.damaged == {("answers", 1)}


@pytest.mark.parametrize("what", ["data = x'33'", "assigned = x'0102'", "row_id = 'c'", "checksum = 0"])
def test_a_damaged_row_is_told(folder, what):
    change(folder, f"UPDATE rows SET {what} WHERE key = 2")
    with Store.read(folder) as store:
        message = (
            f"{folder}: the stored row 2 is damaged\n"
            "  run the recipe again: the row is read anew from the input, and stored answers are used"
        )
        for read in (
            store.read_rows,
            lambda: list(store.iterate_rows()),
            lambda: store.find_row("b" if "row_id" not in what else "c"),
        ):
            with pytest.raises(StoreError) as error:
                read()
            assert str(error.value) == message


@pytest.mark.parametrize("row", [1, 2])
def test_a_row_that_is_gone_is_told(folder, row):
    change(folder, f"DELETE FROM rows WHERE key = {row}")
    with Store.read(folder) as store, pytest.raises(StoreError) as error:
        list(store.iterate_rows())
    assert str(error.value) == (
        f"{folder}: the store is damaged: row {row} of 2 is not there\n"
        "  run the recipe again, which reads it from the input, or `pool repair` to go on without it"
    )


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE meta SET value = '[1,3]' WHERE name = 'members'", "1 record of meta"),
        ("UPDATE members SET name = 'x' WHERE key = 1", "1 record of members"),
        ("UPDATE bases SET key = 2", "1 record of bases"),
        ("DROP INDEX answers_requests", "answers_requests is not defined as it should be"),
        ("ALTER TABLE cells RENAME TO bells", "bells is not defined as it should be; cells is not defined as it"),
    ],
)
@pytest.mark.parametrize("opener", [Store.open, Store.read])
def test_what_decides_the_meaning_of_all_else_must_be_sound(folder, statement, what, opener):
    change(folder, statement)
    with pytest.raises(StoreError) as error:
        opener(folder)
    assert str(error.value).startswith(f"{folder}: the store is damaged: {what}")
    assert error.value.hint == f"see what is left of it with: pool repair {folder}"
    assert not (folder / "owner.json").exists()


@pytest.mark.parametrize("opener", [Store.open, Store.read])
def test_a_broken_structure_is_found_at_opening(folder, opener):
    change(folder, "PRAGMA writable_schema = 1")
    with closing(sqlite3.connect(folder / "run.sqlite")) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'rows_by_position'").fetchone()
    data = bytearray((folder / "run.sqlite").read_bytes())
    data[(page - 1) * 4096 + 4] ^= 1  # the number of entries of the index
    (folder / "run.sqlite").write_bytes(data)
    with pytest.raises(StoreError, match="rows_by_position"):
        opener(folder)


def test_what_is_found_broken_later_is_told(folder, monkeypatch):
    """A file too large to be checked whole at opening."""
    monkeypatch.setattr("pool_core.store.opening.CHECKED_SIZE", 0)
    with closing(sqlite3.connect(folder / "run.sqlite")) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'cells'").fetchone()
    data = bytearray((folder / "run.sqlite").read_bytes())
    data[(page - 1) * 4096] ^= 0xFF
    (folder / "run.sqlite").write_bytes(data)
    with Store.read(folder) as store, pytest.raises(StoreError) as error:
        store.read_known_cells(1, 0, 1)
    assert str(error.value) == (
        f"{folder}: the store cannot be read: database disk image is malformed\n"
        f"  see what is left of it with: pool repair {folder}"
    )


def test_a_damaged_mark_of_a_withdrawn_answer_is_told(folder):
    change(folder, "INSERT INTO withdrawn VALUES (1, 7)")
    with Store.open(folder) as store:
        assert store.release_answers([]) == 4
        assert store.damaged == {("withdrawn", 1)}
    with Store.open(folder) as store:
        assert (store.release_answers([]), store.damaged) == (4, set())


def test_an_answer_whose_key_was_damaged_does_not_spoil_those_after_it(folder, make):
    change(folder, f"UPDATE answers SET key = {2**63 - 1} WHERE key = 4")
    with Store.open(folder) as store:
        make.save(store, (make.cell(1, 1), make.answer(b"k", b"new")))
        assert store.read_answer(4) == b"new"


def test_connections_are_durable(folder):
    with closing(connect(folder / "run.sqlite")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_damaged_record_in_a_place_where_none_should_be_is_told_once(folder):
    """Its key was damaged: no cell of that place will ever be done, so nothing would take its place."""
    change(folder, f"UPDATE cells SET key = {pack_cell(1, 1, 7)} WHERE key = {CELL}")
    for found in ({("cells", pack_cell(1, 1, 7))}, set()):
        with Store.open(folder) as store:
            store.release_answers([])
            assert CELL not in store.read_known_cells(1, 0, 1)
            assert store.damaged == found


@pytest.mark.parametrize("assigned", ["x'0101ff'", "'text'", "7"])
def test_how_a_run_stands_cannot_be_told_where_an_assignment_is_damaged(folder, assigned):
    change(folder, f"UPDATE rows SET assigned = {assigned} WHERE key = 1")
    with pytest.raises(StoreError, match="the assignment of a stored row is damaged") as caught:
        read_state(folder)
    assert "run the recipe again" in caught.value.hint


def test_a_row_whose_number_is_damaged_is_told_of_without_it(folder):
    change(folder, "UPDATE rows SET position = 'text' WHERE key = 2")
    with Store.read(folder) as store, pytest.raises(StoreError, match="the stored row of unknown number is damaged"):
        list(store.iterate_rows())


@pytest.mark.parametrize("key", [-1, 0])
def test_a_row_whose_key_has_become_too_small_is_read_anew(folder, make, key):
    change(folder, f"UPDATE rows SET key = {key} WHERE key = 2")
    with Store.open(folder) as store:
        count = store.ingest([make.row("a", b"1", b"\1\1"), make.row("b", b"2", b"\1\1")], [1, 2], "rows")
        assert (count.rows, count.damaged, count.removed) == (2, 1, 0)
        assert [row.row_id for row in store.iterate_rows()] == ["a", "b"]


def test_the_last_time_is_that_of_an_answer_that_is_intact(folder):
    with Store.read(folder) as store:
        assert store.read_last_time() == 1.5
    change(folder, "UPDATE answers SET created = x'00' WHERE key = 4")
    with Store.read(folder) as store:
        assert store.read_last_time() == 1.5
        assert store.damaged == {("answers", 4)}
    change(folder, "UPDATE answers SET created = 2")
    with Store.read(folder) as store:
        assert store.read_last_time() is None


@pytest.mark.parametrize("key", [1 << 39, 1 << 60, 0, -5, -(1 << 62)])
def test_a_row_with_a_key_that_no_cell_can_have_is_damaged(folder, key):
    change(folder, f"UPDATE rows SET key = {key} WHERE position = 0")
    with Store.read(folder) as store:
        assert [row for row, _cells in store.iterate_cells()] == [2]
        with pytest.raises(StoreError, match="the stored row 1 is damaged"):
            list(store.iterate_rows())
