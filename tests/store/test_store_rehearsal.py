"""A rehearsal: what an ingest would do is seen, and the run's file stays as it is."""

from __future__ import annotations

import pytest

from pool_core.errors import RowsError
from pool_core.store.records import CellRecord, NewAnswer, NewRow
from pool_core.store.rehearsal import Rehearsal
from pool_core.store.schema import pack_cell
from pool_core.store.store import Store


def make_rows(*ids, assigned=b"\1\1"):
    return [NewRow(row_id, "line", b'{"a": 1}', assigned) for row_id in ids]


@pytest.fixture
def folder(tmp_path):
    """A run of two members over three rows, each cell with an outcome and an answer."""
    with Store.open(tmp_path / "run") as store:
        keys = store.register_members("pool", ["ann", "bob"])
        store.ingest(make_rows("x", "y", "z"), keys, "rows")
        store.writer.start()
        for row in store.read_rows():
            for key in keys:
                answer = NewAnswer(1.0, 1.0, bytes([row.key, key]) * 8, b"{}", key)
                cell = CellRecord(pack_cell(row.key, key, 0), "ok", 1, None, 1, 1.0, 1, 1, "", "", b"{}")
                store.writer.submit(cell, answer)
        store.writer.close()
    return tmp_path / "run"


def test_rows_change_in_the_rehearsal_alone(folder):
    before = (folder / "run.sqlite").read_bytes()
    with Rehearsal.read(folder) as store:
        keys = store.register_members("pool", ["ann", "cid"])
        assert keys == [1, 3]
        counted = store.ingest(make_rows("z", "x", "new"), keys, "rows")
        assert (counted.rows, counted.added, counted.removed) == (3, 1, 1)
        assert [row.row_id for row in store.read_rows()] == ["z", "x", "new"]
        assert store.count_dropped(keys) == {(1, "row"): 1, (2, "row"): 1, (2, "member"): 2}
        assert store.find_reordered()
        assert store.read_cell(pack_cell(1, 1, 0)) is not None
        assert store.read_cell(pack_cell(1, 2, 0)) is None
        assert store.release_answers([(1, 1)]) == 4
    assert (folder / "run.sqlite").read_bytes() == before
    with Store.read(folder) as store:
        assert [row.row_id for row in store.read_rows()] == ["x", "y", "z"]
        assert dict(store.read_members()) == {1: "ann", 2: "bob"}


def test_fewer_samples_are_told_apart_from_edited_rows(folder):
    with Rehearsal.read(folder) as store:
        edited = NewRow("x", "line", b'{"a": 2}', b"\1\1")
        store.ingest([edited, *make_rows("y", "z", assigned=b"\0\1")], [1, 2], "rows")
        assert store.count_dropped([1, 2]) == {(1, "sample"): 2}
        assert store.query("SELECT count(*) FROM cells") == [(2,)]
        assert not store.find_reordered()


def test_it_stays_as_it_was_opened_while_the_run_goes_on(folder):
    with Rehearsal.read(folder) as store:
        with Store.open(folder) as other:
            other.ingest(make_rows("x"), [1, 2], "rows")
            other.set_meta("parts", "new")
        assert store.get_meta("parts") is None
        assert store.query("SELECT count(*) FROM cells") == [(6,)]
    with Rehearsal.read(folder) as store:
        assert (store.get_meta("parts"), store.query("SELECT count(*) FROM cells")) == ("new", [(2,)])


def test_without_a_run_there_is_an_empty_one(tmp_path):
    with Rehearsal.read(tmp_path / "none") as store:
        assert store.is_new
        assert store.register_members("pool", ["ann"]) == [1]
        assert store.ingest(make_rows("x"), [1], "rows").added == 1
        assert store.count_dropped([1]) == {}
    assert not (tmp_path / "none").exists()


def test_two_rows_with_one_id_are_an_error(folder):
    with Rehearsal.read(folder) as store, pytest.raises(RowsError, match="ids must be unique"):
        store.ingest(make_rows("x", "x"), [1, 2], "rows")
