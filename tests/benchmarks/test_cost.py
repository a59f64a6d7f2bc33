"""The guard of a cell's cost: it counts calls, and tells of a growth by more than a quarter and of no smaller one."""

from __future__ import annotations

import json

import cost
import pytest

from pool_core.plan import cells


def test_calls_of_python_and_of_c_are_counted():
    def work():
        for _ in range(10):
            len(str.upper("a"))

    assert cost.count_calls(work) == cost.count_calls(lambda: None) + 20


@pytest.mark.parametrize(("count", "told"), [(125.0, []), (90.0, []), (126.0, ["run: 126 calls a cell, 100 are kept"])])
def test_a_growth_by_more_than_a_quarter_is_told(count, told):
    assert [line.partition(" in ")[0] for line in cost.find_growth({"run": count}, {"run": 100.0})] == told


def test_what_was_never_measured_is_told():
    assert cost.find_growth({"new": 1.0}, {}) == ["new: 1 calls a cell, 0 are kept in cost.json"]


def test_what_is_added_to_each_cell_is_found(monkeypatch):
    monkeypatch.setattr(cost, "FEW", 4)
    monkeypatch.setattr(cost, "MANY", 24)
    before = cost.measure()
    parse = cells.parse_answer

    def parse_slowly(*arguments):
        for _ in range(500):
            len("")
        return parse(*arguments)

    monkeypatch.setattr(cells, "parse_answer", parse_slowly)
    found = cost.measure()
    assert [line.partition(":")[0] for line in cost.find_growth(found, before)] == ["run", "again"]


def test_figures_are_kept_for_each_python_that_is_supported():
    known = json.loads(cost.BASELINE.read_text())
    assert sorted(known) == ["3.11", "3.12", "3.13"]
    assert all(sorted(figures) == ["again", "export", "run"] for figures in known.values())
