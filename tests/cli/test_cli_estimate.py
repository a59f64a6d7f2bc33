"""``pool estimate`` counts what a run would ask, in any form, and asks nothing."""

from __future__ import annotations

import json

import pytest

from pool_core.testing.scripted_plugin import EchoBackend


@pytest.fixture(autouse=True)
def _no_calls(monkeypatch):
    """Estimates send nothing: a call would fail the test."""

    async def refuse(*_):
        raise AssertionError("sent")

    monkeypatch.setattr(EchoBackend, "open", refuse)


@pytest.fixture
def bounded(recipe):
    """The recipe with a longest answer and a price for each member."""
    text = recipe.read_text().replace(
        "task: echo}", "task: echo, sampling: {max_tokens: 10}, price: {input: 1000, output: 2000}}"
    )
    text = text.replace("      task: echo\n", "      task: echo\n      limits: {rpm: 3}\n")
    recipe.write_text(text)
    return recipe


def test_an_estimate_for_people(pool, bounded, tmp_path):
    done = pool("estimate", bounded)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("3 rows; nothing is sent\n")
    assert "│ ann    │     3 │      0 │       0 │        3 │  12 to 32 │    0 to 30 │ $0.0123 to $0.0912 │" in done.out
    assert "total: 6 requests, cost at least $0.0123\n" in done.out
    assert "time: at least 1 min at the recipe's limits" in done.out
    assert f"note: the whole recipe is counted: there is no run in {tmp_path}/runs/recipe\n" in done.out
    assert not (tmp_path / "runs").exists()


def test_an_estimate_for_programs(pool, bounded):
    done = pool("estimate", bounded, "--json")
    assert (done.code, done.err) == (0, "")
    assert (done.json["version"], done.json["rows"], done.json["run"]) == (1, 3, None)
    assert [member["requests"] for member in done.json["members"]] == [3, 3]
    assert done.json["members"][1]["cost"] is None
    assert done.json["total"]["output_tokens"] == {"low": 0, "high": None}
    assert done.json["seconds"] == {"low": 60.0, "high": None}


def test_other_rows_than_the_recipes(pool, bounded, tmp_path):
    (tmp_path / "more.json").write_text('[{"id": "a", "text": "x"}]')
    assert pool("estimate", bounded, "--rows", "more.json", "--json").json["rows"] == 1


def test_what_a_run_directory_has_is_not_counted_again(pool, bounded, tmp_path, monkeypatch):
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("POOL_PLUGINS", "fake")
    assert pool("run", bounded, "--run-dir", "mine").code == 0
    done = pool("estimate", bounded, "--run-dir", "mine", "--json")
    assert done.json["run"] == "mine"
    assert [(member["reused"], member["requests"]) for member in done.json["members"]] == [(3, 0), (3, 0)]
    assert done.json["total"]["cost"] == {"low": 0.0, "high": 0.0}
    assert pool("estimate", bounded, "--json").json["total"]["requests"] == 6


def test_a_recipe_that_would_not_run_is_not_estimated(pool, recipe):
    recipe.write_text(recipe.read_text() + "budget: {max_cost: 5}\n")
    done = pool("estimate", recipe)
    assert done.code == 4
    assert "price-unknown: the budget has a `max_cost`, and the price of ann is not known" in done.err


def test_a_recipe_without_rows_is_told(pool, recipe):
    recipe.write_text(recipe.read_text().replace("rows: {path: rows.json, id: id}\n", ""))
    done = pool("estimate", recipe)
    assert (done.code, done.err) == (2, "error: the recipe has no rows\n  write `rows: FILE`, or give --rows FILE\n")


def test_an_estimate_on_a_terminal(terminal, bounded, tmp_path):
    rows = [{"id": str(number), "text": "x"} for number in range(1500)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    shell = terminal("estimate", bounded, PYTHONPATH=str(tmp_path / "site"))
    assert shell.finish() == 0
    assert "total: 3,000 requests" in shell.plain
