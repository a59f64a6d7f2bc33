"""A whole job beside faults of the machine: damaged records, a changing input, a clock that goes back."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import stat
from contextlib import closing
from functools import partial

import pytest

from pool_core import Member, Pool
from pool_core.engine.run import Engine
from pool_core.errors import RowsError
from pool_core.job import run_plan
from pool_core.plan.build import make_plan
from pool_core.recipe.load import load_recipe
from pool_core.registry import Registry
from pool_core.store.store import Store
from pool_core.testing.scripted import EchoTask, ScriptedBackend, make_registry
from pool_core.testing.scripted_plugin import JsonReader, ScriptedPlugin

ROWS = [{"id": name, "text": f"text {name}"} for name in "pqr"]


@pytest.fixture
def run(tmp_path):
    """Runs a pool over the rows; returns the result and what was asked."""

    def run_pool():
        backend = ScriptedBackend(lambda request: f"said {request.prompt.messages[-1].content}")
        pool = Pool(members=[Member(name="a", backend=backend, task=EchoTask())], policies=())
        result = pool.run(ROWS, id_column="id", run_dir=tmp_path / "run", registry=make_registry())
        return result, [request.prompt.messages[-1].content for request in backend.requests]

    return run_pool


@pytest.mark.parametrize(
    ("statement", "asked", "count"),
    [
        ("UPDATE cells SET outputs = x'7b7d' WHERE key >> 24 = 2", [], "1 stored record"),
        ("UPDATE rows SET data = x'7b7d' WHERE row_id = 'q'", [], "1 stored record"),
        ("UPDATE cells SET status = 'oj'", [], "3 stored records"),
        ("UPDATE answers SET body = x'7b7d' WHERE key = 1", ["text p"], "1 stored record"),
    ],
)
def test_what_was_damaged_is_done_again_and_told(run, tmp_path, statement, asked, count):
    before, _ = run()
    wanted = list(before.rows())
    with closing(sqlite3.connect(tmp_path / "run" / "run.sqlite")) as connection:
        connection.execute(statement)
        connection.commit()
    again, found = run()
    assert found == asked
    assert list(again.rows()) == wanted
    (note,) = again.summary.notes
    assert note == (
        f"{count} had been damaged and were not used: "
        "what rests on them was done again, of stored answers where they can be read"
    )
    assert run()[0].summary.notes == ()


def test_everything_beside_the_store_is_for_its_owner_alone(run, tmp_path):
    before = os.umask(0)
    try:
        run()
    finally:
        os.umask(before)
    folder = tmp_path / "run"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.iterdir()]}
    assert modes == {"run": 0o700} | dict.fromkeys(["run.sqlite", "lock", "plan.json", "report.json"], 0o600)


def test_a_clock_that_goes_back_changes_nothing(run, monkeypatch, tmp_path):
    """Nothing is ordered by the time of day: it is only noted."""
    before, _ = run()
    times = iter(range(10**9, 0, -(10**8)))
    monkeypatch.setattr("pool_core.job.Engine", partial(Engine, wall_time=lambda: next(times)))
    with Store.open(tmp_path / "run") as store:
        store._connection.execute("DELETE FROM cells")
        store._connection.execute("DELETE FROM answers")
    again, asked = run()
    assert len(asked) == 3
    assert list(again.rows()) == list(before.rows())


@pytest.fixture
def job(tmp_path):
    """Runs a recipe over a file."""
    (tmp_path / "rows.json").write_text(json.dumps(ROWS))
    (tmp_path / "recipe.yaml").write_text(
        "rows: {path: rows.json, id: id}\npool: {policies: [], members: [{name: a, backend: echo, task: echo}]}\n"
    )
    registry = Registry()
    registry.register(ScriptedPlugin(), name="scripted")

    def run_job(watch=None):
        plan = make_plan(*_load(tmp_path / "recipe.yaml", registry))
        return asyncio.run(run_plan(plan, registry, tmp_path / "run", watch=watch))

    return run_job


def _load(path, registry):
    recipe, source = load_recipe(path)
    return recipe, registry, source


class _Change:
    """Writes the input while the engine runs."""

    def __init__(self, path):
        self.path = path

    def __call__(self, engine):
        return self

    async def __aenter__(self):
        self.path.write_text(json.dumps([*ROWS, {"id": "s", "text": "new"}]))

    async def __aexit__(self, *error):
        pass


def test_an_input_that_changes_during_the_run_is_noticed(job, tmp_path):
    summary = job(_Change(tmp_path / "rows.json"))
    assert summary.notes == ("the input changed while the run went on: run again to take the change up",)
    assert summary.rows == 3
    assert job().notes == ("rows since the last run: 1 new, 0 changed, 0 gone",)


def test_an_input_that_changes_while_it_is_read_is_refused_and_nothing_is_kept_of_it(job, tmp_path, monkeypatch):
    job()
    read = JsonReader.read

    def read_and_change(self):
        for number, found in enumerate(read(self)):
            if number == 1 and (tmp_path / "run" / "owner.json").exists():  # not while the plan looks at a sample
                with self.path.open("a") as file:
                    file.write(" ")
            yield found

    (tmp_path / "rows.json").write_text(json.dumps([{"id": "t", "text": "1"}, {"id": "u", "text": "2"}]))
    monkeypatch.setattr(JsonReader, "read", read_and_change)
    with pytest.raises(RowsError) as error:
        job()
    assert str(error.value) == (
        f"{tmp_path / 'rows.json'}: the file changed while it was read\n  run again when nobody writes it any more"
    )
    with Store.read(tmp_path / "run") as store:
        assert [row.row_id for row in store.read_rows()] == ["p", "q", "r"]
