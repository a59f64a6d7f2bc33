"""``pool plan`` and ``pool run --dry-run`` say what a run would do, in any form, and do nothing."""

from __future__ import annotations

import json

import pytest

from pool_core.testing.scripted_plugin import EchoBackend


@pytest.fixture
def finished(pool, recipe, monkeypatch):
    """The recipe after a run; from then on, a call would fail the test."""
    assert pool("run", recipe, "-q").code == 0

    async def refuse(*_):
        raise AssertionError("sent")

    monkeypatch.setattr(EchoBackend, "open", refuse)
    return recipe


def edit(recipe, old, new):
    text = recipe.read_text()
    assert old in text
    recipe.write_text(text.replace(old, new, 1))


def test_before_the_first_run(pool, recipe, tmp_path):
    done = pool("plan", recipe)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("3 rows; nothing is sent, nothing is written\n")
    assert "ann: asked: 3 without an outcome\n" in done.out
    assert f"note: everything is asked: there is no run in {tmp_path}/runs/recipe\n" in done.out
    assert not (tmp_path / "runs").exists()


def test_a_change_for_people(pool, finished, tmp_path):
    edit(finished, "task: echo}", "task: {use: echo, suffix: '!'}}")
    edit(finished, "model: other", "model: another")
    rows = [{"id": "r3", "text": "text 3"}, {"id": "r1", "text": "text 1"}, {"id": "r4", "text": "\x1b[31mnew"}]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    done = pool("plan", finished)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("3 rows: 1 added, 1 removed, reordered; nothing is sent, nothing is written\n")
    assert "│ ann    │     3 │      0 │         2 │     1 │       0 │       1 │ unknown │\n" in done.out
    assert "│ bob    │     3 │      0 │         0 │     3 │       0 │       1 │ unknown │\n" in done.out
    assert (
        "ann: task.suffix added; asked: 1 without an outcome; 2 stored answers read again, asked nothing: "
        "2 outcomes changed; dropped: 1 whose row is gone\n"
    ) in done.out
    assert "bob: backend.model changed; asked: 2 with another request than the stored answer's; " in done.out
    assert "ann, row 'r3', sample 0\n" in done.out
    assert '  - {"said": "text 3"}\n  + {"said": "text 3!"}\n' in done.out
    assert "no price is known for bob" in done.out


def test_a_change_for_programs(pool, finished):
    edit(finished, "name: bob", "name: rob")
    done = pool("plan", finished, "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json["version"] == 1
    assert done.json["rows"] == {"total": 3, "added": 0, "changed": 0, "removed": 0, "reordered": False}
    assert done.json["gone"] == [{"name": "bob", "dropped": 3, "now": "rob"}]
    assert done.json["total"]["asked"] == 0
    assert done.json["total"]["dropped"] == 3
    ann, rob = done.json["members"]
    assert (ann["reused"], ann["changes"], ann["was"]) == (3, [], None)
    assert (rob["reparsed"], rob["was"], rob["dropped"], rob["because"]) == (3, "bob", {}, {})
    assert rob["cost"] == {"low": 0.0, "high": 0.0}


def test_a_dry_run_is_the_same(pool, finished, tmp_path):
    edit(finished, "model: other", "model: another")
    before = (tmp_path / "out.json").read_bytes()
    assert pool("run", finished, "--dry-run").out == pool("plan", finished).out
    assert pool("run", finished, "--dry-run", "--json").json == pool("plan", finished, "--json").json
    assert (tmp_path / "out.json").read_bytes() == before
    assert pool("plan", finished, "--rows", "rows.json", "--run-dir", "elsewhere", "--json").json["run"] is None
    assert not (tmp_path / "elsewhere").exists()


def test_members_that_do_not_fit_are_an_error(pool, finished):
    edit(finished, "policies: []", "policies: [nothing]")
    done = pool("plan", finished)
    assert done.code == 2
    assert "there is no policy named 'nothing'" in done.err
