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
from pool_core.registry.loading import load_plugin
from pool_core.registry.records import Record
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


# The output is written where something has changed


@pytest.fixture
def write(tmp_path):
    """Runs a recipe of an installed plugin; returns whether its output was written."""
    output = tmp_path / "out.json"

    def run_job(*, rows=ROWS, layout="nested", suffix="", version="1.0", export=True):
        text = json.dumps(rows)
        if not (tmp_path / "rows.json").exists() or (tmp_path / "rows.json").read_text() != text:
            (tmp_path / "rows.json").write_text(text)
        (tmp_path / "recipe.yaml").write_text(
            f"rows: {{path: rows.json, id: id}}\noutput: {{path: out.json, layout: {layout}}}\n"
            f"pool: {{policies: [], members: [{{name: a, backend: echo, task: {{use: echo, suffix: '{suffix}'}}}}]}}\n"
        )
        registry = Registry()
        record = Record("scripted", "scripted", "pool-scripted", version, 1)
        registry._plugins.append(load_plugin(registry._manager, record, ScriptedPlugin()))
        before = output.stat().st_ino if output.exists() else None
        plan = make_plan(*_load(tmp_path / "recipe.yaml", registry))
        summary = asyncio.run(run_plan(plan, registry, tmp_path / "run", output=export))
        assert summary.output == (output if export else None)
        return output.exists() and output.stat().st_ino != before

    return run_job


def test_an_output_that_is_there_as_it_should_be_is_left_alone(write):
    assert [write() for _ in range(4)] == [True, False, False, False]


@pytest.mark.parametrize(
    "change",
    [
        {"rows": ROWS[:2]},
        {"rows": ROWS[::-1]},
        {"rows": [*ROWS, {"id": "s", "text": "new"}]},
        {"rows": [*ROWS[:2], {"id": "r", "text": "edited"}]},
        {"layout": "columns"},
        {"suffix": "!"},
        {"version": "1.1"},
    ],
)
def test_an_output_is_written_again_when_anything_has_changed(write, change):
    write()
    assert [write(**change), write(**change), write()] == [True, False, True]


def test_an_output_that_was_touched_is_written_again(write, tmp_path):
    write()
    wanted = (tmp_path / "out.json").read_bytes()
    (tmp_path / "out.json").write_bytes(b"mine")
    assert write()
    assert (tmp_path / "out.json").read_bytes() == wanted
    (tmp_path / "out.json").unlink()
    assert write()
    assert (tmp_path / "out.json").read_bytes() == wanted


def test_an_output_that_a_run_before_has_made_old_is_written_again(write, tmp_path):
    """That run was killed before it wrote it, say."""
    write()
    write(suffix="!", export=False)
    assert write(suffix="!")
    assert json.loads((tmp_path / "out.json").read_text())[0]["generations"][0]["said"] == "text p!"


def test_a_member_whose_cells_are_all_done_is_not_walked(write, monkeypatch):
    monkeypatch.setattr("pool_core.engine.work.MANY_CELLS", 3)
    monkeypatch.setattr(Store, "read_known_cells", lambda *_: pytest.fail("its cells were read"))
    write()
    assert not write()
    assert write(rows=ROWS[::-1])


def test_members_are_walked_where_a_cell_is_missing(write, monkeypatch, tmp_path):
    write()
    with closing(sqlite3.connect(tmp_path / "run" / "run.sqlite")) as connection:
        connection.execute("DELETE FROM cells WHERE key >> 24 = 2")
        connection.commit()
    monkeypatch.setattr("pool_core.engine.work.MANY_CELLS", 3)
    assert write()
    assert not write()
