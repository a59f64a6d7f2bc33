"""A whole job: what a second run asks and what it keeps, what it leaves beside the store, and what plugins are told."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

import pool_core
from pool_core import Member, Pool
from pool_core.api import Contribution, hookimpl
from pool_core.engine import pages as pages_module
from pool_core.engine.work import WorkList
from pool_core.errors import (
    BackendError,
    IncompatibleError,
    RecipeError,
    RowsError,
    RunLockedError,
    StoreError,
    UsageError,
)
from pool_core.interfaces.values import Answer, Cause, Finding
from pool_core.job import choose_run_dir, export, run_plan
from pool_core.plan.build import make_plan
from pool_core.plan.rows import MemoryRows
from pool_core.recipe.models import Output, Recipe
from pool_core.recipe.yaml_source import Source
from pool_core.registry.loading import load_plugin
from pool_core.registry.records import Record
from pool_core.store.store import Store
from pool_core.testing.scripted import EchoConfig, EchoTask, ScriptedBackend, ScriptedConfig, make_registry
from pool_core.testing.scripted_plugin import JsonWriter, ScriptedPlugin
from pool_core.testing.virtual_time import run_virtual


class NamedBackend(ScriptedBackend):
    """A scripted backend that a recipe can name: the world of the test finds its script by the model."""

    world: ClassVar[World]

    def __init__(self, config):
        super().__init__(lambda request: self.world.answer(config.model, request), config.model)

    Config = ScriptedConfig


class NamedPlugin:
    """Offers the task and the backend under names, as an installed plugin does."""

    @hookimpl
    def pool_tasks(self):
        yield Contribution("echo", factory="pool_core.testing.scripted:EchoTask")

    @hookimpl
    def pool_backends(self):
        yield Contribution("named", factory=f"{__name__}:NamedBackend")


class World:
    """Runs pools in one run directory and keeps what was asked.

    ``objects``: tasks and backends are ready objects, whose code may change, so every request is made again
    and its key compared. ``names``: they come from an installed plugin of a version, so fingerprints are
    trusted. Both must ask the same.
    """

    def __init__(self, kind, run_dir):
        self.kind = kind
        self.run_dir = run_dir
        self.asked: list[tuple[str, str]] = []
        self.replies: dict[str, object] = {}

    def answer(self, model, request):
        text = request.prompt.messages[-1].content
        self.asked.append((model, text))
        reply = self.replies.get(text, f"{model} says: {text} ({len(self.asked)})")
        return reply(model) if callable(reply) else reply

    def make_member(self, name, model=None, column="text", *, fail_on="", suffix="", **options):
        model = model or name
        task = {"column": column, "fail_on": fail_on, "suffix": suffix}
        if self.kind == "names":
            return Member(name=name, backend={"use": "named", "model": model}, task={"use": "echo", **task}, **options)
        backend = ScriptedBackend(lambda request: self.answer(model, request), model)
        return Member(name=name, backend=backend, task=EchoTask(EchoConfig(**task)), **options)

    def make_registry(self):
        registry = make_registry()
        record = Record("installed", "installed", "pool-installed", "1.0", 1)
        registry._plugins.append(load_plugin(registry._manager, record, NamedPlugin()))
        return registry

    def run(self, members, rows, *, id_column=None, registry=None, **pool):
        """Run; what this run asked is then in `asked`."""
        self.asked.clear()
        NamedBackend.world = self
        pool = Pool(members=members, policies=(), **pool)
        job = pool.arun(rows, id_column=id_column, run_dir=self.run_dir, registry=registry or self.make_registry())

        async def run_in_time():
            return await job

        return run_virtual(run_in_time(), threads=True)

    def read_said(self, result):
        return {
            (record["row_id"], record["member"], record["sample"]): record["said"] for record in result.rows("long")
        }


@pytest.fixture(params=["objects", "names"])
def world(request, tmp_path):
    return World(request.param, tmp_path / "run")


ROWS = [{"id": name, "text": f"text {name}", "other": f"other {name}"} for name in "pqrs"]


# What a second run asks


def test_a_second_run_asks_nothing_and_says_the_same(world):
    members = [world.make_member("a"), world.make_member("b")]
    first = world.run(members, ROWS)
    assert len(world.asked) == 8
    again = world.run([world.make_member("a"), world.make_member("b")], ROWS)
    assert world.asked == []
    assert list(again.rows()) == list(first.rows())
    assert again.summary.status == "complete"
    assert [(m.ok, m.reused, m.requests) for m in again.summary.members] == [(4, 4, 0), (4, 4, 0)]
    assert again.summary.notes == ()


def test_failed_cells_are_asked_again_and_no_others(world):
    world.replies = {"text q": BackendError(Cause.BAD_REQUEST, "no"), "text s": ValueError("broke")}
    assert world.run([world.make_member("a")], ROWS).summary.members[0].failed == {"bad_request": 1, "plugin": 1}
    world.replies = {}
    again = world.run([world.make_member("a")], ROWS)
    assert sorted(world.asked) == [("a", "text q"), ("a", "text s")]
    assert (again.summary.status, again.summary.members[0].ok, again.summary.members[0].failed) == ("complete", 4, {})


def test_an_answer_that_cannot_be_parsed_is_parsed_again_and_not_asked_again(world):
    world.replies = {"text q": "bad"}
    first = world.run([world.make_member("a", fail_on="bad")], ROWS)
    assert first.summary.members[0].failed == {"parse": 1}
    same = world.run([world.make_member("a", fail_on="bad")], ROWS)
    assert (world.asked, same.summary.members[0].failed, same.summary.status) == ([], {"parse": 1}, "partial")
    mended = world.run([world.make_member("a")], ROWS)
    assert (world.asked, mended.summary.status) == ([], "complete")
    assert world.read_said(mended)[next(iter(mended.rows("long")))["row_id"], "a", 0].startswith("a says: text p")
    assert "bad" in world.read_said(mended).values()


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        (Answer("", "stop"), "empty"),
        (Answer(None, refusal="I will not"), "refusal"),
        (Answer("half of it", "length"), "truncated"),
        (Answer(None, "content_filter"), "content_filter"),
    ],
)
def test_what_was_paid_for_is_not_asked_again_whatever_it_says(reply, cause, world):
    world.replies = {"text q": reply}
    first = world.run([world.make_member("a")], ROWS)
    assert (first.summary.members[0].failed, first.summary.members[0].pending) == ({cause: 1}, 0)
    world.run([world.make_member("a")], ROWS)
    assert world.asked == []


def test_another_prompt_asks_its_member_only(world):
    world.run([world.make_member("a"), world.make_member("b")], ROWS)
    changed = world.run([world.make_member("a", column="other"), world.make_member("b")], ROWS)
    assert sorted(world.asked) == [("a", f"other {name}") for name in "pqrs"]
    assert [(m.reused, m.requests) for m in changed.summary.members] == [(0, 4), (4, 0)]
    back = world.run([world.make_member("a"), world.make_member("b")], ROWS)
    assert world.asked == []  # the old answers are still there
    assert {said.split(" (")[0] for (_, name, _), said in world.read_said(back).items() if name == "a"} == {
        f"a says: text {name}" for name in "pqrs"
    }


@pytest.mark.parametrize("change", [{"sampling": {"temperature": 0.5}}, {"sampling": {"seed": 3}}])
def test_other_sampling_asks_its_member_only(change, world):
    world.run([world.make_member("a"), world.make_member("b")], ROWS)
    world.run([world.make_member("a", **change), world.make_member("b")], ROWS)
    assert Counter(model for model, _ in world.asked) == {"a": 4}


def test_another_model_asks_its_member_only(world):
    world.run([world.make_member("a"), world.make_member("b")], ROWS)
    world.run([world.make_member("a", "newer"), world.make_member("b")], ROWS)
    assert Counter(model for model, _ in world.asked) == {"newer": 4}


@pytest.mark.parametrize("limits", [{"concurrency": 1}, {"timeout": 1.0}, {"attempts": 9}, {"max_wait": 1.0}])
def test_limits_ask_nothing(limits, world):
    world.run([world.make_member("a")], ROWS)
    world.run([world.make_member("a", limits=limits)], ROWS)
    assert world.asked == []


def test_another_parser_asks_nothing_and_changes_outputs(world):
    first = world.run([world.make_member("a"), world.make_member("b")], ROWS)
    changed = world.run([world.make_member("a", suffix="!"), world.make_member("b")], ROWS)
    assert world.asked == []
    before, after = world.read_said(first), world.read_said(changed)
    assert before.keys() == after.keys()
    assert all(said.endswith("!") for (_, name, _), said in after.items() if name == "a")
    assert {key: said for key, said in after.items() if key[1] == "b"} == {
        key: said for key, said in before.items() if key[1] == "b"
    }


def test_other_names_of_output_fields_ask_nothing(world):
    world.run([world.make_member("a")], ROWS)
    renamed = world.run([world.make_member("a", outputs={"reply": "said"})], ROWS)
    assert world.asked == []
    assert all(record["reply"].startswith("a says: ") and "said" not in record for record in renamed.rows("long"))


@pytest.mark.parametrize("id_column", [None, "id"])
def test_a_changed_row_is_asked_again_a_new_one_is_asked_a_missing_one_is_gone(id_column, world):
    world.run([world.make_member("a"), world.make_member("b")], ROWS, id_column=id_column)
    p, q, r, _ = ROWS
    rows = [{"id": "new", "text": "text new", "other": ""}, r, q | {"text": "changed"}, p]
    result = world.run([world.make_member("a"), world.make_member("b")], rows, id_column=id_column)
    assert sorted(world.asked) == sorted((model, text) for model in "ab" for text in ("changed", "text new"))
    records = list(result.rows())
    assert [record["text"] for record in records] == ["text new", "text r", "changed", "text p"]
    assert [len(record["generations"]) for record in records] == [2, 2, 2, 2]
    for record in records:
        assert all(f"says: {record['text']} (" in generation["said"] for generation in record["generations"])
    counts = "1 new, 1 changed, 1 gone" if id_column else "2 new, 0 changed, 2 gone"
    assert result.summary.notes == (f"rows since the last run: {counts}",)


def test_a_column_that_no_task_reads_may_change(world):
    world.run([world.make_member("a")], ROWS, id_column="id")
    rows = [row | {"other": "something else"} for row in ROWS]
    result = world.run([world.make_member("a")], rows, id_column="id")
    assert world.asked == []
    assert {record["other"] for record in result.rows()} == {"something else"}


def test_all_rows_replaced_is_told(world):
    world.run([world.make_member("a")], ROWS)
    result = world.run([world.make_member("a")], [{"text": "x"}])
    assert result.summary.notes == ("rows since the last run: 1 new, 0 changed, 4 gone",)
    back = world.run([world.make_member("a")], ROWS)
    assert world.asked == []  # answers are kept for ever
    assert back.summary.status == "complete"


def test_a_renamed_member_keeps_its_answers(world):
    first = world.run([world.make_member("a", "m"), world.make_member("b")], ROWS)
    renamed = world.run([world.make_member("new-name", "m"), world.make_member("b")], ROWS)
    assert world.asked == []
    assert [m.name for m in renamed.summary.members] == ["new-name", "b"]
    assert list(world.read_said(first).values()) == list(world.read_said(renamed).values())


def test_another_order_of_the_members_asks_nothing(world):
    first = world.run([world.make_member(name) for name in "abc"], ROWS)
    again = world.run([world.make_member(name) for name in "cab"], ROWS)
    assert world.asked == []
    assert world.read_said(first) == world.read_said(again)
    assert [g["member"] for g in next(iter(again.rows()))["generations"]] == ["c", "a", "b"]


def test_a_new_member_is_asked_alone_and_one_that_left_is_gone(world):
    world.run([world.make_member("a"), world.make_member("b")], ROWS)
    result = world.run([world.make_member("b"), world.make_member("c")], ROWS)
    assert Counter(model for model, _ in world.asked) == {"c": 4}
    assert {record["member"] for record in result.rows("long")} == {"b", "c"}
    world.run([world.make_member("a"), world.make_member("b")], ROWS)
    assert world.asked == []


def test_more_samples_ask_the_new_ones_only(world):
    members = [world.make_member("a"), world.make_member("b")]
    world.run(members, ROWS, samples=4)
    assert len(world.asked) == 16
    more = world.run(members, ROWS, samples=6)
    assert Counter(model for model, _ in world.asked) == {"a": 4, "b": 4}
    assert Counter(record["sample"] for record in more.rows("long")) == {0: 8, 1: 8, 2: 8}
    fewer = world.run(members, ROWS, samples=2)
    assert world.asked == []
    assert Counter(record["sample"] for record in fewer.rows("long")) == {0: 8}
    world.run(members, ROWS, samples=6)
    assert world.asked == []


def test_rows_that_are_equal_get_answers_of_their_own(world):
    rows = [{"text": "same"}] * 3 + [{"text": "other"}]
    first = world.run([world.make_member("a")], rows)
    assert Counter(text for _, text in world.asked) == {"same": 3, "other": 1}
    said = [record["said"] for record in first.rows("long")]
    assert len(set(said)) == 4
    again = world.run([world.make_member("a")], rows)
    assert world.asked == []
    assert [record["said"] for record in again.rows("long")] == said
    world.run([world.make_member("a")], [*rows, {"text": "same"}])
    assert world.asked == [("a", "same")]


def test_members_that_ask_the_same_get_answers_of_their_own(world):
    first = world.run([world.make_member("a", "m"), world.make_member("b", "m")], ROWS)
    assert len(world.asked) == 8
    again = world.run([world.make_member("a", "m"), world.make_member("b", "m")], ROWS)
    assert world.asked == []
    assert world.read_said(first) == world.read_said(again)


def test_a_condition_that_fails_costs_its_member_the_row_and_is_tried_again(world):
    rows = [{"id": "1", "text": "one", "score": 1}, {"id": "2", "text": "two", "score": None}]
    members = [world.make_member("a", when="score > 0"), world.make_member("b")]
    result = world.run(members, rows, id_column="id", assign="routed")
    assert sorted(world.asked) == [("a", "one"), ("b", "one"), ("b", "two")]
    assert result.summary.members[0].failed == {"render": 1}
    rows[1]["score"] = 5
    mended = world.run(members, rows, id_column="id", assign="routed")
    assert world.asked == [("a", "two")]
    assert mended.summary.status == "complete"


def test_answers_of_a_row_that_lost_its_outcomes_are_found_again(world):
    world.run([world.make_member("a")], ROWS)
    with Store.open(world.run_dir) as store:
        store._connection.execute("DELETE FROM cells")
    result = world.run([world.make_member("a")], ROWS)
    assert world.asked == []
    assert (result.summary.status, result.summary.members[0].reused) == ("complete", 4)


def test_a_long_stretch_of_finished_rows_holds_up_no_other_member(world, monkeypatch):
    monkeypatch.setattr(pages_module, "PAGE_ROWS", 4)
    rows = [{"text": f"row {number}"} for number in range(200)]
    world.run([world.make_member("a")], rows)
    turns = []
    read_page = WorkList.read_page
    monkeypatch.setattr(WorkList, "read_page", lambda work: (turns.append(work.member.name), read_page(work)))
    world.replies = {row["text"]: lambda model: turns.append(model) or "yes" for row in rows}
    world.run([world.make_member("a"), world.make_member("b", limits={"concurrency": 1})], rows)
    assert turns.count("a") == 51
    assert max(len(list(group)) for name, group in itertools.groupby(turns) if name == "a") <= 4


# What stands beside the store


def test_plan_and_report_say_what_ran(world):
    registry = world.make_registry()
    world.replies = {"text q": BackendError(Cause.BAD_REQUEST, "no")}
    result = world.run([world.make_member("a"), world.make_member("b", "m")], ROWS, registry=registry)
    plan = json.loads((world.run_dir / "plan.json").read_text())
    task = "installed/echo" if world.kind == "names" else "EchoTask"
    assert plan == {
        "pool_core": pool_core.__version__,
        "recipe": None,
        "rows": "rows",
        "members": [
            {"name": "a", "model": "a", "task": task, "key": 1},
            {"name": "b", "model": "m", "task": task, "key": 2},
        ],
        "schema": {"said": "str?"},
        "findings": [],
        "silenced": [],
        "plugins": [{"name": "installed", "distribution": "pool-installed", "version": "1.0", "editable": False}],
    }
    report = json.loads((world.run_dir / "report.json").read_text())
    assert report == json.loads(msgspec.json.encode(result.summary.to_dict()))
    assert (report["version"], report["status"], report["exit_code"], report["rows"]) == (1, "partial", 3, 4)
    assert report["folder"] == str(world.run_dir)
    assert report["members"][0] == {
        "name": "a", "cells": 4, "ok": 3, "failed": {"bad_request": 1}, "pending": 0, "reused": 0,
        "requests": 4, "retries": 0, "input_tokens": 3, "output_tokens": 3, "stopped": "", "cost": None,
        "reasks": 0, "hedges": 0, "maybe_billed": 0, "taken_over": 0,
    }  # fmt: skip


def test_the_run_dir_of_a_recipe_is_always_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert choose_run_dir(Path("deep/../mine.yaml")) == tmp_path / "runs" / "mine"
    assert choose_run_dir(tmp_path / "mine.yaml") == tmp_path / "runs" / "mine"


def test_a_run_directory_has_one_process_at_a_time(world):
    world.run_dir.mkdir()
    with Store.open(world.run_dir), pytest.raises(RunLockedError, match="another process works on this run"):
        world.run([world.make_member("a")], ROWS)
    assert world.asked == []


# What plugins are told


class Listener:
    """Keeps what the hooks are told; a hook in ``breaks`` raises."""

    def __init__(self, breaks=()):
        self.breaks = breaks
        self.started = []
        self.cells = []
        self.finished = []

    def _note(self, hook, seen, payload):
        seen.append(payload)
        if hook in self.breaks:
            raise ValueError(f"cannot hear call {len(seen)}")

    @hookimpl
    def pool_run_started(self, run):
        self._note("started", self.started, run)

    @hookimpl
    def pool_cell_finished(self, cell):
        self._note("cells", self.cells, cell)

    @hookimpl
    def pool_run_finished(self, run):
        self._note("finished", self.finished, run)


def run_with(world, *listeners):
    registry = world.make_registry()
    for number, listener in enumerate(listeners):
        registry.register(listener, f"listener{number}")
    return world.run([world.make_member("a"), world.make_member("b")], ROWS, id_column="id", registry=registry)


def test_plugins_are_told_of_the_run_and_of_every_cell(world):
    async def answer_late(model):
        await asyncio.sleep(10)
        return f"{model} at last"

    failures = [BackendError(Cause.SERVER, "broken"), BackendError(Cause.RATE_LIMIT, "later", retry_after=30)]
    world.replies = {
        "text q": lambda model: failures.pop() if model == "a" and failures else answer_late(model),
        "text r": BackendError(Cause.BAD_REQUEST, "no"),
    }
    listener = Listener()
    result = run_with(world, listener)
    (started,) = listener.started
    assert (started.folder, tuple(started.members), started.rows) == (world.run_dir, ("a", "b"), 4)
    told = {(cell.row_id, cell.member, cell.sample): cell.outcome for cell in listener.cells}
    assert len(listener.cells) == len(told) == 8
    assert {key: outcome.status for key, outcome in told.items()} == {
        (record["row_id"], record["member"], record["sample"]): record["status"] for record in result.rows("long")
    }
    late = told["q", "a", 0]
    assert (late.outputs, late.answer.text, late.attempts) == ({"said": "a at last"}, "a at last", 3)
    assert 40 <= late.seconds <= 44  # from the first request to the end, waits included
    failed = told["r", "b", 0]
    assert (failed.status, failed.cause, failed.message, failed.attempts) == ("failed", Cause.BAD_REQUEST, "no", 1)
    (finished,) = listener.finished
    assert (finished.folder, finished.status) == (world.run_dir, "partial")
    assert (finished.ok, finished.failed) == ({"a": 3, "b": 3}, {"a": 1, "b": 1})


def test_the_store_says_how_long_a_cell_and_its_answer_took(world):
    async def answer_late(_model):
        await asyncio.sleep(10)
        return "at last"

    failures = [BackendError(Cause.RATE_LIMIT, "later", retry_after=30)]
    world.replies = {"text q": lambda model: failures.pop() if failures else answer_late(model)}
    world.run([world.make_member("a")], ROWS, id_column="id")
    with Store.read(world.run_dir) as store:
        (cell,) = store.read_cells(store.find_row("q").key)
        (latency,) = store._connection.execute("SELECT seconds FROM answers WHERE key = ?", (cell.answer,)).fetchone()
    assert 40 <= cell.seconds <= 43.1
    assert latency == pytest.approx(10)
    assert cell.attempts == 2


@pytest.mark.parametrize("hook", ["started", "cells", "finished"])
def test_a_hook_that_raises_breaks_nothing_and_is_noted_once(hook, world):
    broken, fine = Listener({hook}), Listener()
    result = run_with(world, broken, fine)
    name = {"started": "pool_run_started", "cells": "pool_cell_finished", "finished": "pool_run_finished"}[hook]
    assert result.summary.notes == (f"{name} of the plugin 'listener0' failed: ValueError: cannot hear call 1",)
    assert result.summary.status == "complete"
    assert [len(seen) for seen in (fine.started, fine.cells, fine.finished)] == [1, 8, 1]
    report = json.loads((world.run_dir / "report.json").read_text())
    assert report["notes"] == list(result.summary.notes)


def test_each_plugin_that_raises_is_noted(world):
    result = run_with(world, Listener({"cells"}), Listener({"cells", "started"}))
    assert sorted(note.split(" failed: ")[0] for note in result.summary.notes) == [
        "pool_cell_finished of the plugin 'listener0'",
        "pool_cell_finished of the plugin 'listener1'",
        "pool_run_started of the plugin 'listener1'",
    ]


def test_the_report_is_there_when_the_end_is_told(world):
    class Reader:
        @hookimpl
        def pool_run_finished(self, run):
            found.append(json.loads((run.folder / "report.json").read_text())["status"])

    found = []
    run_with(world, Reader())
    assert found == ["complete"]


# What cannot run


def test_members_that_do_not_fit_together_are_refused_before_anything_is_asked(world):
    def never(_members):
        return [
            Finding("error", "never", "these two will never fit", ("a", "b")),
            Finding("warning", "late", "it is late"),
            Finding("error", "again", "no"),
        ]

    pool = Pool(members=[world.make_member("a"), world.make_member("b")], policies=(never,))
    with pytest.raises(IncompatibleError) as caught:
        run_virtual(pool.arun(ROWS, run_dir=world.run_dir, registry=world.make_registry()), threads=True)
    assert str(caught.value) == (
        "the members do not fit together:\n  again: no\n  never: these two will never fit\n"
        "  nothing was asked; `pool check` shows the whole picture and what to write"
    )
    assert caught.value.exit_code == 4
    assert not world.run_dir.exists()


def test_a_recipe_without_rows_is_refused(tmp_path):
    pool = Pool(members=[Member(name="a", backend=ScriptedBackend(lambda _: ""), task=EchoTask())], policies=())
    registry = make_registry()
    with pytest.raises(RecipeError) as caught:
        asyncio.run(run_plan(make_plan(Recipe(pool=pool), registry), registry, tmp_path / "run"))
    assert str(caught.value) == "the recipe has no rows\n  write `rows: FILE`, or give --rows FILE"


@pytest.mark.parametrize("value", [object(), lambda: 1, 1j, EchoTask()])
def test_rows_that_hold_no_plain_values_are_refused_with_their_place(value, world):
    with pytest.raises(RowsError, match="no plain value") as caught:
        world.run([world.make_member("a")], [*ROWS, {"text": "x", "other": value}])
    assert caught.value.where == "rows: row 5"
    assert world.asked == []


@pytest.mark.parametrize("row", ["text", 7, None, ["text"], datetime(2024, 1, 1)])  # noqa: DTZ001 - any value
def test_rows_that_are_no_mappings_are_refused_with_their_number(row, world):
    with pytest.raises(RowsError, match=f"row 5 is a {type(row).__name__}, not a mapping"):
        world.run([world.make_member("a")], [*ROWS, row])
    assert world.asked == []


def test_an_error_in_the_rows_leaves_the_run_as_it_was(world):
    world.run([world.make_member("a")], ROWS, id_column="id")
    with pytest.raises(RowsError, match="ids must be unique"):
        world.run([world.make_member("a")], [{"id": "new", "text": "x"}, ROWS[0], ROWS[0]], id_column="id")
    world.run([world.make_member("a")], ROWS, id_column="id")
    assert world.asked == []


# The output


def plan_output(path, replies, *, rows=({"text": "x"},), listener=None):
    """A plan that writes ``path``, and its registry."""
    registry = make_registry()
    registry.register(ScriptedPlugin(), name="scripted")
    if listener is not None:
        registry.register(listener, name="listener")
    backend = ScriptedBackend(lambda request: replies.append(request) or "yes")
    pool = Pool(members=[Member(name="a", backend=backend, task=EchoTask())], policies=())
    recipe = Recipe(pool=pool, output={"path": path, "writer": "json"})
    return make_plan(recipe, registry, rows=MemoryRows(list(rows), None)), registry


@pytest.mark.parametrize(
    "name", ["run.sqlite", "run.sqlite-wal", "run.sqlite-journal", "lock", "owner.json", "plan.json", "report.json"]
)
def test_an_output_in_the_place_of_what_the_run_keeps_is_refused_before_anything_is_asked(name, tmp_path):
    path, run_dir, asked = tmp_path / "else" / ".." / "run" / name, tmp_path / "run", []
    plan, registry = plan_output(path, asked)
    with pytest.raises(UsageError) as caught:
        asyncio.run(run_plan(plan, registry, run_dir))
    assert str(caught.value) == (
        f"{path}: the output would take the place of the run's own {name!r}\n"
        "  give the output another name, or another folder than the run directory"
    )
    assert (asked, run_dir.exists()) == ([], False)


def test_an_export_in_the_place_of_what_the_run_keeps_is_refused(tmp_path):
    plan, registry = plan_output("run/merged.json", [])
    plan = replace(plan, source=Source(tmp_path / "recipe.yaml"))
    run_dir = tmp_path / "run"
    asyncio.run(run_plan(plan, registry, run_dir))  # a file of another name may stand there
    (tmp_path / "link.json").symlink_to(run_dir / "report.json")
    before = (run_dir / "run.sqlite").read_bytes()
    with Store.read(run_dir) as store:
        for path in ("run/run.sqlite", "link.json"):
            with pytest.raises(UsageError, match="would take the place of the run's own"):
                export(store, registry, Output(path=path, writer="json"), tmp_path)
    assert (run_dir / "run.sqlite").read_bytes() == before
    assert len(json.loads((run_dir / "merged.json").read_text())) == 1


def test_a_late_column_that_the_output_takes_is_refused_before_anything_is_asked(tmp_path):
    rows = [*({"text": str(number)} for number in range(150)), {"text": "x", "generations": 1}]
    asked = []
    plan, registry = plan_output(tmp_path / "out.json", asked, rows=rows)
    with pytest.raises(RowsError, match="rows: row 151: the row has a column 'generations'"):
        asyncio.run(run_plan(plan, registry, tmp_path / "run"))
    assert asked == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RowsError("it does not fit"), "it does not fit\n  {}"),
        (RowsError("it does not fit", hint="mend it"), "it does not fit\n  mend it; {}"),
        (RowsError("it does not fit", hint="Mend it."), "it does not fit\n  Mend it; {}"),
        (OSError(28, "No space left"), "{path}: the output cannot be written: No space left\n  {mend}"),
        (ValueError("broke"), "broke"),
    ],
)
def test_a_run_whose_output_cannot_be_written_ends_as_any_other(error, told, tmp_path, monkeypatch):
    def write(self, records, schema):
        raise error

    monkeypatch.setattr(JsonWriter, "write", write)
    listener = Listener()
    plan, registry = plan_output(tmp_path / "out.json", [], listener=listener)
    run_dir = tmp_path / "run"
    with pytest.raises((RowsError, StoreError, ValueError)) as caught:
        asyncio.run(run_plan(plan, registry, run_dir))
    assert str(caught.value) == told.format(
        f"the answers are safe in the run: pool export {run_dir} --layout long --output answers.jsonl",
        path=tmp_path / "out.json",
        mend=f"the answers are safe in the run; mend it and write the file with: pool export {run_dir}",
    )
    report = json.loads((run_dir / "report.json").read_text())
    reason = {OSError: "the output cannot be written: No space left"}.get(type(error), str(error).split("\n")[0])
    assert (report["status"], report["output"]) == ("complete", None)
    assert report["notes"] == [f"the output was not written: {reason}"]
    assert [run.status for run in listener.finished] == ["complete"]
