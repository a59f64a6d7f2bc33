"""The one thread that writes: what it committed stays, and what it could not write is told."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading

import pytest

from pool_core.errors import StoreError
from pool_core.store import writer as writer_module
from pool_core.store.store import Store
from pool_core.store.writer import GROUP_SIZE, Writer


class Broken:
    """A connection that works until its ``commits`` are used up."""

    def __init__(self, connection, commits):
        self.connection = connection
        self.commits = commits

    def __enter__(self):
        return self.connection.__enter__()

    def __exit__(self, *error):
        return self.connection.__exit__(*error)

    def execute(self, statement, *values):
        if statement == "BEGIN IMMEDIATE":
            self.commits -= 1
            if self.commits < 0:
                raise sqlite3.OperationalError("database or disk is full")
        return self.connection.execute(statement, *values)

    def __getattr__(self, name):
        return getattr(self.connection, name)


def make_failing(store, commits=0):
    connect = store.writer._connect
    return Writer(lambda: Broken(connect(), commits), "here")


def wait_for_failure(writer):
    failed = threading.Event()
    writer.start(lambda: failed.set() if writer.failed else None)
    return failed


def test_everything_submitted_is_there_after_closing(store, make):
    make.save(store, *((make.cell(row, 1), make.answer(b"%d" % row, b"%d" % row)) for row in range(1, 5001)))
    assert store.writer.pending == 0
    assert store._connection.execute("SELECT count(*) FROM cells").fetchone()[0] == 5000
    assert all(store.read_answer(store.read_cells(row)[0].answer) == b"%d" % row for row in (1, 17, 2001, 5000))


def test_an_outcome_gets_the_key_of_the_answer_paid_for_it_and_others_keep_theirs(store, make):
    make.save(store, (make.cell(1, 1), make.answer(b"x")), make.cell(2, 1, answer=1), make.cell(3, 1))
    assert [store.read_cells(row)[0].answer for row in (1, 2, 3)] == [1, 1, None]


def test_answers_of_a_later_process_get_keys_of_their_own(reopen, make):
    make.save(reopen(), (make.cell(1, 1), make.answer(b"x", b"one")))
    again = reopen()
    make.save(again, (make.cell(1, 1), make.answer(b"x", b"two")))
    assert again.read_cells(1)[0].answer == 2
    assert [again.read_answer(key) for key in (1, 2)] == [b"one", b"two"]


def test_the_last_outcome_of_a_cell_stands(store, make):
    make.save(store, make.cell(1, 1, status="failed"), make.cell(1, 1, outputs=b"1"), make.cell(1, 1, outputs=b"2"))
    assert [(cell.status, cell.outputs) for cell in store.read_cells(1)] == [("ok", b"2")]


def test_outcomes_are_committed_in_groups(store, make, monkeypatch):
    monkeypatch.setattr(writer_module, "GROUP_SECONDS", 300.0)  # a pause between two of them ends no group
    commits = []
    store.writer.start(lambda: commits.append(store.writer.pending))
    for row in range(1, 10 * GROUP_SIZE + 1):
        store.writer.submit(make.cell(row, 1))
    store.writer.close()
    assert commits[-1] == 0
    assert len(commits) <= 10


def test_few_outcomes_do_not_wait_for_a_full_group(store, make):
    committed = threading.Event()
    store.writer.start(committed.set)
    store.writer.submit(make.cell(1, 1))
    assert committed.wait(300)
    assert store.writer.pending == 0
    assert len(store.read_cells(1)) == 1
    store.writer.close()


def test_pending_counts_what_is_not_durable(store, make):
    assert store.writer.pending == 0
    store.writer.submit(make.cell(1, 1))
    assert store.writer.pending == 1
    store.writer.start()
    store.writer.close()
    assert store.writer.pending == 0


def test_closing_twice_and_without_start(store, make):
    Writer(lambda: None, "").close()
    make.save(store, make.cell(1, 1))
    store.writer.close()
    assert len(store.read_cells(1)) == 1


def test_a_failure_is_told_with_what_is_unsaved(store, make):
    writer = make_failing(store)
    for row in (1, 2, 3):
        writer.submit(make.cell(row, 1))
    writer.start()
    with pytest.raises(StoreError) as error:
        writer.close()
    assert writer.failed
    assert str(error.value) == (
        "here: the run cannot be written: database or disk is full; 3 outcomes are unsaved\n"
        "  make room or mend the disk, then run the same command again: what was committed is kept"
    )
    with pytest.raises(StoreError, match="3 outcomes are unsaved"):
        writer.close()


def test_nothing_more_is_taken_after_a_failure(store, make):
    writer = make_failing(store)
    failed = wait_for_failure(writer)
    writer.submit(make.cell(1, 1))
    assert failed.wait(300)
    with pytest.raises(StoreError, match="1 outcomes are unsaved"):
        writer.submit(make.cell(2, 1))
    with pytest.raises(StoreError):
        writer.check()
    assert writer.pending == 1
    with pytest.raises(StoreError):
        writer.close()


def test_what_was_committed_before_a_failure_is_kept(store, make):
    writer = make_failing(store, commits=1)
    done = threading.Semaphore(0)
    writer.start(done.release)
    writer.submit(make.cell(1, 1), make.answer(b"x"))
    assert done.acquire(timeout=300)
    writer.submit(make.cell(2, 1), make.answer(b"y"))
    assert done.acquire(timeout=300)
    with pytest.raises(StoreError, match="1 outcomes are unsaved"):
        writer.close()
    assert len(store.read_cells(1)) == 1
    assert store.read_cells(2) == []
    assert store.release_answers([]) == 1


def test_a_group_is_written_whole_or_not_at_all(store, make):
    bad = make.cell(2, 1)._replace(status=None)
    store.writer.submit(make.cell(1, 1), make.answer(b"x"))
    store.writer.submit(bad, make.answer(b"y"))
    store.writer.start()
    with pytest.raises(StoreError, match=r"NOT NULL constraint failed: cells\.status; 2 outcomes are unsaved"):
        store.writer.close()
    assert store.read_cells(1) == []
    assert store.release_answers([]) == 0


def test_a_store_that_cannot_be_opened_for_writing_is_told(tmp_path):
    with Store.open(tmp_path / "run") as store:
        (tmp_path / "run" / "run.sqlite").rename(tmp_path / "moved")
        store.writer.start()
        with pytest.raises(StoreError, match="unable to open database file; 0 outcomes are unsaved"):
            store.writer.close()


KILLED = """
import os, sys, threading
from pathlib import Path
from pool_core.store.records import CellRecord, NewAnswer
from pool_core.store.schema import pack_cell
from pool_core.store.store import Store

store = Store.open(Path(sys.argv[1]))
committed = threading.Event()
store.writer.start(lambda: store.writer.pending or committed.set())
for row in range(1, 101):
    cell = CellRecord(pack_cell(row, 1, 0), "ok", None, None, 1, 0.0, None, None, "", "", None)
    store.writer.submit(cell, NewAnswer(0.0, 0.0, b"%d" % row, b"%d" % row))
committed.wait(300)
os.kill(os.getpid(), 9)
"""


def test_what_is_committed_is_there_after_the_process_was_killed(tmp_path):
    folder = tmp_path / "run"
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder)], timeout=600, check=False)
    assert done.returncode == -signal.SIGKILL
    with Store.open(folder) as store:
        assert store._connection.execute("SELECT count(*) FROM cells").fetchone()[0] == 100
        assert store.read_answer(store.read_cells(100)[0].answer) == b"100"
