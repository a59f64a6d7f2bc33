"""What the tests of the store share: rows and outcomes in few words."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pool_core.store.records import CellRecord, NewAnswer, NewRow
from pool_core.store.schema import pack_cell
from pool_core.store.store import Store


def make_row(row_id, data=b"{}", assigned=b"\1", place="line 1"):
    return NewRow(row_id, place, data, assigned)


def make_cell(row, member, sample=0, *, status="ok", basis=None, answer=None, message="", outputs=b"{}"):
    cause = "" if status == "ok" else "parse"
    return CellRecord(pack_cell(row, member, sample), status, basis, answer, 1, 0.5, 3, 4, cause, message, outputs)


def make_answer(request, body=b'{"text":"a"}', **paid):
    return NewAnswer(1.5, 0.5, request, body, **paid)


def save(store, *items):
    """Submit cells, or pairs of a cell and its answer, and wait until they are durable."""
    store.writer.start()
    for item in items:
        cell, answer = item if isinstance(item, tuple) and len(item) == 2 else (item, None)
        store.writer.submit(cell, answer)
    store.writer.close()


@pytest.fixture
def make():
    """Makes rows, cells and answers, and saves them."""
    return SimpleNamespace(row=make_row, cell=make_cell, answer=make_answer, save=save)


@pytest.fixture
def reopen(tmp_path):
    """Opens the run of the test once more, as a later process would."""
    opened = []

    def reopen_run():
        if opened:
            opened.pop().close()
        opened.append(Store.open(tmp_path / "run"))
        return opened[0]

    yield reopen_run
    if opened:
        opened.pop().close()


@pytest.fixture
def store(reopen):
    return reopen()
