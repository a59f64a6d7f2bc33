"""Answers that no cell may use any more: of cells that are to be asked anew, and given up for room."""

from __future__ import annotations

import shutil
import sqlite3

import pytest

from pool_core.errors import StoreError
from pool_core.store.records import Spent
from pool_core.store.schema import pack_cell
from pool_core.store.store import Store
from pool_core.store.withdrawal import Garbage, collect_garbage, find_garbage, withdraw_failed


def fail(make, row, member, cause="parse", **keys):
    return make.cell(row, member, status="failed", basis=1, **keys)._replace(cause=cause)


@pytest.fixture
def failed(store, make):
    """Two members with cells that failed, by cause, and one that did not."""
    make.save(
        store,
        (fail(make, 1, 1), make.answer(b"1/1")),
        (fail(make, 2, 1, "refusal"), make.answer(b"2/1")),
        (make.cell(3, 1, basis=1), make.answer(b"3/1")),
        fail(make, 4, 1, "transport"),
        (fail(make, 1, 2), make.answer(b"1/2")),
    )
    return store


def settled(store):
    """The cells that the next run would leave as they are."""
    return {
        cell.key for row in range(1, 5) for cell in store.read_cells(row) if cell.answer is not None and cell.basis == 1
    }


ALL = ("parse", "refusal", "transport")


@pytest.mark.parametrize(
    ("members", "causes", "counted", "left"),
    [
        ((1, 2), ALL, {(1, "parse"): 1, (1, "refusal"): 1, (1, "transport"): 1, (2, "parse"): 1}, [(3, 1)]),
        ((1,), ("parse",), {(1, "parse"): 1}, [(2, 1), (3, 1), (1, 2)]),
        ((2,), ALL, {(2, "parse"): 1}, [(1, 1), (2, 1), (3, 1)]),
        ((), ALL, {}, [(1, 1), (2, 1), (3, 1), (1, 2)]),
        ((1, 2), ("timeout",), {}, [(1, 1), (2, 1), (3, 1), (1, 2)]),
    ],
)
def test_failed_cells_are_no_longer_settled(failed, members, causes, counted, left):
    assert withdraw_failed(failed, members, causes) == counted
    assert settled(failed) == {pack_cell(row, member, 0) for row, member in left}
    assert failed.release_answers([(1, 1), (2, 1)]) == 0
    assert failed.damaged == set()


def test_a_failed_cell_stays_told_until_it_is_asked(failed):
    withdraw_failed(failed, (1, 2), ALL)
    assert [(cell.status, cell.cause, cell.answer) for cell in failed.read_cells(2)] == [("failed", "refusal", None)]


def test_other_answers_to_the_same_request_are_withdrawn_unless_a_cell_holds_them(store, make):
    store.writer.start()
    store.writer.submit_answer(make.answer(b"k", b"an earlier attempt"))
    store.writer.submit(fail(make, 1, 1), make.answer(b"k", b"the last attempt"))
    store.writer.submit(make.cell(2, 1, basis=1), make.answer(b"k", b"of an equal row"))
    store.writer.submit_answer(make.answer(b"other", b"free"))
    store.writer.close()
    withdraw_failed(store, (1,), ALL)
    assert store.release_answers([(1, 1)]) == 1
    assert store.take_answer(b"k", None) is None
    assert store.release_answers([]) == 2  # the member has changed: an answer that was good may serve again
    assert store.take_answer(b"k", None)[1] == b"of an equal row"


def test_withdrawing_twice_and_over_processes(reopen, make):
    make.save(reopen(), (fail(make, 1, 1), make.answer(b"k")))
    assert withdraw_failed(reopen(), (1,), ALL) == {(1, "parse"): 1}
    assert withdraw_failed(reopen(), (1,), ALL) == {(1, "parse"): 1}
    assert reopen().release_answers([]) == 0


def test_what_was_withdrawn_is_still_known_to_have_been_paid(store, make):
    make.save(store, (fail(make, 1, 1), make.answer(b"k", member=1, input_tokens=3, output_tokens=4, cost=0.5)))
    withdraw_failed(store, (1,), ALL)
    assert store.read_spent() == {1: Spent(1, 3, 4, 0.5, 0, 0)}


# Room


def fill(store, make, size=50_000):
    """Ten answers that cells hold and twenty that none does."""
    store.writer.start()
    for row in range(1, 11):
        for attempt in (1, 2):
            store.writer.submit_answer(make.answer(b"k%d" % row, b"%d" % attempt * size, member=1, cost=0.5))
        store.writer.submit(make.cell(row, 1, basis=1), make.answer(b"k%d" % row, b"%d" % row * 10, member=1, cost=0.5))
    store.writer.close()


def test_only_answers_that_no_outcome_rests_on_are_given_up(reopen, make):
    store = reopen()
    fill(store, make)
    assert find_garbage(store) == Garbage(20, 20 * 50_000)
    collect_garbage(store)
    assert find_garbage(store) == Garbage(0, 0)
    store = reopen()
    assert (store.folder / "run.sqlite").stat().st_size < 100_000
    assert [store.read_answer(cell.answer) for row in range(1, 11) for cell in store.read_cells(row)] == [
        b"%d" % row * 10 for row in range(1, 11)
    ]
    assert store.read_spent() == {1: Spent(30, 0, 0, 15.0, 30, 0)}
    assert (store.read_answer(1), store.damaged) == (None, set())
    assert store.release_answers([]) == 10
    assert store.release_answers([(1, 1)]) == 0


def test_what_failed_and_is_settled_keeps_its_answer(failed):
    assert find_garbage(failed) == Garbage(0, 0)
    withdraw_failed(failed, (1,), ("parse",))
    assert find_garbage(failed).answers == 1


def test_an_answer_that_was_given_up_does_not_come_back_from_an_old_log(tmp_path, make):
    run, copy = tmp_path / "run", tmp_path / "copy"
    Store.open(run).close()
    with Store.read(run) as reader, reader.freeze(), Store.open(run) as store:
        fill(store, make, 100)
        shutil.copy(run / "run.sqlite-wal", copy)
    with Store.open(run) as store:
        collect_garbage(store)
    shutil.copy(copy, run / "run.sqlite-wal")
    (run / "run.sqlite-wal").write_bytes(bytes(32) + copy.read_bytes()[32:])
    with Store.open(run) as store:
        assert (store.recovered, find_garbage(store)) == (0, Garbage(0, 0))


def test_a_full_disk_loses_no_answer(store, make):
    fill(store, make)

    class Full:
        def __init__(self, connection):
            self.connection = connection

        def execute(self, statement, *values):
            if statement == "VACUUM":
                raise sqlite3.OperationalError("database or disk is full")
            return self.connection.execute(statement, *values)

        def __getattr__(self, name):
            return getattr(self.connection, name)

        def __enter__(self):
            return self.connection.__enter__()

        def __exit__(self, *error):
            return self.connection.__exit__(*error)

    store._connection = Full(store._connection)
    with pytest.raises(StoreError, match="the room cannot be given back: database or disk is full"):
        collect_garbage(store)
    assert len([cell for row in range(1, 11) for cell in store.read_cells(row)]) == 10
    assert store.read_answer(store.read_cells(1)[0].answer) == b"1" * 10
