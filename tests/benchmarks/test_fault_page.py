"""The table of the faults: what is kept of each system, and that the page is the one of these faults."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fault_cases import FAULTS
from fault_judge import Verdict
from fault_page import write_page
from fault_results import Measured, read_measured, write_measured
from fault_systems import SYSTEMS

ROOT = Path(__file__).parents[2]


def test_there_are_seventeen_faults_with_names_of_their_own():
    assert len(FAULTS) == len({fault.name for fault in FAULTS}) == 17
    cases = [case.name for fault in FAULTS for case in fault.cases]
    assert len(cases) == len(set(cases))  # each has a folder of its own


def test_the_page_has_every_fault_and_every_system():
    page = (ROOT / "docs" / "benchmarks" / "faults.md").read_text(encoding="utf-8")
    for fault in FAULTS:
        assert f"| {fault.title} | {fault.right} |" in page
    for system in SYSTEMS:
        assert f"| {system.title} |" in page


def test_one_system_is_measured_again_beside_the_others(tmp_path):
    outcomes = {
        fault.name: {case.name: Verdict("wrong", 9, ("more than 4 requests for one row",)) for case in fault.cases}
        for fault in FAULTS
    }
    outcomes["key"] = {"bearer": Verdict("right", 1), "api-key": "has no such header"}
    for system in SYSTEMS[1:]:
        write_measured(tmp_path, system, Measured("2026-01-31", "peer 1.0", outcomes))
    kept = {system: one for system in SYSTEMS if (one := read_measured(tmp_path, system)) is not None}
    assert list(kept) == list(SYSTEMS[1:])
    assert kept[SYSTEMS[1]].outcomes == outcomes
    page = write_page(FAULTS, {SYSTEMS[0]: Measured("2026-02-01", "not installed: no", {}), **kept}, 120.0)
    assert "Measured on 2026-01-31 and 2026-02-01 with" in page
    assert "| **wrong** (9): more than 4 requests for one row |" in page
    assert "| bearer: right (1)<br>api-key: has no such header |" in page
    assert f"| **right of 17** |  | {' | '.join(['**1**'] * 5)} |" in page
    assert "| pool-core | not installed: no | 2026-02-01 |" in page
    assert "pool-core was not measured." in page


def test_what_was_measured_by_other_rules_is_not_taken(tmp_path):
    write_measured(tmp_path, SYSTEMS[1], Measured("2026-01-31", "peer 1.0", {}))
    assert read_measured(tmp_path, SYSTEMS[1]) is not None
    assert read_measured(tmp_path, replace(SYSTEMS[1], requirements=("openai==9",))) is None
    assert read_measured(tmp_path, SYSTEMS[2]) is None
