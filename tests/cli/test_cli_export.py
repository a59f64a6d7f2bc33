"""``pool export``: the merged file of a run, whenever it is wanted and however it is laid out."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing

import pytest

standard = pytest.mark.plugins("standard", "replay")


@pytest.fixture
def finished(pool, recipe):
    """The directory of a run that is complete."""
    assert pool("run", recipe).code == 0
    return recipe.parent / "runs" / "recipe"


def make_generation(member, text, **changes):
    made = {
        "member": member,
        "model": {"ann": "echo", "bob": "other"}[member],
        "task": "fake/echo",
        "sample": 0,
        "status": "ok",
        "cause": None,
        "message": None,
        "said": text,
        "usage": None,
    }
    return made | changes


def test_without_options_it_writes_what_the_run_wrote(pool, finished, tmp_path):
    first = (tmp_path / "out.json").read_bytes()
    (tmp_path / "out.json").unlink()
    done = pool("export", finished)
    assert (done.code, done.out, done.err) == (0, f"3 records: {tmp_path}/out.json\n", "")
    assert (tmp_path / "out.json").read_bytes() == first


def test_json_says_what_was_written(pool, finished, tmp_path):
    done = pool("export", finished, "--json", "-o", "new.json")
    assert done.json == {"version": 1, "output": f"{tmp_path}/new.json", "records": 3, "damaged": 0}


def test_the_nested_layout(pool, finished, tmp_path):
    pool("export", finished, "-o", "new.json", "--layout", "nested")
    assert json.loads((tmp_path / "new.json").read_text()) == [
        {
            "id": f"r{n}",
            "text": f"text {n}",
            "generations": [make_generation("ann", f"text {n}"), make_generation("bob", f"text {n}")],
        }
        for n in (1, 2, 3)
    ]


def test_the_long_layout(pool, finished, tmp_path):
    done = pool("export", finished, "-o", "new.json", "--layout", "long")
    assert done.out == f"6 records: {tmp_path}/new.json\n"
    assert json.loads((tmp_path / "new.json").read_text()) == [
        {"row_id": f"r{n}", **make_generation(member, f"text {n}")} for n in (1, 2, 3) for member in ("ann", "bob")
    ]


def test_the_columns_layout(pool, finished, tmp_path):
    pool("export", finished, "-o", "new.json", "--layout", "columns")
    first = json.loads((tmp_path / "new.json").read_text())[0]
    parts = [make_generation("ann", "text 1"), make_generation("bob", "text 1")]
    assert first == {"id": "r1", "text": "text 1", **{name: [part[name] for part in parts] for name in parts[0]}}


def test_raw_adds_the_answer_as_it_came(pool, recipe, tmp_path):
    recipe.write_text(recipe.read_text().replace("      task: echo", "      task: {use: echo, suffix: '!'}"))
    pool("run", recipe)
    pool("export", tmp_path / "runs" / "recipe", "--raw")
    ann, bob = json.loads((tmp_path / "out.json").read_text())[0]["generations"]
    assert (ann["said"], ann["raw"]) == ("text 1", "text 1")
    assert (bob["said"], bob["raw"]) == ("text 1!", "text 1")


def test_the_recipe_s_layout_and_raw_hold_for_another_file_and_can_be_overruled(pool, recipe, tmp_path):
    recipe.write_text(
        recipe.read_text().replace("output: out.json", "output: {path: out.json, layout: long, raw: true}")
    )
    pool("run", recipe)
    run = tmp_path / "runs" / "recipe"
    pool("export", run, "-o", "new.json")
    assert json.loads((tmp_path / "new.json").read_text())[0]["raw"] == "text 1"
    pool("export", run, "-o", "new.json", "--no-raw", "--layout", "nested")
    assert "raw" not in json.loads((tmp_path / "new.json").read_text())[0]["generations"][0]


def test_a_recipe_without_output_is_exported_where_the_command_says(pool, recipe, tmp_path):
    recipe.write_text(recipe.read_text().replace("output: out.json\n", ""))
    done = pool("run", recipe)
    assert done.out.endswith(f"complete: every cell is ok\nrun: {tmp_path}/runs/recipe\n")
    run = tmp_path / "runs" / "recipe"
    done = pool("export", run)
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: --output: the run's recipe names no output\n  give a file: --output FILE\n"
    assert pool("export", run, "-o", "new/new.json").code == 0
    assert len(json.loads((tmp_path / "new" / "new.json").read_text())) == 3


def test_a_layout_that_there_is_not(pool, finished):
    done = pool("export", finished, "--layout", "wide")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: --layout: there is no layout 'wide'\n  it may be nested, columns, long\n"


def test_a_file_that_nothing_can_write(pool, finished, tmp_path):
    done = pool("export", finished, "-o", "new.xyz")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: output: no writer answers for '.xyz' files\n  known endings: .json")
    assert not (tmp_path / "new.xyz").exists()


def test_a_folder_without_a_run(pool, tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "nowhere"):
        done = pool("export", name)
        assert (done.code, done.out) == (1, "")
        assert done.err == f"error: {name}: there is no run in this directory\n  it would hold a run.sqlite\n"


def test_what_stood_there_before_stays_when_the_file_cannot_be_written(pool, finished, tmp_path):
    (tmp_path / "taken.json").mkdir()
    done = pool("export", finished, "-o", "taken.json")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        f"error: {tmp_path}/taken.json: the output cannot be written: Is a directory\n"
        f"  the answers are safe in the run; mend it and write the file with: pool export {finished}\n"
    )
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


@standard
def test_a_partial_run_has_every_row_and_no_list_shifts(pool, make_recipe, make_rows, read_output):
    make_rows({"id": "r1", "instruction": "a"}, {"id": "r2"}, {"id": "r3", "instruction": "c"})
    assert pool("run", make_recipe()).code == 3
    assert pool("export", "runs/recipe", "--layout", "columns", "-o", "new.jsonl").code == 0
    rows = read_output("new.jsonl")
    assert [row["status"] for row in rows] == [["ok", "ok"], ["failed", "failed"], ["ok", "ok"]]
    assert rows[1]["generation"] == [None, None]
    assert rows[1]["cause"] == ["render", "render"]


@standard
def test_while_a_run_goes_on(pool, make_recipe, process, wait_until, tmp_path, read_output):
    make_recipe(ann={"use": "simulate", "latency": 10_000, "sigma": 0}, bob={"use": "simulate"})
    running = process("run", "recipe.yaml")
    store = tmp_path / "runs" / "recipe" / "run.sqlite"

    def has_cells():
        if not (tmp_path / "runs" / "recipe" / "plan.json").is_file():
            return False
        with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT count(*) FROM cells").fetchone()[0] == 3

    wait_until(has_cells)
    done = pool("export", "runs/recipe", "-o", "now.jsonl")
    assert running.poll() is None
    assert done.code == 0
    assert [[part["status"] for part in row["generations"]] for row in read_output("now.jsonl")] == [
        ["pending", "ok"]
    ] * 3
    refused = pool("run", "recipe.yaml")
    assert refused.code == 1
    assert "another process works on this run" in refused.err


@standard
def test_csv_has_nested_values_as_json(pool, make_recipe, make_rows, tmp_path):
    make_rows({"id": "r1", "instruction": 'say "a",\nb', "tags": ["x", "y"]})
    pool("run", make_recipe())
    pool("export", "runs/recipe", "-o", "new.csv")
    with (tmp_path / "new.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["id"], row["instruction"], json.loads(row["tags"])) == ("r1", 'say "a",\nb', ["x", "y"])
    assert [part["member"] for part in json.loads(row["generations"])] == ["ann", "bob"]


@standard
@pytest.mark.parametrize("layout", ["nested", "columns", "long"])
def test_parquet_in_each_layout(pool, make_recipe, tmp_path, layout):
    parquet = pytest.importorskip("pyarrow.parquet")
    pool("run", make_recipe(ann={"use": "simulate"}, bob={"use": "simulate", "refuse": 1}))
    done = pool("export", "runs/recipe", "-o", "new.parquet", "--layout", layout)
    assert (done.code, done.err) == (0, "")
    rows = parquet.read_table(tmp_path / "new.parquet").to_pylist()
    if layout == "nested":
        found = [[part["cause"] for part in row["generations"]] for row in rows]
    elif layout == "columns":
        found = [row["cause"] for row in rows]
    else:
        found = [[rows[at]["cause"], rows[at + 1]["cause"]] for at in range(0, len(rows), 2)]
    assert found == [[None, "refusal"]] * 3
