"""The programs that measure speed, at the smallest size: that they run this system and find what it did."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import makespan
import pytest
import scale
import throughput
from environments import NotInstalledError, find_python
from speed.bench import NoFiguresError, make_parser, open_bench
from speed.play import run_server
from speed.results import Key, read
from speed.schedule import Load, ModelLoad
from speed.systems import POOL
from speed.workload import judge, write_job

PYTHON = Path(sys.executable)
NEEDED = pytest.mark.plugins("standard", "openai")


@NEEDED
def test_throughput_measures_a_job_of_this_system(tmp_path):
    with run_server() as server:
        figures = throughput.take(POOL, PYTHON, throughput.Case(20, 0.01), server, tmp_path / "run")
    assert figures["requests"] == 60
    assert 0 < figures["share_wall"] < figures["share_span"] <= 1.1
    assert 0 < figures["start_s"] < figures["wall_s"]
    assert min(figures["cpu_us"], figures["cells_s"], figures["memory_mb"]) > 0


@NEEDED
def test_makespan_measures_rows_that_have_to_come_back(tmp_path):
    case = makespan.Case("small", 10, 4, Load({"m0": ModelLoad(0.01, limited=0.5, retry_after=0.1)}))
    with run_server() as server:
        figures = makespan.take(POOL, PYTHON, case, server, tmp_path / "run")
    assert figures["limited m0"] == sum(case.load.draw("m0", row, 0)[1] for row in range(10)) > 0
    assert figures["share"] > 0


@pytest.mark.plugins("standard", "replay")
def test_scale_measures_a_run_and_the_same_again(tmp_path):
    figures = scale.take(str(PYTHON.parent / "pool"), tmp_path / "run", 50)
    # of so few rows all time is that of the start, so rates mean nothing
    assert min(figures[name] for name in ("wall_s", "memory_mb", "again_s", "status_s", "store_mb")) > 0


def test_a_job_is_done_where_every_cell_is_beside_its_row(tmp_path):
    write_job(tmp_path / "job", "http://127.0.0.1:1/v1", 3, 64)
    assert len((tmp_path / "job" / "rows.jsonl").read_text(encoding="utf-8").splitlines()) == 3
    assert "http://127.0.0.1:1/m2/v1" in (tmp_path / "job" / "recipe.yaml").read_text(encoding="utf-8")
    lines = [
        {"id": "id-0", "m0": "m0 answers row-0. x", "m1": "m1 answers row-0. x"},
        {"id": "id-1", "answers": ["m0 answers row-1. x", "m1 answers row-2. x", "m0 answers row-1. x"]},
    ]
    path = tmp_path / "output.jsonl"
    assert judge(path).cells == 0
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    found = judge(path)
    assert (found.rows, found.cells, found.wrong) == (2, 4, 1)


@pytest.fixture
def bench(tmp_path):
    options = ["--folder", str(tmp_path / "folder"), "--results", str(tmp_path / "results.jsonl")]
    return open_bench(make_parser("").parse_args(options))


def test_what_was_measured_is_not_measured_again_and_trouble_is_kept(bench):
    key = Key("p", "c", "pool", 0)
    taken = []
    for _ in range(2):
        bench.measure(key, "v 1", lambda: taken.append(1) or {"x": 1.0})
    assert taken == [1]
    assert bench.found == read(bench.results)

    def fail():
        raise NoFiguresError("5 of 6 cells")

    bench.measure(Key("p", "c", "pool", 1), "v 1", fail)
    again = open_bench(make_parser("").parse_args(["--folder", str(bench.folder), "--results", str(bench.results)]))
    assert [(one.figures, one.trouble) for one in again.found.values()] == [({"x": 1.0}, ""), ({}, "5 of 6 cells")]


def test_a_python_that_is_not_there_is_said():
    with pytest.raises(NotInstalledError, match=r"^needs Python 3\.1, which is not on the path$"):
        find_python("3.1")


def test_a_system_that_nobody_knows_is_refused(capsys):
    parser = make_parser("")
    throughput.add_options(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--systems", "pool,chat"])
    assert "chat is none of pool, floor_pyreqwest" in capsys.readouterr().err
