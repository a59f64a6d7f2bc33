"""Runs of scripted members whose plugin looks installed, to be previewed, run, and held against each other."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from typing import ClassVar

import pytest

from pool_core.api import Contribution, hookimpl
from pool_core.errors import BackendError
from pool_core.interfaces.values import Answer, Cause, Usage
from pool_core.job import run_plan
from pool_core.plan.build import make_plan
from pool_core.plan.rows import MemoryRows
from pool_core.recipe.models import Member, PoolSpec, Recipe
from pool_core.registry.loading import load_plugin
from pool_core.registry.records import Record
from pool_core.report.preview import preview_run
from pool_core.store.sealing import is_intact, select
from pool_core.store.store import Store
from pool_core.testing.scripted import ScriptedBackend, ScriptedConfig, make_registry
from pool_core.testing.virtual_time import run_virtual


class CountingBackend(ScriptedBackend):
    """Answers what it is asked in capitals, and counts by model. Texts with ``broken`` find no connection."""

    Config = ScriptedConfig
    sent: ClassVar[Counter] = Counter()

    def __init__(self, config):
        super().__init__(self._answer, config.model)

    def _answer(self, request):
        self.sent[self.model] += 1
        text = request.prompt.messages[0].content
        if "broken" in text and self.model != "spare":
            return BackendError(Cause.BAD_REQUEST, "broken")
        if "secret" in text and len(request.prompt.messages) == 1:
            return Answer("unreadable", "stop", Usage(5, 7), self.model)
        return Answer(text.upper(), "stop", Usage(5, 7), self.model)


class CountingPlugin:
    """Offers the backend and a task by name."""

    @hookimpl
    def pool_tasks(self):
        yield Contribution("echo", "pool_core.testing.scripted:EchoTask")

    @hookimpl
    def pool_backends(self):
        yield Contribution("count", f"{__name__}:CountingBackend")


class PreviewWorld:
    """One run directory and what was sent from it."""

    def __init__(self, run_dir):
        self.run_dir = run_dir
        self.sent = CountingBackend.sent = Counter()
        self.version = "1.0"

    def make_registry(self):
        registry = make_registry()
        record = Record("counting", "counting", "pool-counting", self.version, 1)
        registry._plugins.append(load_plugin(registry._manager, record, CountingPlugin()))
        load = registry.load
        registry.load = lambda entry: CountingBackend if entry.kind == "backend" else load(entry)
        return registry

    def plan(self, members, rows, *, id_column="id", **pool):
        members = tuple(
            Member(
                **{
                    "name": name,
                    "backend": {"use": "count", "model": name},
                    "task": "echo",
                    "price": {"input": 1, "output": 1},
                    **keys,
                }
            )
            for name, keys in members.items()
        )
        recipe = Recipe(pool=PoolSpec(members=members, policies=(), **pool))
        registry = self.make_registry()
        return make_plan(recipe, registry, rows=MemoryRows(rows, id_column)), registry

    def preview(self, members, rows, **more):
        return preview_run(self.plan(members, rows, **more)[0], self.run_dir)

    def run(self, members, rows, **more):
        self.sent.clear()
        plan, registry = self.plan(members, rows, **more)
        return run_virtual(run_plan(plan, registry, self.run_dir), threads=True)

    def change(self, members, rows, **more):
        """Preview a run, do it, and hold one against the other. Returns the preview."""
        outcomes, answers = self.read_cells()
        rows_before = self.read_rows()
        preview = self.preview(members, rows, **more)
        summary = self.run(members, rows, **more)
        after, _ = self.read_cells()
        rows_after = self.read_rows()
        models = {member.name: member.estimate.model for member in preview.members}
        asked = Counter()
        for member in preview.members:
            asked[models[member.name]] += member.asked
            assert member.estimate.cells == member.reused + member.reparsed + member.asked + member.estimate.failing
            assert sum(member.because.values()) == member.asked
        # what is asked counts as answered at once: a re-ask after an answer that nobody has yet comes on top
        most = asked + Counter({models[member.name]: member.reasks for member in summary.members})
        assert asked <= self.sent <= most
        assert {m.name: m.reused for m in summary.members} == {m.name: m.reused + m.reparsed for m in preview.members}
        assert preview.dropped == len(outcomes.keys() - after.keys())
        stay = {key for key in outcomes.keys() & after.keys() if rows_before[key >> 24] == rows_after[key >> 24]}
        changed = {key for key in stay if outcomes[key][:3] != after[key][:3]}
        read = {key for key in changed if after[key][3] in answers}
        assert sum(member.changed for member in preview.members) == len(read)
        assert preview.rows.rows == len(rows)
        return preview

    def read_rows(self):
        """The content of each row, by its key."""
        if not (self.run_dir / "run.sqlite").exists():
            return {}
        with Store.read(self.run_dir) as store:
            return {row.key: row.data for row in store.read_rows()}

    def read_cells(self):
        """Status, cause, outputs and answer of each outcome, and the keys of the answers."""
        path = self.run_dir / "run.sqlite"
        if not path.exists():
            return {}, set()
        with closing(sqlite3.connect(path)) as connection:
            cells = connection.execute(select("cells")).fetchall()
            assert all(is_intact("cells", cell) for cell in cells)
            answers = {key for (key,) in connection.execute("SELECT key FROM answers")}
        return {cell[0]: (cell[1], cell[8], cell[10], cell[3]) for cell in cells}, answers


@pytest.fixture
def preview_world(tmp_path):
    return PreviewWorld(tmp_path / "run")
