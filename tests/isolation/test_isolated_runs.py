"""Whole runs with members in processes of their own: what a process costs that dies, and what is left of a run."""

from __future__ import annotations

import asyncio
import os

import pytest

from pool_core.api import Contribution, hookimpl
from pool_core.data.records import read_generations, read_run_info
from pool_core.job import run_plan
from pool_core.plan.build import make_plan
from pool_core.plan.rows import MemoryRows
from pool_core.recipe.models import Member, PoolSpec, Recipe
from pool_core.store.store import Store
from pool_core.testing.scripted import make_registry

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")


class Entry:
    """The entry module of the plugin `bad`."""

    @hookimpl
    def pool_tasks(self):
        yield Contribution("echo", "pool_core.testing.scripted:EchoTask")

    @hookimpl
    def pool_backends(self):
        yield Contribution("misbehaving", "pool_misbehaving:Misbehaving")
        yield Contribution("plain", "pool_misbehaving:Plain")
        yield Contribution("outer", "pool_misbehaving:Outer")


@pytest.fixture
def registry(misbehaving):
    registry = make_registry()
    registry.register(Entry(), "bad")
    return registry


@pytest.fixture
def plan_members(registry):
    def plan(*backends, rows=(), **keys):
        members = [
            Member(name=name, backend=backend, task="bad/echo", **keys)
            for name, backend in zip("abcd", backends, strict=False)
        ]
        source = MemoryRows([{"id": str(number), "text": text} for number, text in enumerate(rows)], "id")
        return make_plan(Recipe(pool=PoolSpec(members=members, policies=())), registry, rows=source)

    return plan


@pytest.fixture
def run_members(plan_members, registry, tmp_path):
    """Run members; returns the summary and the generations by (row, member)."""

    def run(*backends, rows, run_dir="run", **keys):
        plan = plan_members(*backends, rows=rows, **keys)
        summary = asyncio.run(run_plan(plan, registry, tmp_path / run_dir))
        with Store.read(tmp_path / run_dir) as store:
            cells = {
                (row.row_id, one["member"]): one
                for row, generations in read_generations(store, read_run_info(store))
                for one in generations
            }
        return summary, cells

    return run


def test_members_run_side_by_side_and_leave_no_process(run_members, tmp_path, wait_until_gone):
    pids = [tmp_path / name for name in "ab"]
    backends = [{"use": "bad/misbehaving", "isolate": True, "openings": path, "device": "0"} for path in pids]
    summary, cells = run_members(*backends, {"use": "bad/misbehaving"}, rows=["one", "two"])
    assert (summary.status, summary.notes) == ("complete", ())
    assert [cell["said"] for cell in cells.values()] == ["one!"] * 3 + ["two!"] * 3
    found = {int(path.read_text()) for path in pids}
    assert len(found) == 2
    assert os.getpid() not in found
    for pid in found:
        asyncio.run(wait_until_gone(pid))


def test_a_kill_in_the_middle_costs_no_cell(run_members, tmp_path):
    pids = tmp_path / "pids"
    rows = [f"wait 0.0{number % 9 + 1}" for number in range(100)]
    rows[50] = f"once {tmp_path / 'killed'}"  # SIGKILL, with the calls of other rows under way
    backend = {"use": "bad/misbehaving", "isolate": True, "openings": str(pids)}
    summary, cells = run_members(backend, rows=rows)
    assert summary.status == "complete"
    assert [cells[str(number), "a"]["said"] for number in range(100)] == [f"{row}!" for row in rows]
    assert len(pids.read_text().splitlines()) == 2


def test_a_member_that_cannot_load_is_stopped_and_the_others_finish(run_members):
    broken = {"use": "bad/misbehaving", "isolate": True, "on_open": "exit 9"}
    summary, cells = run_members(broken, {"use": "bad/misbehaving", "isolate": True}, rows=["one"])
    assert summary.status == "partial"
    assert cells["0", "b"]["said"] == "one!"
    assert cells["0", "a"]["status"] == "pending"
    [stopped] = [member.stopped for member in summary.members if member.stopped]
    assert stopped == "the process of bad/misbehaving ended with exit code 9; it last wrote: a last word"


def test_a_row_that_kills_the_process_costs_its_cell_alone(run_members):
    backend = {"use": "bad/misbehaving", "isolate": {"restarts": 20}}
    rows = ["one", "die", "two", "three"]
    summary, cells = run_members(backend, rows=rows, limits={"attempts": 2, "concurrency": 1})
    assert summary.status == "partial"
    assert [cells[str(number), "a"]["status"] for number in range(4)] == ["ok", "failed", "ok", "ok"]
    assert cells["1", "a"]["cause"] == "transport"
    assert cells["1", "a"]["message"] == "the process of bad/misbehaving ended by SIGKILL"


def test_a_second_run_starts_processes_of_its_own(run_members, tmp_path):
    pids = tmp_path / "pids"
    backend = {"use": "bad/plain", "openings": str(pids)}
    for run_dir in ("first", "second"):
        summary, _ = run_members(backend, rows=["one"], run_dir=run_dir)
        assert summary.status == "complete"
    assert len(set(pids.read_text().split())) == 2


def test_what_is_inside_runs_in_the_process_of_the_outer(run_members, tmp_path):
    pids = tmp_path / "pids"
    outer = {"use": "bad/outer", "isolate": True, "backend": {"use": "bad/plain", "openings": str(pids)}}
    _, cells = run_members(outer, rows=["pid"])
    assert int(cells["0", "a"]["said"]) != os.getpid()
    assert not pids.exists(), "the backend inside was opened: wrapping ones open what is inside by themselves"
