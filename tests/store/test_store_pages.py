"""Answers read from raw pages: what SQLite reads, and what it does not read any more."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from random import Random

import pytest

from pool_core.store.pages import read_answers
from pool_core.store.sealing import select
from pool_core.store.store import Store

PAGE = 4096


def fill(store, make, count=300, member=1):
    """Answers of every size: within a page, over one page of their own, over several."""
    random = Random(count)
    items = []
    for row in range(1, count + 1):
        body = random.randbytes(random.choice([0, 10, 3900, 4000, 4061, 4062, 9000, 20000]))
        paid = {"member": row % 3 or None, "input_tokens": row * 10 ** row.bit_length(), "cost": row % 2 / 4}
        items.append((make.cell(row, member), make.answer(b"k%d" % row, body, **paid)))
    make.save(store, *items)


def read_by_sql(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(select("answers") + "ORDER BY key").fetchall()


@pytest.fixture
def path(tmp_path, make):
    with Store.open(tmp_path / "run") as store:
        fill(store, make)
    return tmp_path / "run" / "run.sqlite"


def test_every_answer_is_read_as_sqlite_reads_it(path):
    assert sorted(set(read_answers(path))) == read_by_sql(path)


def test_answers_that_are_still_in_the_log_are_read(tmp_path, make):
    with Store.open(tmp_path / "run") as store:
        fill(store, make, 40)
        path = tmp_path / "run" / "run.sqlite"
        assert path.with_name("run.sqlite-wal").stat().st_size > 0
        assert sorted(set(read_answers(path))) == read_by_sql(path)


def test_answers_of_a_file_without_its_first_page_are_read(path):
    wanted = read_by_sql(path)
    data = bytearray(path.read_bytes())
    data[:PAGE] = bytes(PAGE)
    path.write_bytes(data)
    assert sorted(set(read_answers(path))) == wanted


@pytest.mark.parametrize("at", range(8))
def test_a_damaged_head_of_a_page_costs_nothing(path, at):
    """Byte by byte, of every leaf of the table."""
    wanted = read_by_sql(path)
    data = bytearray(path.read_bytes())
    leaves = [start for start in range(0, len(data), PAGE) if data[start] == 13]
    assert len(leaves) > 20
    for start in leaves:
        data[start + at] ^= 0x10
    path.write_bytes(data)
    found = sorted(set(read_answers(path)))
    assert len(found) == len(wanted)


def test_a_damaged_byte_costs_at_most_one_answer(path):
    wanted = read_by_sql(path)
    data = path.read_bytes()
    random = Random(5)
    for _ in range(60):
        at = random.randrange(len(data))
        changed = bytearray(data)
        changed[at] ^= random.randrange(1, 256)
        path.write_bytes(changed)
        found = set(read_answers(path))
        assert found <= set(wanted)
        assert len(found) >= len(wanted) - 1, at


@pytest.mark.parametrize("keep", [0, 1, 100, 511, 4095, 4096, 4097, 400_000])
def test_a_file_that_was_cut_off_gives_what_is_left(path, keep):
    wanted = read_by_sql(path)
    os.truncate(path, keep)
    found = set(read_answers(path))
    assert found < set(wanted)
    assert bool(found) == (keep > 5000)


def test_pages_of_noise_give_nothing(tmp_path):
    path = tmp_path / "noise"
    random = Random(1)
    for kind in (0, 2, 5, 10, 13, 255):
        pages = [bytes([kind]) + random.randbytes(PAGE - 1) for _ in range(20)]
        path.write_bytes(b"".join(pages))
        assert list(read_answers(path)) == []
    path.write_bytes(b"\r" * 100_000)
    assert list(read_answers(path)) == []
    path.unlink()
    assert list(read_answers(path)) == []
