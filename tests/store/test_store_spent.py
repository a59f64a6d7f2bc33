"""What was paid for: summed over every answer that was ever stored, whoever holds it now."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from pool_core.store.records import Spent


def test_nothing_was_spent_in_an_empty_store(store):
    assert store.read_spent() == {}


def test_what_each_member_paid_is_summed_over_processes(reopen, make):
    first = reopen()
    make.save(
        first,
        (make.cell(1, 1), make.answer(b"a", member=1, input_tokens=10, output_tokens=20, cost=0.5)),
        (make.cell(2, 1), make.answer(b"b", member=1, input_tokens=1, output_tokens=2, cost=0.25)),
        (make.cell(1, 2), make.answer(b"c", member=2, input_tokens=7)),
    )
    again = reopen()
    make.save(again, (make.cell(1, 1), make.answer(b"d", member=1, output_tokens=3, cost=0)))
    assert again.read_spent() == {1: Spent(3, 11, 25, 0.75, 1, 0), 2: Spent(1, 7, 0, 0.0, 1, 1)}


def test_answers_that_say_no_member_are_summed_under_0(store, make):
    make.save(store, (make.cell(1, 1), make.answer(b"a")))
    assert store.read_spent() == {0: Spent(1, 0, 0, 0.0, 1, 1)}


def test_an_answer_without_a_cell_is_paid_for_and_free(store, make):
    """An attempt that was asked again, or a request that lost a race: no cell ends with it."""
    store.writer.start()
    store.writer.submit_answer(make.answer(b"k", b"attempt", member=1, input_tokens=1, output_tokens=2, cost=0.125))
    store.writer.submit(make.cell(1, 1, basis=1), make.answer(b"k", b"final", member=1, cost=0.25))
    assert store.writer.pending <= 2
    store.writer.close()
    assert store.writer.pending == 0
    assert [store.read_answer(key) for key in (1, 2)] == [b"attempt", b"final"]
    assert store.read_cells(1)[0].answer == 2
    assert store.read_spent() == {1: Spent(2, 1, 2, 0.375, 1, 0)}
    assert store.release_answers([(1, 1)]) == 1
    assert store.take_answer(b"k", None) == (1, b"attempt")


def test_counts_that_a_server_made_up_do_not_overflow_the_sum(store, make):
    most = (1 << 63) - 1
    make.save(store, *((make.cell(row, 1), make.answer(b"k", member=1, input_tokens=most)) for row in (1, 2, 3)))
    assert store.read_spent()[1].input_tokens >= 3 * most - 3


def test_who_answered_for_another_is_kept(store, make):
    make.save(store, make.cell(1, 1)._replace(answered_by=2), make.cell(1, 2))
    assert [cell.answered_by for cell in store.read_cells(1)] == [2, None]


@pytest.fixture
def paid(reopen, make):
    """A run in which each of two members has paid for one answer."""
    first = reopen()
    figures = {"input_tokens": 10, "output_tokens": 20, "cost": 0.5}
    make.save(first, *((make.cell(1, member), make.answer(b"k", member=member, **figures)) for member in (1, 2)))
    return first.folder


SPENT = Spent(1, 10, 20, 0.5)
#: An answer was paid for, and nobody can tell what.
LOST = Spent(1, unknown_tokens=1, unknown_cost=1)


def damage(folder, change):
    with closing(sqlite3.connect(folder / "run.sqlite")) as connection:
        connection.execute(f"UPDATE answers SET {change} WHERE key = 1")
        connection.commit()


@pytest.mark.parametrize("change", ["cost = 5000.0", "input_tokens = 11", "member = 2", "member = 7", "body = x'00'"])
def test_what_a_damaged_answer_cost_is_not_known(paid, reopen, change):
    damage(paid, change)
    store = reopen()
    assert store.read_spent() == {0: LOST, 2: SPENT}
    assert store.damaged == {("answers", 1)}


@pytest.mark.parametrize(
    "change", ["cost = 9e999", "cost = -9e999", "output_tokens = 9e999", "input_tokens = 'x'", "member = x'01'"]
)
def test_what_cannot_be_summed_is_not_known_in_large_files_either(paid, reopen, monkeypatch, change):
    damage(paid, change)
    monkeypatch.setattr("pool_core.store.store.CHECKED_SIZE", 0)
    store = reopen()
    assert store.read_spent() == {0: LOST, 2: SPENT}
    assert store.damaged == set()
