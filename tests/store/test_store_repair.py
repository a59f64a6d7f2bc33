"""A damaged file is built anew of what is intact, and the damaged one is kept."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from contextlib import closing

import pytest

from pool_core.errors import RunLockedError, StoreError
from pool_core.store import repair as repair_module
from pool_core.store.opening import connect
from pool_core.store.quarantine import name_repaired
from pool_core.store.repair import repair_run
from pool_core.store.salvage import read_torn_log
from pool_core.store.schema import SCHEMA_VERSION
from pool_core.store.store import Store

PAGE = 4096
ROWS = 400


@pytest.fixture
def folder(tmp_path, make):
    """A run of many pages."""
    with Store.open(tmp_path / "run") as store:
        keys = store.register_members("pool", ["m"])
        store.ingest([make.row(f"r{number}", b"%d" % number) for number in range(ROWS)], keys, "rows")
        store.register_basis("fingerprint")
        store.set_meta("run", {"fields": []})
        make.save(
            store,
            *(
                (
                    make.cell(row, 1, basis=1, outputs=b"o" * 50),
                    make.answer(b"request %d" % row, b"%d " % row * 20, member=1),
                )
                for row in range(1, ROWS + 1)
            ),
        )
    return tmp_path / "run"


def execute(folder, statement):
    with closing(sqlite3.connect(folder / "run.sqlite")) as connection:
        found = connection.execute(statement).fetchall()
        connection.commit()
    return found


def break_pages(folder, kind, *, table, most=1):
    """Overwrite the heads of pages that hold records of ``table``, as a disk may."""
    marks = {"answers": b"request ", "cells": b"ooo"}
    data = bytearray((folder / "run.sqlite").read_bytes())
    done = 0
    for start in reversed(range(PAGE, len(data), PAGE)):
        page = data[start : start + PAGE]
        if page[0] == kind and marks[table] in page and done < most:
            data[start : start + 8] = b"\xff" * 8
            done += 1
    assert done == most
    (folder / "run.sqlite").write_bytes(data)


def test_a_sound_run_is_left_as_it_is(folder):
    before = (folder / "run.sqlite").read_bytes()
    for dry_run in (True, False):
        found = repair_run(folder, dry_run=dry_run)
        assert found.sound
        assert (found.problems, found.quarantine, sum(found.damaged.values())) == ((), None, 0)
        assert found.intact == {
            "meta": 3, "rows": ROWS, "members": 1, "bases": 1, "answers": ROWS, "withdrawn": 0, "cells": ROWS
        }  # fmt: skip
    assert (folder / "run.sqlite").read_bytes() == before


@pytest.mark.parametrize("table", ["answers", "cells"])
def test_what_stands_on_broken_pages_is_lost_or_read_from_them(folder, table):
    break_pages(folder, 13, table=table, most=2)
    with pytest.raises(StoreError, match="pool repair"):
        Store.open(folder)
    found = repair_run(folder)
    assert found.problems
    assert found.quarantine == folder / "damaged-1"
    with Store.open(folder) as store:
        assert sum(spent.answers for spent in store.read_spent().values()) == ROWS
        assert all(store.read_answer(key) == b"%d " % key * 20 for key in range(1, ROWS + 1))
        assert [row.row_id for row in store.read_rows()] == [f"r{number}" for number in range(ROWS)]
        cells = [cell for row in range(1, ROWS + 1) for cell in store.read_cells(row)]
        # lost cells keep no answer: it can be used again
        assert store.release_answers([(1, 1)]) == ROWS - len(cells)
    if table == "answers":
        assert (len(cells), found.salvaged > 0) == (ROWS, True)
    else:
        assert (0 < len(cells) < ROWS, found.salvaged) == (True, 0)
    assert repair_run(folder).sound


def test_a_dry_run_changes_nothing(folder):
    break_pages(folder, 13, table="cells")
    before = (folder / "run.sqlite").read_bytes()
    found = repair_run(folder, dry_run=True)
    assert not found.sound
    assert found.quarantine is None
    assert (folder / "run.sqlite").read_bytes() == before
    assert not (folder / "damaged-1").exists()


def test_damaged_records_are_left_out(folder):
    execute(folder, "UPDATE cells SET message = 'x' WHERE key >> 24 IN (1, 2)")
    execute(folder, "UPDATE answers SET body = x'00' WHERE key = 3")
    execute(folder, "UPDATE rows SET data = x'00' WHERE key = 4")
    found = repair_run(folder)
    assert (found.problems, found.orphans, found.salvaged) == ((), 1, 0)
    assert {table: number for table, number in found.damaged.items() if number} == {"cells": 2, "answers": 1, "rows": 1}
    with Store.read(folder) as store:
        assert [row.row_id for row in store.iterate_rows()] == [f"r{number}" for number in range(ROWS) if number != 3]
        assert [bool(store.read_cells(row)) for row in (1, 2, 3, 4, 5)] == [False, False, True, False, True]
        assert store.damaged == set()


def test_the_damaged_file_and_its_log_are_kept_for_their_owner_alone(folder, make):
    with Store.read(folder) as reader, reader.freeze():  # keeps the log
        with Store.open(folder) as store:
            make.save(store, (make.cell(1, 1), make.answer(b"late")))
        kept = {name: (folder / name).read_bytes() for name in ("run.sqlite", "run.sqlite-wal")}
        assert len(kept["run.sqlite-wal"]) > PAGE
        shutil.copytree(folder, folder.with_name("copy"))
    folder = folder.with_name("copy")
    break_pages(folder, 13, table="cells")
    kept["run.sqlite"] = (folder / "run.sqlite").read_bytes()
    quarantine = repair_run(folder).quarantine
    assert {file.name: file.read_bytes() for file in quarantine.iterdir()} == kept
    assert stat.S_IMODE(quarantine.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in quarantine.iterdir()} == {0o600}
    assert not name_repaired(folder / "run.sqlite").exists()
    with Store.open(folder) as store:
        assert store.release_answers([]) == ROWS + 1


def test_repairing_again_and_again_keeps_every_damaged_file(folder):
    for number in (1, 2, 3):
        execute(folder, f"UPDATE cells SET message = 'x' WHERE key >> 24 = {number}")
        assert repair_run(folder).quarantine == folder / f"damaged-{number}"


@pytest.mark.parametrize("what", ["schema", "version", "first page", "not a database", "empty", "short"])
def test_a_file_that_sqlite_cannot_open_gives_its_answers(folder, what):
    path = folder / "run.sqlite"
    data = bytearray(path.read_bytes())
    if what == "schema":
        at = data.index(b"CREATE TABLE cells")
        data[at : at + 6] = b"\xffREATE"
    elif what == "version":
        data[63] ^= 0x40
    elif what == "first page":
        data[:PAGE] = bytes(PAGE)
    elif what == "not a database":
        data[:16] = b"something else!!"
    elif what == "empty":
        data = b""
    else:
        data = data[: PAGE * 3 + 77]
    path.write_bytes(data)
    found = repair_run(folder)
    assert not found.sound
    with Store.open(folder) as store:
        count = store.release_answers([])
        assert count == {"empty": 0, "short": count}.get(what, ROWS)
        assert len(store.read_rows()) == (ROWS if what == "version" else 0)
    assert repair_run(folder).sound


def test_a_lost_list_of_members_takes_what_rests_on_it_along(folder):
    """Nobody could tell whose the samples of the rows are: an export must not guess."""
    execute(folder, "DELETE FROM meta WHERE name = 'members'")
    execute(folder, "UPDATE cells SET message = 'x' WHERE key >> 24 = 1")
    repair_run(folder)
    with Store.read(folder) as store:
        assert store.get_meta("run") is None
    assert execute(folder, "SELECT count(*) FROM cells") == [(ROWS - 1,)]


def test_cells_of_a_lost_member_are_given_up_and_their_answers_are_free(folder):
    execute(folder, "UPDATE members SET name = 'x'")
    assert repair_run(folder).orphans == ROWS
    with Store.open(folder) as store:
        assert store.release_answers([(1, 1)]) == ROWS


def test_a_file_of_a_newer_version_is_left_alone(folder):
    execute(folder, "ALTER TABLE cells ADD COLUMN later")
    execute(folder, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(StoreError, match="use the pool-core that made it"):
        repair_run(folder)
    assert not (folder / "damaged-1").exists()


def test_where_there_is_no_run(tmp_path):
    with pytest.raises(StoreError) as error:
        repair_run(tmp_path)
    assert str(error.value) == f"{tmp_path}: there is no run in this directory\n  it would hold a run.sqlite"


def test_a_run_that_is_going_on_is_left_alone(folder):
    with Store.open(folder), pytest.raises(RunLockedError, match="another process works on this run"):
        repair_run(folder)


@pytest.mark.parametrize("step", ["_choose_folder", "_copy", "sync"])
def test_a_repair_that_was_interrupted_is_finished_by_whoever_comes_next(folder, monkeypatch, step):
    """From the moment on at which the new file is complete."""
    execute(folder, "UPDATE cells SET message = 'x' WHERE key >> 24 = 1")
    damaged = (folder / "run.sqlite").read_bytes()

    def fail(*_arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(f"pool_core.store.quarantine.{step}", fail)
        with pytest.raises(StoreError) as error:
            repair_run(folder)
    assert str(error.value) == (
        f"{folder}: the run cannot be repaired: No space left on device\n"
        "  make room or mend the disk, then run the same command again: the damaged file is as it was"
    )
    with Store.open(folder) as store:
        assert store.read_cells(1) == []
        assert len(store.read_cells(2)) == 1
    assert [path.name for path in folder.glob("damaged-*")] == ["damaged-1"]
    assert (folder / "damaged-1" / "run.sqlite").read_bytes() == damaged
    assert repair_run(folder).sound


def test_a_repair_that_fails_before_the_new_file_is_complete_changes_nothing(folder, monkeypatch):
    execute(folder, "UPDATE cells SET message = 'x' WHERE key >> 24 = 1")
    damaged = (folder / "run.sqlite").read_bytes()

    def fail(*_arguments):
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(repair_module, "_close_ranks", fail)
        with pytest.raises(StoreError, match="the run cannot be repaired: database or disk is full"):
            repair_run(folder)
    assert (folder / "run.sqlite").read_bytes() == damaged
    assert repair_run(folder).quarantine == folder / "damaged-1"


def test_without_links_the_damaged_file_is_copied(folder, monkeypatch):
    def fail(*_arguments):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr("pool_core.store.quarantine.os.link", fail)
    execute(folder, "UPDATE cells SET message = 'x' WHERE key >> 24 = 1")
    damaged = (folder / "run.sqlite").read_bytes()
    quarantine = repair_run(folder).quarantine
    assert (quarantine / "run.sqlite").read_bytes() == damaged
    assert stat.S_IMODE((quarantine / "run.sqlite").stat().st_mode) == 0o600


# The torn end of a log


@pytest.fixture
def torn(tmp_path, make):
    """A killed run whose log holds ten commits, and where in the log each begins."""
    run, copy = tmp_path / "run", tmp_path / "torn"
    Store.open(run).close()
    with Store.read(run) as reader, reader.freeze(), Store.open(run) as store:
        ends = []
        store.writer.start(lambda: ends.append((run / "run.sqlite-wal").stat().st_size))
        for row in range(1, 11):
            store.writer.submit(make.cell(row, 1), make.answer(b"k%d" % row, b"%d" % row))
            while store.writer.pending:
                pass
        store.writer.close()
        shutil.copytree(run, copy)
    return copy, ends


def test_answers_behind_a_damaged_frame_are_put_back(torn):
    folder, ends = torn
    data = bytearray((folder / "run.sqlite-wal").read_bytes())
    data[ends[4] + 30] ^= 1  # in the first frame of the sixth commit
    (folder / "run.sqlite-wal").write_bytes(data)
    with Store.open(folder) as store:
        assert store.recovered == 5
        assert store.release_answers([]) == 10
        assert {store.take_answer(b"k%d" % row, None)[1] for row in range(1, 11)} == {
            b"%d" % row for row in range(1, 11)
        }
        assert [len(store.read_cells(row)) for row in (5, 6)] == [1, 0]
    with Store.open(folder) as store:
        assert store.recovered == 0


def test_a_log_without_its_head_gives_all_answers(torn):
    folder, _ = torn
    data = bytearray((folder / "run.sqlite-wal").read_bytes())
    data[:32] = bytes(32)
    (folder / "run.sqlite-wal").write_bytes(data)
    with Store.open(folder) as store:
        assert (store.recovered, store.release_answers([])) == (10, 10)


def test_an_answer_whose_key_is_taken_by_now_gets_another(torn, make):
    folder, ends = torn
    log = bytearray((folder / "run.sqlite-wal").read_bytes())
    (folder / "run.sqlite-wal").write_bytes(log[: ends[4]])
    with Store.open(folder) as store:
        make.save(store, (make.cell(6, 1), make.answer(b"another", b"paid meanwhile")))
    (folder / "run.sqlite-wal").write_bytes(bytes(32) + log[32:])
    with Store.open(folder) as store:
        assert store.recovered == 5
        assert store.read_answer(6) == b"paid meanwhile"
        assert sorted(store.read_answer(key) for key in range(7, 12)) == [b"10", b"6", b"7", b"8", b"9"]


def test_each_answer_of_a_torn_log_is_found_once(torn):
    folder, ends = torn
    data = bytearray((folder / "run.sqlite-wal").read_bytes())
    data[ends[2] + 30] ^= 1
    (folder / "run.sqlite-wal").write_bytes(data)
    with closing(connect(folder / "run.sqlite")) as connection:
        found = read_torn_log(connection, folder / "run.sqlite")
    assert sorted(record[0] for record in found) == [4, 5, 6, 7, 8, 9, 10]
