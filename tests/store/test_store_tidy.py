"""Who only looks at a run leaves nothing beside its file."""

from __future__ import annotations

import shutil

import pytest

from pool_core.report.state import read_state
from pool_core.store.rehearsal import Rehearsal
from pool_core.store.repair import repair_run
from pool_core.store.store import Store


@pytest.fixture
def folder(tmp_path):
    Store.open(tmp_path / "run").close()
    return tmp_path / "run"


def list_files(folder):
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.parametrize(
    "look",
    [
        read_state,
        Store.exists,
        repair_run,
        lambda folder: repair_run(folder, dry_run=True),
        lambda folder: Store.read(folder).close(),
        lambda folder: Rehearsal.read(folder).close(),
    ],
)
def test_looking_leaves_no_files(folder, look):
    before = list_files(folder)
    look(folder)
    assert list_files(folder) == before == ["lock", "run.sqlite"]


def test_the_last_of_several_readers_takes_the_log_away(folder):
    first, second = Store.read(folder), Store.read(folder)
    first.close()
    assert second.get_meta("run") is None
    second.close()
    assert list_files(folder) == ["lock", "run.sqlite"]


def test_a_log_that_holds_something_stays(folder, make, tmp_path):
    """It is what a kill has left. Whoever goes on with the run looks into it first."""
    with Store.read(folder) as reader, reader.freeze():
        with Store.open(folder) as store:
            make.save(store, (make.cell(1, 1), make.answer(b"k")))
        shutil.copytree(folder, tmp_path / "killed")
    size = (tmp_path / "killed" / "run.sqlite-wal").stat().st_size
    Store.read(tmp_path / "killed").close()
    assert (tmp_path / "killed" / "run.sqlite-wal").stat().st_size == size > 0


def test_the_log_of_a_run_that_goes_on_stays(folder):
    with Store.open(folder):
        Store.read(folder).close()
        assert (folder / "run.sqlite-wal").exists()
