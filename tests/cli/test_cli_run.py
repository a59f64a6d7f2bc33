"""``pool run``: what it shows, what it writes, how it ends, and what a key or a signal does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from pool_core.testing.distributions import write_distribution

standard = pytest.mark.plugins("standard", "replay")

TABLE = """\
┏━━━━━━━━┳━━━━━━━┳━━━━┳━━━━━━━━┳━━━━━━━━━┳━━━━━━━━┳━━━━━━━━━━┳━━━━━━━━━━━┳━━━━━━━━━━━━┓
┃ member ┃ cells ┃ ok ┃ failed ┃ pending ┃ reused ┃ requests ┃ tokens in ┃ tokens out ┃
┡━━━━━━━━╇━━━━━━━╇━━━━╇━━━━━━━━╇━━━━━━━━━╇━━━━━━━━╇━━━━━━━━━━╇━━━━━━━━━━━╇━━━━━━━━━━━━┩
│ ann    │     3 │  3 │      0 │       0 │      0 │        3 │         0 │          0 │
│ bob    │     3 │  3 │      0 │       0 │      0 │        3 │         0 │          0 │
└────────┴───────┴────┴────────┴─────────┴────────┴──────────┴───────────┴────────────┘
complete: every cell is ok
"""


def test_a_run_writes_its_output_and_shows_its_figures(pool, recipe, tmp_path):
    done = pool("run", recipe)
    assert (done.code, done.err) == (0, "")
    head, rest = done.out.split("\n", 1)
    assert head.startswith("3 rows, ")
    assert rest == TABLE + f"run: {tmp_path}/runs/recipe\noutput: {tmp_path}/out.json\n"
    rows = json.loads((tmp_path / "out.json").read_text())
    assert [(row["id"], [part["said"] for part in row["generations"]]) for row in rows] == [
        (f"r{n}", [f"text {n}"] * 2) for n in (1, 2, 3)
    ]


def test_the_summary_as_json_is_one_document_of_a_version(pool, recipe, tmp_path):
    done = pool("run", recipe, "--json")
    assert (done.code, done.err) == (0, "")
    summary = done.json
    assert 0 <= summary.pop("seconds") < 60
    member = {
        "cells": 3,
        "ok": 3,
        "failed": {},
        "pending": 0,
        "reused": 0,
        "requests": 3,
        "retries": 0,
        "input_tokens": 0,
        "output_tokens": 0,
        "stopped": "",
        "cost": None,
        "reasks": 0,
        "hedges": 0,
        "maybe_billed": 0,
        "taken_over": 0,
    }
    assert summary == {
        "version": 1,
        "exit_code": 0,
        "status": "complete",
        "rows": 3,
        "members": [{"name": "ann", **member}, {"name": "bob", **member}],
        "folder": f"{tmp_path}/runs/recipe",
        "output": f"{tmp_path}/out.json",
        "notes": [],
        "limit": "",
    }


@pytest.mark.parametrize("option", ["--quiet", "-q"])
def test_a_quiet_run_shows_nothing(pool, recipe, tmp_path, option):
    done = pool("run", recipe, option)
    assert (done.code, done.out, done.err) == (0, "", "")
    assert (tmp_path / "out.json").is_file()


def test_the_same_command_again_asks_nothing(pool, recipe):
    pool("run", recipe)
    again = pool("run", recipe, "--json").json
    assert [(member["requests"], member["reused"]) for member in again["members"]] == [(0, 3), (0, 3)]


def test_files_of_the_command_line_start_from_the_current_folder(pool, recipe, tmp_path):
    (tmp_path / "other.json").write_text('[{"id": "only", "text": "hello"}]')
    done = pool("run", recipe, "--rows", "other.json", "--output", "sub/new.json", "--run-dir", "elsewhere")
    assert done.code == 0
    assert done.out.endswith(f"run: elsewhere\noutput: {tmp_path}/sub/new.json\n")
    (row,) = json.loads((tmp_path / "sub" / "new.json").read_text())
    assert (row["id"], len(row["generations"])) == ("only", 2)
    assert (tmp_path / "elsewhere" / "run.sqlite").is_file()
    assert not (tmp_path / "out.json").exists()


@standard
def test_another_file_of_the_same_ending_is_read_and_written_as_the_recipe_says(pool, make_recipe, tmp_path):
    recipe = make_recipe()
    text = recipe.read_text().replace('{"path": "rows.jsonl", "id": "id"}', "{path: a.csv, id: id, delimiter: ';'}")
    text = text.replace('"out.jsonl"', "{path: out.csv, layout: long, delimiter: '|'}")
    recipe.write_text(text)
    (tmp_path / "b.csv").write_text("id;instruction\nr1;Say it.\n")
    assert pool("run", recipe, "--rows", "b.csv", "-o", "c.csv").code == 0
    assert (tmp_path / "c.csv").read_text().startswith("row_id|member|model|")
    assert pool("run", recipe, "--rows", "b.csv", "-o", "c.jsonl").code == 0
    first, second = (json.loads(line) for line in (tmp_path / "c.jsonl").read_text().splitlines())
    assert (first["row_id"], first["member"], second["member"]) == ("r1", "ann", "bob")


def test_findings_are_shown_before_a_run(pool, recipe, tmp_path):
    recipe.write_text(recipe.read_text().replace("{name: ann,", "{name: ann, when: 'true',"))
    done = pool("run", recipe)
    assert done.code == 0
    assert done.err == (
        "! warning: ann has a `when`, which acts with `assign: routed` alone, not with `assign: all`  [when-unused]\n"
        f"    at {recipe}:6\n"
        "    write `assign: routed`, or remove `when`\n"
    )


def test_incompatible_members_are_not_asked(pool, recipe, tmp_path):
    recipe.write_text(recipe.read_text().replace("policies: []", "policies: [{use: refuse, message: never}]"))
    done = pool("run", recipe)
    assert (done.code, done.out) == (4, "")
    assert done.err == (
        "error: the members do not fit together:\n"
        "  refused: never\n"
        "  nothing was asked; `pool check` shows the whole picture and what to write\n"
    )
    assert not (tmp_path / "runs").exists()


@standard
def test_failed_cells_make_a_run_partial(pool, make_recipe, read_output):
    done = pool("run", make_recipe(ann={"use": "simulate"}, bob={"use": "simulate", "refuse": 1}))
    assert (done.code, done.err) == (3, "")
    assert "│ bob    │     3 │  0 │ 3 refusal │ " in done.out
    assert "\npartial: 3 cells failed; `message` in the output says why\nask again for what got no answer" in done.out
    assert {(part["member"], part["status"]) for row in read_output() for part in row["generations"]} == {
        ("ann", "ok"),
        ("bob", "failed"),
    }


@standard
def test_the_command_that_goes_on_can_be_pasted(pool, make_recipe, tmp_path):
    recipe = make_recipe("my recipe.yaml", bob={"use": "simulate", "refuse": 1})
    options = ["--run-dir", "my runs/$1", "--rows", "rows.jsonl", "--output", "it's.jsonl", "--block", "sentiment"]
    done = pool("run", recipe.name, *options, "--plugins", "standard,replay")
    assert done.code == 3
    (line,) = [line for line in done.out.splitlines() if line.startswith("ask again")]
    assert line == (
        "ask again for what got no answer with: pool run 'my recipe.yaml' --run-dir 'my runs/$1' --rows rows.jsonl "
        "--output 'it'\"'\"'s.jsonl' --plugins standard,replay --block sentiment"
    )


@standard
def test_on_a_terminal_there_is_a_bar_per_member_and_it_ends_in_the_table(make_recipe, terminal):
    make_recipe(ann={"use": "simulate", "latency": 0.05}, bob={"use": "simulate", "latency": 0.05, "refuse": 1})
    shell = terminal("run", "recipe.yaml")
    assert shell.finish() == 3
    assert "\x1b[" in shell.text
    assert "━ 3/3 " in shell.plain
    assert "━ 3/3 3 failed 0:00:00\n" in shell.plain
    assert shell.text.endswith("\x1b[?25h" + shell.text.rpartition("\x1b[?25h")[2])  # the cursor is back ...
    assert "pool" not in shell.text.rpartition("\x1b[?25h")[0]  # ... before anything else is shown
    assert "│ bob    │     3 │  0 │ 3 refusal │       0 │" in shell.plain


@standard
def test_a_narrow_terminal_cuts_no_figure(make_recipe, terminal):
    make_recipe(ann={"use": "simulate"}, bob={"use": "simulate", "refuse": 1})
    shell = terminal("run", "recipe.yaml", columns=60)
    assert shell.finish() == 3
    end = shell.plain[shell.plain.rindex("3 rows, ") :]
    assert "…" not in end
    assert "bob: 3 cells: 0 ok, 3 failed (refusal), 3 requests, 6\n  tokens in, 18 out\n" in end
    assert max(map(len, end.splitlines()[:4])) <= 60


@standard
def test_without_colour_a_terminal_shows_bars_and_no_colour(make_recipe, terminal):
    make_recipe()
    shell = terminal("run", "recipe.yaml", NO_COLOR="1")
    assert shell.finish() == 0
    assert "━ 3/3 " in shell.plain
    colours = {
        part.split("m")[0] for part in shell.text.split("\x1b[")[1:] if part.split("m")[0].replace(";", "").isdigit()
    }
    assert not [code for code in colours if any(30 <= int(number) <= 107 for number in code.split(";"))]


@standard
def test_through_pipes_there_is_no_escape_code(make_recipe, process):
    make_recipe(ann={"use": "simulate"}, bob={"use": "simulate", "refuse": 1})
    out, err = process("run", "recipe.yaml").communicate()
    assert err == ""
    assert "\x1b" not in out
    assert "│ bob    │" in out


SLOWEST = {"use": "simulate", "latency": 10_000, "sigma": 0, "model": "slow"}
GATED = """
import asyncio
from pathlib import Path
from pool_core.api import Contribution, hookimpl
from pool_core.testing.scripted_plugin import EchoBackend

class Gated(EchoBackend):
    async def generate(self, request):
        while not Path("gate").exists():
            await asyncio.sleep(0.01)
        return await super().generate(request)

@hookimpl
def pool_backends():
    yield Contribution("gated", f"{__name__}:Gated")
"""


@pytest.fixture
def gate(tmp_path, monkeypatch):
    """A file whose presence lets the backend `gated` answer, here and in other processes."""
    site = tmp_path / "gated-site"
    points = {"pool_core.plugins.v1": {"gates": "pool_gates_for_cli"}}
    write_distribution(site, name="pool-gates", entry_points=points, modules={"pool_gates_for_cli": GATED})
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    return tmp_path / "gate"


@standard
def test_one_interrupt_lets_what_is_in_flight_finish_and_the_next_run_asks_only_the_rest(
    make_recipe, terminal, pool, read_output, gate
):
    one_by_one = {"use": "simulate", "limits": {"concurrency": 1}}
    make_recipe(ann={"use": "gated", "limits": {"concurrency": 2}}, bob=one_by_one)
    shell = terminal("run", "recipe.yaml")
    shell.read_until(" 2 in flight")
    shell.read_until(" 3/3 ")
    shell.press(b"\x03")
    shell.read_until("stop now\n")
    gate.touch()
    assert shell.finish() == 130
    end = shell.plain
    assert "stopping: waiting for what is in flight; press Ctrl-C again to stop now\n" in end
    assert "│ ann    │     3 │  2 │      0 │       1 │" in end
    assert "\ninterrupted: 1 cell pending\ngo on with: pool run recipe.yaml\n" in end
    found = [part["status"] for row in read_output() for part in row["generations"] if part["member"] == "ann"]
    assert sorted(found) == ["ok", "ok", "pending"]
    again = pool("run", "recipe.yaml", "--json")
    assert again.code == 0
    assert [member["requests"] for member in again.json["members"]] == [1, 0]


@standard
def test_two_interrupts_stop_at_once_and_keep_what_was_answered(make_recipe, terminal, read_output):
    make_recipe(ann=dict(SLOWEST), bob={"use": "simulate"})
    shell = terminal("run", "recipe.yaml", columns=60)
    shell.read_until(" 3 in flight")
    shell.read_until(" 3/3 ")
    shell.press(b"\x03")
    shell.read_until("stop now\n")
    shell.press(b"\x03")
    assert shell.finish() == 130
    assert "stopping now\n" in shell.plain
    found = {(part["member"], part["status"]) for row in read_output() for part in row["generations"]}
    assert found == {("ann", "pending"), ("bob", "ok")}


@standard
@pytest.mark.parametrize("option", ["--json", "--quiet"])
def test_sigterm_is_an_interrupt_and_is_told_on_standard_error(make_recipe, process, wait_until, tmp_path, option):
    make_recipe(ann=dict(SLOWEST), bob={"use": "simulate"})
    running = process("run", "recipe.yaml", option)
    wait_until((tmp_path / "runs" / "recipe" / "plan.json").is_file)
    wait_until(lambda: _count_cells(tmp_path) == 3)
    running.send_signal(signal.SIGTERM)
    assert "stopping: " in running.stderr.readline()
    running.send_signal(signal.SIGTERM)
    out, err = running.communicate()
    assert (running.returncode, err) == (130, "stopping now\n")
    if option == "--quiet":
        assert out == ""
    else:
        summary = json.loads(out)
        assert (summary["status"], summary["exit_code"]) == ("interrupted", 130)
        assert [(member["ok"], member["pending"]) for member in summary["members"]] == [(0, 3), (3, 0)]


def _count_cells(folder):
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(f"file:{folder}/runs/recipe/run.sqlite?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT count(*) FROM cells").fetchone()[0]


@standard
def test_a_run_whose_reader_has_gone_is_complete_all_the_same(make_recipe, tmp_path, read_output):
    make_recipe()
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "pool_core", "run", "recipe.yaml"]
    done = subprocess.run(command, cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")
    assert all(part["status"] == "ok" for row in read_output() for part in row["generations"])
