"""Rows come in: added, changed, moved and removed, whole or not at all."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pool_core.errors import RowsError, StoreError
from pool_core.store.ingest import IngestCount
from pool_core.store.schema import unpack_cell
from pool_core.store.store import Store


@pytest.fixture
def members(store):
    return store.register_members("pool", ["a", "b"])


@pytest.fixture
def ingest(store, make, members):
    """Ingests rows given as id to (data, assigned)."""

    def ingest_rows(rows, keys=None):
        new = (
            make.row(row_id, data, assigned, f"line {number}") for number, (row_id, data, assigned) in enumerate(rows)
        )
        return store.ingest(new, keys or members, "rows.jsonl")

    return ingest_rows


def list_cells(store):
    return [unpack_cell(cell.key) for row in store.read_rows() for cell in store.read_cells(row.key)]


def save_all(store, make, count=3):
    """Finish every assigned cell of rows 1 to ``count`` for members 1 and 2, with an answer each."""
    make.save(
        store,
        *((make.cell(row, member), make.answer(b"%d" % row)) for row in range(1, count + 1) for member in (1, 2)),
    )


ROWS = [("x", b"1", b"\1\1"), ("y", b"2", b"\1\1"), ("z", b"3", b"\1\1")]


def test_rows_are_added_once(store, ingest):
    assert ingest(ROWS) == IngestCount(3, 3, 0, 0)
    assert ingest(ROWS) == IngestCount(3, 0, 0, 0, unchanged=True)
    assert ingest([*ROWS, ("w", b"4", b"\1\1")]) == IngestCount(4, 1, 0, 0)
    assert [(row.key, row.position, row.row_id) for row in store.read_rows()] == [
        (1, 0, "x"),
        (2, 1, "y"),
        (3, 2, "z"),
        (4, 3, "w"),
    ]


def test_a_changed_row_loses_its_outcomes_and_keeps_its_answers(store, make, ingest):
    ingest(ROWS)
    save_all(store, make)
    assert ingest([ROWS[0], ("y", b"changed", b"\1\1"), ROWS[2]]) == IngestCount(3, 0, 1, 0)
    assert list_cells(store) == [(1, 1, 0), (1, 2, 0), (3, 1, 0), (3, 2, 0)]
    assert store.find_row("y").data == b"changed"
    assert store.release_answers([]) == 6


def test_a_row_that_moved_keeps_its_outcomes(store, make, ingest):
    ingest(ROWS)
    save_all(store, make)
    assert ingest(ROWS[::-1]) == IngestCount(3, 0, 0, 0)
    assert [(row.key, row.position) for row in store.read_rows()] == [(3, 0), (2, 1), (1, 2)]
    assert sorted(list_cells(store)) == [(row, member, 0) for row in (1, 2, 3) for member in (1, 2)]


def test_a_row_that_is_gone_takes_its_outcomes_with_it(store, make, ingest):
    ingest(ROWS)
    save_all(store, make)
    assert ingest([ROWS[0], ROWS[2]]) == IngestCount(2, 0, 0, 1)
    assert [row.row_id for row in store.read_rows()] == ["x", "z"]
    assert store._connection.execute("SELECT count(*) FROM cells").fetchone()[0] == 4
    assert store.release_answers([]) == 6


def test_a_new_row_never_gets_the_outcomes_of_one_that_is_gone(store, make, ingest):
    ingest(ROWS)
    save_all(store, make)
    ingest(ROWS[:2])
    ingest([*ROWS[:2], ("new", b"9", b"\1\1")])
    assert store.read_cells(store.find_row("new").key) == []


def test_all_rows_can_go(store, make, ingest):
    ingest(ROWS)
    save_all(store, make)
    assert ingest([]) == IngestCount(0, 0, 0, 3)
    assert (store.read_rows(), store._connection.execute("SELECT count(*) FROM cells").fetchone()[0]) == ([], 0)
    assert ingest(ROWS) == IngestCount(3, 3, 0, 0)


# Assignments


def test_fewer_samples_drop_the_outcomes_beyond_them(store, make, ingest):
    ingest([("x", b"1", b"\3\2"), ("y", b"2", b"\1\1")])
    make.save(
        store, *(make.cell(1, 1, sample) for sample in range(3)), *(make.cell(1, 2, sample) for sample in range(2))
    )
    ingest([("x", b"1", b"\1\2"), ("y", b"2", b"\1\1")])
    assert list_cells(store) == [(1, 1, 0), (1, 2, 0), (1, 2, 1)]


def test_outcomes_of_many_samples_stay(store, make, ingest):
    ingest([("x", b"1", b"\xfe\0")])
    make.save(store, *(make.cell(1, 1, sample) for sample in range(254)))
    ingest([("x", b"1", b"\xfd\0")])
    assert len(list_cells(store)) == 253


def test_a_condition_that_fails_leaves_room_for_one_outcome(store, make, ingest):
    ingest([("x", b"1", b"\2\2")])
    make.save(store, *(make.cell(1, member, sample) for member in (1, 2) for sample in (0, 1)))
    ingest([("x", b"1", b"\xff\2")])
    assert list_cells(store) == [(1, 1, 0), (1, 2, 0), (1, 2, 1)]


def test_a_removed_member_takes_its_outcomes_with_it(store, make, ingest, members):
    ingest(ROWS)
    save_all(store, make)
    ingest([(row_id, data, b"\1") for row_id, data, _ in ROWS], [members[1]])
    assert list_cells(store) == [(1, 2, 0), (2, 2, 0), (3, 2, 0)]
    assert store.release_answers([]) == 6


def test_another_order_of_members_keeps_the_outcomes_of_each(store, make, ingest, members):
    ingest([("x", b"1", b"\2\1")])
    make.save(store, make.cell(1, 1, 0), make.cell(1, 1, 1), make.cell(1, 2, 0))
    ingest([("x", b"1", b"\1\2")], members[::-1])
    assert list_cells(store) == [(1, 1, 0), (1, 1, 1), (1, 2, 0)]


def test_equal_assignments_of_other_members_mean_other_cells(store, make, ingest, members):
    ingest([("x", b"1", b"\2\1")])
    make.save(store, make.cell(1, 1, 0), make.cell(1, 1, 1), make.cell(1, 2, 0))
    ingest([("x", b"1", b"\2\1")], members[::-1])
    assert list_cells(store) == [(1, 1, 0), (1, 2, 0)]


def test_the_order_of_members_changes_with_the_rows_or_not_at_all(store, make, ingest, members):
    ingest(ROWS)

    def break_off():
        yield make.row("x", assigned=b"\0\1")
        raise RowsError("torn", where="rows.jsonl: line 2")

    with pytest.raises(RowsError, match="torn"):
        store.ingest(break_off(), members[::-1], "rows.jsonl")
    assert store.read_members() == [(1, "a"), (2, "b")]
    ingest([(row_id, data, b"\0\1") for row_id, data, _ in ROWS], members[::-1])
    assert store.read_members() == [(2, "b"), (1, "a")]


def test_members_with_keys_beyond_a_byte(store, make):
    keys = store.register_members("pool", [f"m{number}" for number in range(300)])
    store.ingest([make.row("x", assigned=b"\1" * 300)], keys, "rows")
    make.save(store, *(make.cell(1, key) for key in keys))
    assert keys[-1] == 300
    store.ingest([make.row("x", assigned=b"\1" * 299)], keys[:-1], "rows")
    assert list_cells(store) == [(1, key, 0) for key in keys[:-1]]


# Errors


def test_duplicates_are_listed_with_their_places(store, ingest):
    with pytest.raises(RowsError) as error:
        ingest([*ROWS, ROWS[1], ("x", b"other", b"\1\1")])
    assert str(error.value) == (
        "rows.jsonl: ids must be unique: "
        "'y' of line 3 is that of row 2 as well; 'x' of line 4 is that of row 1 as well\n"
        "  choose another id column, or none: then a row's content identifies it"
    )
    assert store.read_rows() == []


def test_at_most_five_duplicates_are_listed(ingest):
    def read():
        yield from [ROWS[0]] * 6
        pytest.fail("read on")

    with pytest.raises(RowsError) as error:
        ingest(read())
    assert error.value.message.count("as well") == 5


def test_a_duplicate_of_a_known_row_is_found_too(store, make, ingest):
    ingest(ROWS)
    save_all(store, make)
    with pytest.raises(RowsError, match="'x' of line 1 is that of row 1 as well"):
        ingest([ROWS[0], ROWS[0], ROWS[1]])
    assert [row.row_id for row in store.read_rows()] == ["x", "y", "z"]
    assert len(list_cells(store)) == 6


@pytest.mark.parametrize("error", [RowsError("torn"), ValueError("torn"), KeyboardInterrupt("torn")])
def test_an_error_while_reading_leaves_everything_as_it_was(store, make, ingest, members, error):
    ingest(ROWS)
    save_all(store, make)
    before = store.read_rows()

    def read():
        yield make.row("z", b"changed", b"\0\1")
        yield make.row("new")
        raise error

    with pytest.raises(type(error), match="torn"):
        store.ingest(read(), members, "rows.jsonl")
    assert store.read_rows() == before
    assert len(list_cells(store)) == 6
    assert ingest(ROWS) == IngestCount(3, 0, 0, 0, unchanged=True)


def test_rows_that_cannot_be_stored_are_told(store, ingest):
    store._connection.execute("PRAGMA query_only = 1")
    with pytest.raises(StoreError) as error:
        ingest(ROWS)
    assert str(error.value) == (
        f"{store.folder}: the rows cannot be stored: attempt to write a readonly database\n"
        "  the run directory must be writable for this"
    )


tables = st.dictionaries(
    st.sampled_from("uvwxyz"), st.tuples(st.sampled_from([b"1", b"2"]), st.sampled_from([b"\0\1", b"\1\1", b"\2\0"]))
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(tables, st.booleans()), min_size=1, max_size=4))
def test_after_any_history_the_store_holds_what_the_last_rows_say(tmp_path_factory, make, history):
    """Each step finishes all of its cells; a later step keeps exactly those that still mean the same."""
    folder = tmp_path_factory.mktemp("run")
    finished: dict[tuple[str, int, int], bytes] = {}
    for rows, swapped in history:
        with Store.open(folder) as store:
            keys = store.register_members("pool", ["a", "b"])
            order = keys[::-1] if swapped else keys
            store.ingest([make.row(row_id, *row) for row_id, row in rows.items()], order, "rows")
            assert [row.row_id for row in store.read_rows()] == list(rows)
            wanted = {
                (row_id, member, sample): data
                for row_id, (data, assigned) in rows.items()
                for member, count in zip(order, assigned, strict=True)
                for sample in range(count)
            }
            names = {row.key: row.row_id for row in store.read_rows()}
            kept = {(names[row], member, sample) for row, member, sample in list_cells(store)}
            assert kept == {cell for cell, data in wanted.items() if finished.get(cell) == data}
            ids = {row_id: key for key, row_id in names.items()}
            make.save(store, *(make.cell(ids[row_id], member, sample) for row_id, member, sample in wanted))
            finished = wanted


# Damaged rows


def damage(store, change, *values):
    store._connection.execute(f"UPDATE rows SET {change}", values)


@pytest.mark.parametrize(
    "change", ["data = x'7b7d'", "assigned = x'0101'", "position = 7", "checksum = 1"], ids=lambda text: text[:8]
)
def test_a_damaged_row_is_read_anew_and_its_cells_are_done_again(store, make, ingest, change):
    ingest([("x", b"1", b"\1\0"), ("y", b"2", b"\1\1")])
    save_all(store, make, 2)
    damage(store, change + " WHERE key = 1")
    assert ingest([("x", b"1", b"\1\0"), ("y", b"2", b"\1\1")]) == IngestCount(2, 0, 0, 0, 1)
    assert [(row.data, row.assigned, row.position) for row in store.read_rows()] == [
        (b"1", b"\1\0", 0),
        (b"2", b"\1\1", 1),
    ]
    assert list_cells(store) == [(2, 1, 0), (2, 2, 0)]
    assert store.release_answers([]) == 4
    assert ingest([("x", b"1", b"\1\0"), ("y", b"2", b"\1\1")]) == IngestCount(2, 0, 0, 0, unchanged=True)


def test_a_row_whose_key_was_damaged_is_read_anew_under_a_sound_one(store, make, ingest):
    ingest(ROWS)
    save_all(store, make)
    damage(store, "key = 1 << 50 WHERE row_id = 'z'")
    assert ingest(ROWS) == IngestCount(3, 1, 0, 0, 1)
    assert [row.key for row in store.read_rows()] == [1, 2, 3]
    assert {row for row, _, _ in list_cells(store)} == {1, 2}


def test_a_new_row_never_gets_the_outcomes_of_a_damaged_one(store, make, ingest):
    ingest(ROWS)
    save_all(store, make)
    damage(store, "data = x'00' WHERE row_id = 'z'")
    assert ingest([*ROWS[:2], ("w", b"4", b"\1\1")]) == IngestCount(3, 1, 0, 0, 1)
    assert store.find_row("w").key == 3
    assert store.read_cells(3) == []


def test_the_outcomes_of_a_row_that_is_no_longer_there_go(store, make, ingest):
    ingest(ROWS[:1])
    save_all(store, make, 1)
    damage(store, "key = 9, row_id = 'w'")
    assert ingest(ROWS[:1]).damaged == 1
    assert store._connection.execute("SELECT count(*) FROM cells").fetchone()[0] == 0


def test_rows_that_have_not_changed_are_not_written(store, ingest):
    ingest(ROWS)
    before = store._connection.total_changes
    ingest(ROWS)
    assert store._connection.total_changes - before == 2  # the members and the number of rows
