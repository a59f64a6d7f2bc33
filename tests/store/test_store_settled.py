"""Whether all cells of a member are done: told at once, and only where it is so."""

from __future__ import annotations

from collections import Counter

import pytest

from pool_core.store.schema import pack_cell
from pool_core.store.settled import count_settled


@pytest.fixture
def done(store, make):
    """Three rows: one, two and no samples of member 1, and a condition that cannot be evaluated for member 2."""
    keys = store.register_members("pool", ["a", "b"])
    rows = [make.row("x", assigned=b"\1\xff"), make.row("y", assigned=b"\2\0"), make.row("z", assigned=b"\0\1")]
    store.ingest(rows, keys, "rows")
    cells = [
        make.cell(1, 1, 0, basis=1),
        make.cell(2, 1, 0, basis=1),
        make.cell(2, 1, 1, basis=1, status="failed"),
        make.cell(1, 2, 0, basis=2, status="failed"),
        make.cell(3, 2, 0, basis=2),
    ]
    make.save(store, *((cell, make.answer(b"k")) for cell in cells))
    return store


def test_finished_members_are_counted(done):
    assert count_settled(done, 1, [1]) == Counter({("ok", ""): 2, ("failed", "parse"): 1})
    assert count_settled(done, 2, [2, 1]) == Counter({("ok", ""): 1, ("failed", "parse"): 1})


def test_another_basis_is_not_settled(done):
    assert count_settled(done, 1, [2]) is None
    assert count_settled(done, 1, []) is None


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM cells WHERE key = :key",
        "UPDATE cells SET basis = 2 WHERE key = :key",
        "UPDATE cells SET answer = NULL WHERE key = :key",
        "UPDATE cells SET key = key + 3 WHERE key = :key",
        "UPDATE cells SET key = key + (1 << 24) * 7 WHERE key = :key",
        "UPDATE cells SET key = key + (1 << 9) WHERE key = :key",
    ],
)
@pytest.mark.parametrize("place", [(1, 1, 0), (2, 1, 1)])
def test_one_cell_that_is_missing_is_missed(done, statement, place):
    done._connection.execute(statement, {"key": pack_cell(*place)})
    assert count_settled(done, 1, [1]) is None
    assert count_settled(done, 2, [2]) is not None


def test_a_row_that_is_new_is_missed(done, make):
    rows = [make.row("x", assigned=b"\1\xff"), make.row("y", assigned=b"\2\0"), make.row("w", assigned=b"\1\0")]
    done.ingest(rows, [1, 2], "rows")
    assert count_settled(done, 1, [1]) is None
    assert count_settled(done, 2, [2]) == Counter({("failed", "parse"): 1})


def test_a_member_without_cells_is_done(done, make):
    done.ingest([make.row("x", assigned=b"\0\0")], [1, 2], "rows")
    assert count_settled(done, 1, [1]) == Counter()
