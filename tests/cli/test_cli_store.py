"""Commands over a run directory: ``status``, ``runs``, ``retry``, ``repair`` and ``gc``."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing

import pytest

from pool_core import Member, Pool
from pool_core.report.state import read_state
from pool_core.store.records import NewAnswer
from pool_core.store.store import Store
from pool_core.testing.scripted import EchoTask, ScriptedBackend, make_registry

BIDI = "\u202e"


@pytest.fixture
def finished(pool, recipe):
    """The directory of a run that is complete."""
    assert pool("run", recipe).code == 0
    return recipe.parent / "runs" / "recipe"


@pytest.fixture
def failing(pool, recipe):
    """A run in which every cell of `bob` and the second one of `ann` failed with an answer."""
    text = recipe.read_text().replace("backend: echo, task: echo", "backend: echo, task: {use: echo, fail_on: '2'}")
    recipe.write_text(text.replace("      task: echo\n", "      task: {use: echo, fail_on: text}\n"))
    assert pool("run", recipe).code == 3
    return recipe.parent / "runs" / "recipe"


def change(folder, statement):
    with closing(sqlite3.connect(folder / "run.sqlite")) as connection:
        connection.execute(statement)
        connection.commit()


# status


def test_status_shows_how_each_member_stands_and_what_was_paid(pool, failing):
    done = pool("status", failing)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "3 rows"
    assert [line.replace(" ", "") for line in lines if "│" in line] == ["│ann│3│2│1parse│0│", "│bob│3│0│3parse│0│"]
    assert "paid for: 6 answers, 0 tokens in, 0 out, 6 of them without a count of tokens" in lines
    assert any(line.startswith("last answer: 2") for line in lines)
    assert "partial: 4 cells failed" in lines
    assert lines[-1].startswith(f"run: {failing}, ")


def test_status_as_json(pool, failing):
    found = pool("status", failing, "--json").json
    assert found | {"size": 0, "last_answer": 0} == {
        "version": 1,
        "folder": str(failing),
        "state": "partial",
        "owner": "",
        "rows": 3,
        "members": [
            {"name": "ann", "cells": 3, "ok": 2, "failed": {"parse": 1}, "pending": 0},
            {"name": "bob", "cells": 3, "ok": 0, "failed": {"parse": 3}, "pending": 0},
        ],
        "spent": {
            "answers": 6,
            "input_tokens": 0,
            "output_tokens": 0,
            "cost": 0.0,
            "unknown_tokens": 6,
            "unknown_cost": 6,
        },
        "last_answer": 0,
        "size": 0,
        "problem": "",
    }
    assert found["size"] > 10_000


def test_status_of_a_run_that_goes_on_names_its_process(pool, finished):
    with Store.open(finished):
        done = pool("status", finished)
    assert done.code == 0
    assert "running: process " in done.out
    assert "complete: every cell is ok" in pool("status", finished).out


def test_status_of_a_run_that_was_killed_does_not_say_it_goes_on(pool, finished):
    (finished / "owner.json").write_text('{"pid": 1, "host": "here"}')
    assert read_state(finished).state == "complete"


def test_status_of_a_run_that_is_not_finished(pool, finished):
    change(finished, "DELETE FROM cells WHERE key >> 24 = 1")
    assert "unfinished: 2 cells pending" in pool("status", finished).out
    assert read_state(finished).pending == 2


def test_status_shows_cost_where_it_is_known(pool, finished, make_cell_free):
    with Store.open(finished) as store:
        make_cell_free(store, cost=0.125, input_tokens=7, output_tokens=9)
    assert "7 answers, 7 tokens in, 9 out, 6 of them without a count of tokens, $0.1250, 6 of them of unknown cost" in (
        pool("status", finished).out
    )


@pytest.fixture
def make_cell_free():
    """Store an answer that no cell holds."""

    def make(store, request=b"other", body=b"{}" * 1000, **paid):
        store.writer.start()
        store.writer.submit_answer(NewAnswer(1e9, 1.0, request, body, 1, **paid))
        store.writer.close()

    return make


@pytest.mark.parametrize("command", ["status", "repair", "gc", "retry"])
@pytest.mark.parametrize("json_option", [[], ["--json"]])
def test_where_there_is_no_run(pool, tmp_path, command, json_option):
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing" / "plan.json").write_text('{"recipe": null, "rows": null}')
    done = pool(command, "nothing", *json_option)
    assert done.code == 1
    assert done.err == "error: nothing: there is no run in this directory\n  it would hold a run.sqlite\n"
    if json_option:
        assert done.json["error"]["message"] == "there is no run in this directory"
    assert sorted(path.name for path in (tmp_path / "nothing").iterdir()) == ["plan.json"]


# runs


def test_runs_lists_them_and_says_which_cannot_be_read(pool, finished, failing, tmp_path):
    (tmp_path / "runs" / f"bad{BIDI}").mkdir()
    (tmp_path / "runs" / f"bad{BIDI}" / "run.sqlite").write_bytes(b"not a database" * 100)
    (tmp_path / "runs" / "no run").mkdir()
    done = pool("runs")
    assert done.code == 0
    assert BIDI not in done.out
    lines = [line.split() for line in done.out.splitlines() if "│" in line]
    assert [line[1:4:2] for line in lines] == [["bad\\u202e", "unreadable"], ["recipe", "partial"]]
    assert "bad\\u202e cannot be read: the store cannot be opened: file is not a database" in done.out
    found = pool("runs", "runs", "--json").json["runs"]
    assert [(run["state"], bool(run["problem"])) for run in found] == [("unreadable", True), ("partial", False)]


def test_runs_where_there_are_none(pool, tmp_path):
    assert pool("runs").out == "no runs in runs\n"
    assert pool("runs", tmp_path, "--json").json == {"version": 1, "runs": []}


# retry


def count_answers(folder):
    return read_state(folder).spent.answers


def test_a_run_leaves_failed_cells_with_an_answer_and_retry_asks_them(pool, recipe, failing):
    assert pool("run", recipe).code == 3
    assert count_answers(failing) == 6
    done = pool("retry", recipe)
    assert (done.code, count_answers(failing)) == (3, 10)
    assert done.err.splitlines()[0] == "asking anew: 4 failed cells: ann 1 parse, bob 3 parse"
    assert pool("run", recipe).code == 3
    assert count_answers(failing) == 10


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        (["--member", "ann"], 1),
        (["--member", "bob"], 3),
        (["--member", "ann", "--member", "bob"], 4),
        (["--cause", "parse", "--cause", "refusal"], 4),
        (["--cause", "refusal"], 0),
        (["--member", "ann", "--cause", "timeout"], 0),
    ],
)
def test_retry_asks_those_that_are_named(pool, failing, options, asked):
    assert pool("retry", failing, "--quiet", *options).out == ""
    assert count_answers(failing) == 6 + asked


def test_retry_of_a_run_directory_goes_on_with_its_files(pool, recipe, tmp_path):
    """The rows and the output are those of the run, also where the recipe names others."""
    recipe.write_text(recipe.read_text().replace("task: echo}", "task: {use: echo, fail_on: '1'}}"))
    (tmp_path / "other.json").write_text(json.dumps([{"id": "x", "text": "text 1"}, {"id": "y", "text": "text 5"}]))
    assert pool("run", recipe, "--rows", "other.json", "-o", "o.json", "--run-dir", "elsewhere").code == 3
    (tmp_path / "o.json").unlink()
    (tmp_path / "sub").mkdir()
    done = pool("retry", "elsewhere", "--json")
    assert done.json["rows"] == 2
    assert [member["requests"] for member in done.json["members"]] == [1, 0]
    assert len(json.loads((tmp_path / "o.json").read_text())) == 2
    assert not (tmp_path / "out.json").exists()


def test_retry_of_a_run_that_python_made_marks_its_cells(pool, tmp_path):
    def answer(request):
        return "bad"

    def run(fail_on):
        backend = ScriptedBackend(answer)
        task = EchoTask(EchoTask.Config(fail_on=fail_on))
        members = [Member(name="a", backend=backend, task=task)]
        Pool(members=members, policies=()).run([{"text": "x"}], run_dir=tmp_path / "run", registry=make_registry())
        return len(backend.requests)

    assert [run("bad"), run("bad")] == [1, 0]
    done = pool("retry", "run")
    assert (done.code, done.err.splitlines()) == (
        0,
        [
            "asking anew: 1 failed cell: a 1 parse",
            "the run was started from Python: run it again there, and they are asked",
        ],
    )
    assert [run("bad"), run("bad")] == [1, 0]
    assert pool("retry", "run", "--json").json == {
        "version": 1,
        "retried": [{"member": "a", "cause": "parse", "cells": 1}],
    }


def test_retry_tells_what_it_does_not_know(pool, failing, tmp_path):
    done = pool("retry", failing, "--member", "eve")
    assert (done.code, done.err) == (2, "error: --member: the run has no member 'eve'\n  it has: ann, bob\n")
    done = pool("retry", failing, "--cause", "boredom")
    assert done.code == 2
    assert done.err.startswith("error: --cause: there is no cause 'boredom'\n  it may be: transport, timeout, ")
    (failing / "plan.json").write_text("{")
    assert pool("retry", failing).err == (
        f"error: {failing}: the run does not say which recipe made it\n  give the recipe, and --run-dir\n"
    )
    assert count_answers(failing) == 6


# repair


def test_repair_of_a_sound_run(pool, finished):
    done = pool("repair", finished)
    assert (done.code, done.err) == (0, "")
    *tables, meta, end = done.out.splitlines()
    assert tables == [
        "rows: 3 intact",
        "members: 2 intact",
        "bases: 2 intact",
        "answers: 6 intact",
        "withdrawn: 0 intact",
        "cells: 6 intact",
    ]
    assert re.fullmatch(r"meta: \d intact", meta)
    assert end == "sound: nothing is damaged"
    assert pool("repair", finished, "--dry-run").code == 0


def test_repair_of_a_damaged_run(pool, recipe, finished, tmp_path):
    wanted = (tmp_path / "out.json").read_bytes()
    change(finished, "UPDATE members SET name = 'eve' WHERE name = 'bob'")
    done = pool("run", recipe)
    assert done.code == 1
    assert done.err == (
        f"error: {finished}: the store is damaged: 1 record of members\n"
        f"  see what is left of it with: pool repair {finished}\n"
    )
    done = pool("repair", finished, "--dry-run")
    assert done.code == 3
    assert done.out.splitlines()[-1].startswith("damaged: `pool repair` without --dry-run builds")
    done = pool("repair", finished)
    assert done.code == 0
    assert "members: 1 intact, 1 damaged" in done.out
    assert "3 cells given up whose row or member is lost" in done.out
    assert done.out.endswith(f"the damaged file is kept: {finished}/damaged-1\n")
    done = pool("run", recipe, "--json")
    assert (done.code, [member["requests"] for member in done.json["members"]]) == (0, [0, 0])
    assert (tmp_path / "out.json").read_bytes() == wanted


def test_repair_as_json(pool, finished):
    change(finished, "UPDATE cells SET outputs = NULL WHERE key >> 24 = 1")
    found = pool("repair", finished, "--json").json
    assert (found["version"], found["sound"], found["problems"]) == (1, False, [])
    assert (found["damaged"]["cells"], found["intact"]["cells"]) == (2, 4)
    assert (found["salvaged"], found["orphans"], found["quarantine"]) == (0, 0, f"{finished}/damaged-1")


# gc


def test_gc_says_what_it_would_free_and_frees_it(pool, finished, make_cell_free):
    with Store.open(finished) as store:
        make_cell_free(store)
    before = (finished / "run.sqlite").stat().st_size
    done = pool("gc", finished, "--dry-run")
    assert (done.code, done.out) == (0, "would give up 1 answer that no outcome rests on, 2.0 kB\n")
    assert (finished / "run.sqlite").stat().st_size == before
    done = pool("gc", finished)
    assert done.out.startswith("giving up 1 answer that no outcome rests on, 2.0 kB\n")
    assert done.out.endswith(" now\n")
    assert pool("gc", finished, "--json").json["answers"] == 0
    assert count_answers(finished) == 7


def test_gc_of_an_unfinished_run_wants_to_be_forced(pool, finished):
    change(finished, "DELETE FROM cells WHERE key >> 24 = 1")
    done = pool("gc", finished)
    assert done.code == 2
    assert done.err == (
        f"error: {finished}: 2 cells pending: stored answers may still serve them\n"
        "  finish the run first, or give --force: what is given up may have to be asked again\n"
    )
    assert pool("gc", finished, "--dry-run", "--json").json["answers"] == 2
    assert pool("gc", finished, "--force").code == 0
    assert pool("gc", finished, "--dry-run", "--json").json["answers"] == 0


def test_gc_of_a_run_whose_log_was_torn_wants_to_be_forced(pool, finished, tmp_path):
    """Its answers are put back as it is opened, and no outcome holds them yet."""
    change(finished, "DELETE FROM cells")
    change(finished, "DELETE FROM rows")
    change(finished, "DELETE FROM members")
    change(finished, "DELETE FROM meta")
    done = pool("gc", finished)
    assert done.code == 2
    assert done.err == (
        f"error: {finished}: the run is unfinished: stored answers may still serve it\n"
        "  finish the run first, or give --force: what is given up may have to be asked again\n"
    )
    assert count_answers(finished) > 0


def test_gc_of_a_run_that_goes_on_is_refused(pool, finished):
    with Store.open(finished):
        done = pool("gc", finished)
        assert pool("gc", finished, "--dry-run").code == 0
    assert done.code == 1
    assert "another process works on this run" in done.err
