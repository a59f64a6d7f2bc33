"""What a preview says of a change is what the run then does; see ``PreviewWorld.change``, which compares them."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from pool_core.errors import RecipeError, RowsError
from pool_core.plan.build import make_plan
from pool_core.plan.rows import MemoryRows
from pool_core.recipe.models import Member, PoolSpec, Recipe
from pool_core.report.preview import preview_run
from pool_core.store.store import Store
from pool_core.testing.scripted import EchoTask, ScriptedBackend, make_registry

ROWS = [{"id": number, "text": f"text {number}", "other": f"other {number}"} for number in range(10)]
TWO = {"ann": {}, "bob": {}}


def list_figures(preview):
    return {m.name: (m.reused, m.reparsed, m.asked, sum(m.dropped.values())) for m in preview.members}


def list_changes(preview, name):
    (member,) = (member for member in preview.members if member.name == name)
    return [(change.part, change.shapes, change.verb) for change in member.changes]


def find(preview, name):
    return next(member for member in preview.members if member.name == name)


@pytest.fixture
def world(preview_world):
    preview_world.change(TWO, ROWS)
    return preview_world


def test_before_the_first_run_everything_is_asked_and_nothing_is_made(preview_world):
    preview = preview_world.preview(TWO, ROWS)
    assert list_figures(preview) == {"ann": (0, 0, 10, 0), "bob": (0, 0, 10, 0)}
    assert find(preview, "ann").because == {"new": 10}
    assert (preview.estimate.run, preview.changes, find(preview, "ann").changes) == (None, None, None)
    assert not preview_world.run_dir.exists()


def test_nothing_changed(world):
    preview = world.change(TWO, ROWS)
    assert list_figures(preview) == {"ann": (10, 0, 0, 0), "bob": (10, 0, 0, 0)}
    assert (preview.changes, list_changes(preview, "ann"), preview.gone) == ((), [], [])
    assert preview.estimate.cost.high == 0


def test_another_members_prompt(world):
    preview = world.change({"ann": {}, "bob": {"task": {"use": "echo", "column": "other"}}}, ROWS)
    assert list_figures(preview) == {"ann": (10, 0, 0, 0), "bob": (0, 0, 10, 0)}
    assert list_changes(preview, "bob") == [("task.column", "requests", "added")]
    assert find(preview, "bob").because == {"changed": 10}
    assert list_changes(preview, "ann") == []
    assert preview.estimate.cost.low > 0


def test_the_old_prompt_again_finds_its_answers(world):
    world.change({"ann": {}, "bob": {"task": {"use": "echo", "column": "other"}}}, ROWS)
    preview = world.change(TWO, ROWS)
    assert list_figures(preview) == {"ann": (10, 0, 0, 0), "bob": (0, 10, 0, 0)}
    assert find(preview, "bob").changed == 10


def test_only_a_parser(world):
    preview = world.change({"ann": {"task": {"use": "echo", "suffix": "!"}}, "bob": {}}, ROWS)
    assert list_figures(preview) == {"ann": (0, 10, 0, 0), "bob": (10, 0, 0, 0)}
    ann = find(preview, "ann")
    assert (ann.changed, len(ann.shown)) == (10, 3)
    assert ann.shown[0].row_id == "0"
    assert ann.shown[0].before == {"status": "ok", "cause": None, "outputs": {"said": "TEXT 0"}}
    assert ann.shown[0].after == {"status": "ok", "cause": None, "outputs": {"said": "TEXT 0!"}}


def test_a_parser_that_changes_some_outcomes(world):
    preview = world.change({"ann": {"task": {"use": "echo", "fail_on": "7"}}, "bob": {}}, ROWS)
    ann = find(preview, "ann")
    assert (ann.reparsed, ann.changed, ann.asked) == (10, 1, 0)
    assert ann.shown[0].after == {"status": "failed", "cause": "parse", "outputs": None}


def test_a_new_version_of_a_parser(world, monkeypatch):
    monkeypatch.setattr(EchoTask, "parser_version", 2)
    preview = world.change(TWO, ROWS)
    assert list_figures(preview) == {"ann": (0, 10, 0, 0), "bob": (0, 10, 0, 0)}
    assert list_changes(preview, "ann") == [("task's parser_version", "reading", "changed")]
    assert find(preview, "ann").changed == 0


@pytest.mark.parametrize(
    ("keys", "part", "changed"),
    [
        ({"outputs": {"reply": "said"}}, "outputs.reply", 10),
        ({"constant": {"language": "en"}}, "constant.language", 10),
        ({"limits": {"task_timeout": 9}}, "limits.task_timeout", 0),
        ({"reask": {"times": 2}}, "reask.times", 0),
    ],
)
def test_what_shapes_the_reading_alone(world, keys, part, changed):
    preview = world.change({"ann": keys, "bob": {}}, ROWS)
    assert list_figures(preview)["ann"] == (0, 10, 0, 0)
    assert part in [name for name, shapes, _ in list_changes(preview, "ann") if shapes == "reading"]
    assert find(preview, "ann").changed == changed


def test_sampling(world):
    preview = world.change({"ann": {"sampling": {"temperature": 0.5}}, "bob": {}}, ROWS)
    assert list_figures(preview)["ann"] == (0, 0, 10, 0)
    assert list_changes(preview, "ann") == [("sampling.temperature", "requests", "added")]
    preview = world.change({"ann": {"sampling": {"temperature": 0.7}}, "bob": {}}, ROWS)
    assert list_changes(preview, "ann") == [("sampling.temperature", "requests", "changed")]


def test_timing_changes_nothing(world):
    limits = {"concurrency": 3, "rpm": 10_000, "timeout": 9, "deadline": 99, "attempts": 2}
    preview = world.change({"ann": {"limits": limits, "hedge": {"share": 0.1}}, "bob": {}}, ROWS)
    assert list_figures(preview) == {"ann": (10, 0, 0, 0), "bob": (10, 0, 0, 0)}
    assert list_changes(preview, "ann") == []


@pytest.mark.parametrize(
    ("rows", "figures", "counted"),
    [
        ([*ROWS, {"id": 10, "text": "new", "other": "x"}], (10, 0, 1, 0), (1, 0, 0, False)),
        (ROWS[:7], (7, 0, 0, 3), (0, 0, 3, False)),
        (ROWS[3:], (7, 0, 0, 3), (0, 0, 3, False)),
        (ROWS[::-1], (10, 0, 0, 0), (0, 0, 0, True)),
        ([ROWS[0] | {"text": "edited"}, *ROWS[1:]], (9, 0, 1, 0), (0, 1, 0, False)),
        ([ROWS[0] | {"other": "edited"}, *ROWS[1:]], (9, 1, 0, 0), (0, 1, 0, False)),
        ([ROWS[9] | {"id": 99}, *ROWS[:9]], (9, 1, 0, 1), (1, 0, 1, False)),
    ],
    ids=["appended", "removed", "first-removed", "reordered", "edited", "edited-not-asked", "renamed"],
)
def test_rows(world, rows, figures, counted):
    preview = world.change(TWO, rows)
    assert list_figures(preview) == {"ann": figures, "bob": figures}
    found = preview.rows
    assert (found.added, found.changed, found.removed, preview.reordered) == counted


def test_rows_without_ids(preview_world):
    preview_world.change(TWO, ROWS, id_column=None)
    preview = preview_world.change(TWO, [ROWS[0] | {"text": "edited"}, *ROWS[1:]], id_column=None)
    assert (preview.rows.added, preview.rows.removed) == (1, 1)
    assert list_figures(preview)["ann"] == (9, 0, 1, 1)


def test_equal_rows_have_answers_of_their_own(preview_world):
    same = [{"id": number, "text": "same"} for number in range(4)]
    preview_world.change({"ann": {}}, same[:2])
    preview = preview_world.change({"ann": {}}, same)
    assert list_figures(preview)["ann"] == (2, 0, 2, 0)


def test_samples_raised_and_lowered(world):
    preview = world.change(TWO, ROWS, samples=6)
    assert list_figures(preview) == {"ann": (10, 0, 20, 0), "bob": (10, 0, 20, 0)}
    assert [change.part for change in preview.changes] == ["pool.samples"]
    preview = world.change(TWO, ROWS, samples=4)
    assert list_figures(preview) == {"ann": (20, 0, 0, 10), "bob": (20, 0, 0, 10)}
    assert find(preview, "ann").dropped == {"sample": 10}
    preview = world.change(TWO, ROWS, samples=6)
    assert list_figures(preview) == {"ann": (20, 10, 0, 0), "bob": (20, 10, 0, 0)}


def test_a_member_is_added(world):
    preview = world.change({**TWO, "cid": {}}, ROWS)
    assert list_figures(preview) == {"ann": (10, 0, 0, 0), "bob": (10, 0, 0, 0), "cid": (0, 0, 10, 0)}
    assert (find(preview, "cid").is_new, find(preview, "cid").was) == (True, None)


def test_a_member_is_removed_and_comes_back(world):
    preview = world.change({"ann": {}}, ROWS)
    assert preview.gone == [("bob", 10, None)]
    assert preview.dropped == 10
    preview = world.change(TWO, ROWS)
    assert list_figures(preview) == {"ann": (10, 0, 0, 0), "bob": (0, 10, 0, 0)}


def test_a_member_is_renamed(world):
    preview = world.change({"ann": {}, "rob": {"backend": {"use": "count", "model": "bob"}}}, ROWS)
    assert list_figures(preview) == {"ann": (10, 0, 0, 0), "rob": (0, 10, 0, 0)}
    assert find(preview, "rob").was == "bob"
    assert preview.gone == [("bob", 10, "rob")]


def test_members_in_another_order(world):
    preview = world.change({"bob": {}, "ann": {}}, ROWS)
    assert list_figures(preview) == {"bob": (10, 0, 0, 0), "ann": (10, 0, 0, 0)}


def test_a_plugin_is_upgraded_and_asks_the_same(world):
    world.version = "1.1"
    preview = world.change(TWO, ROWS)
    assert list_figures(preview) == {"ann": (0, 10, 0, 0), "bob": (0, 10, 0, 0)}
    assert [str(change) for change in find(preview, "ann").changes] == [
        "task changed: counting/echo 1.0 -> counting/echo 1.1",
        "backend changed: counting/count 1.0 -> counting/count 1.1",
    ]
    assert not find(preview, "ann").changed


def test_a_plugin_is_upgraded_and_asks_something_else(world, monkeypatch):
    world.version = "1.1"
    render = EchoTask.render
    monkeypatch.setattr(EchoTask, "render", lambda self, row: render(self, {**row, "text": f"please {row['text']}"}))
    preview = world.change(TWO, ROWS)
    assert list_figures(preview)["ann"] == (0, 0, 10, 0)
    assert find(preview, "ann").because == {"changed": 10}


def test_assignment(world):
    preview = world.change({"ann": {"when": "id < 4"}, "bob": {}}, ROWS, assign="routed")
    assert list_figures(preview) == {"ann": (4, 0, 0, 6), "bob": (10, 0, 0, 0)}
    assert list_changes(preview, "ann") == [("member.when", "cells", "changed")]


def test_calls_that_failed_are_asked_again(preview_world):
    rows = [*ROWS[:3], {"id": 3, "text": "broken", "other": "fine"}]
    preview_world.change({"ann": {}}, rows)
    preview = preview_world.change({"ann": {}}, rows)
    assert list_figures(preview)["ann"] == (3, 0, 1, 0)
    assert find(preview, "ann").because == {"unanswered": 1}


def test_rows_that_give_no_prompt_are_not_asked(world):
    preview = world.change(TWO, [*ROWS, {"id": 10, "text": 5, "other": "x"}])
    assert find(preview, "ann").estimate.failing == 1
    assert "must hold text, not int" in find(preview, "ann").estimate.problem


def test_re_asks(preview_world):
    rows = [*ROWS[:3], {"id": 3, "text": "secret", "other": "x"}]
    strict = {"task": {"use": "echo", "fail_on": "unreadable"}}
    preview_world.change({"ann": strict}, rows)
    # the first answer is there and cannot be read: the one request is the re-ask
    preview = preview_world.change({"ann": {**strict, "reask": {"times": 1}}}, rows)
    assert list_figures(preview)["ann"] == (0, 3, 1, 0)
    # both answers are there: nothing is asked, whatever is changed about reading
    preview = preview_world.change({"ann": {**strict, "reask": {"times": 2}}}, rows)
    assert list_figures(preview)["ann"] == (0, 4, 0, 0)


def test_cells_that_a_fallback_took_over(preview_world):
    rows = [*ROWS[:3], {"id": 3, "text": "broken", "other": "fine"}]
    members = {"ann": {"fallback": "spare"}, "spare": {"when": "false"}}
    preview_world.run(members, rows, assign="routed")
    assert preview_world.sent == {"ann": 4, "spare": 1}
    preview = preview_world.change(members, rows, assign="routed")
    assert list_figures(preview)["ann"] == (4, 0, 0, 0)
    # with a longer time for tasks each answer is read again, that of the spare member too
    members["ann"]["limits"] = {"task_timeout": 9}
    preview = preview_world.preview(members, rows, assign="routed")
    assert list_figures(preview) == {"ann": (0, 4, 0, 0), "spare": (0, 0, 0, 0)}
    preview_world.run(members, rows, assign="routed")
    assert preview_world.sent == {}


def test_a_run_that_did_not_come_to_its_end(preview_world):
    preview_world.run(TWO, ROWS[:4])
    preview = preview_world.change(TWO, ROWS)
    assert list_figures(preview)["ann"] == (4, 0, 6, 0)


def test_objects_are_always_looked_at(tmp_path):
    member = Member(name="a", backend=ScriptedBackend(lambda _: "x"), task=EchoTask())
    recipe = Recipe(pool=PoolSpec(members=(member,), policies=()))
    plan = make_plan(recipe, make_registry(), rows=MemoryRows(ROWS, "id"))
    assert preview_run(plan, tmp_path / "run").members[0].loose
    with pytest.raises(RecipeError, match="has no rows"):
        preview_run(replace(plan, rows=None), tmp_path / "run")


def test_a_store_that_does_not_say_what_it_was_made_of(world):
    with Store.open(world.run_dir) as store, store.write() as connection:
        connection.execute("DELETE FROM meta WHERE name = 'parts'")
    preview = world.preview(TWO, ROWS)
    assert list_figures(preview)["ann"] == (10, 0, 0, 0)
    assert (preview.changes, find(preview, "ann").changes) == (None, None)


def test_bad_rows_are_an_error_as_in_a_run(world):
    with pytest.raises(RowsError, match="ids must be unique"):
        world.preview(TWO, [*ROWS, ROWS[0]])


def test_a_run_directory_that_another_process_owns_is_read_and_left_as_it_is(world):
    with Store.open(world.run_dir):
        before = {path.name: path.read_bytes() for path in world.run_dir.iterdir() if not path.name.endswith("-shm")}
        preview = world.preview({"ann": {}}, ROWS[3:])
        after = {path.name: path.read_bytes() for path in world.run_dir.iterdir() if not path.name.endswith("-shm")}
    assert preview.dropped == 3 + 10
    assert before == after


@pytest.mark.skipif(os.geteuid() == 0, reason="root can write everywhere")
def test_a_directory_that_cannot_be_written(world):
    world.run_dir.chmod(0o500)
    try:
        assert world.preview(TWO, ROWS[3:]).dropped == 6
    finally:
        world.run_dir.chmod(0o700)
