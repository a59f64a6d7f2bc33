"""Kill -9 of a run whose member asks a batch API, at every call that it makes: nothing is paid twice, nothing lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from pool_core.testing.batches import BatchApi
from pool_core.testing.server import ScriptedServer

pytestmark = pytest.mark.plugins("standard", "openai")

ROWS = 12
#: A wait for what never takes long on a machine that works.
LONG = 300


def name_call(request):
    if request.path.endswith("/content"):
        return "download"
    if request.path == "/v1/files":
        return "upload"
    if request.path == "/v1/batches":
        return "make" if request.method == "POST" else "list"
    return "look"


class Killer:
    """Kills a process when the server has got a certain call of it: before or after it did what the call asks for."""

    def __init__(self, call, when):
        self.call, self.when = call, when
        self.process = None
        self.known = threading.Event()
        self.killed = False

    def before(self, request):
        return self._strike(request) if self.when == "before" else None

    def after(self, request):
        return self._strike(request) if self.when == "after" else None

    def _strike(self, request):
        if not self.killed and name_call(request) == self.call:
            assert self.known.wait(LONG)
            self.killed = True  # before its end is seen
            os.kill(self.process.pid, signal.SIGKILL)


def write_recipe(folder, server):
    rows = [{"id": str(n), "instruction": f"text {n}"} for n in range(ROWS)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    backend = {"use": "openai-batch", "model": "m", "base_url": server.url, "idle": 0.2, "poll": 0.05}
    recipe = {
        "rows": {"path": "rows.jsonl", "id": "id"},
        "output": {"path": "output.jsonl", "layout": "long"},
        "pool": {"members": [{"name": "a", "backend": backend, "task": "text-generation"}]},
    }
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(recipe))
    return path


def start(path):
    command = [sys.executable, "-m", "pool_core", "run", str(path), "--run-dir", str(path.parent / "run")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", ["upload", "make", "look", "download"])
def test_a_kill_costs_no_answer_and_pays_none_twice(call, when, tmp_path):
    killer = Killer(call, when)
    api = BatchApi(before=killer.before, after=killer.after)
    with ScriptedServer(api) as server:
        path = write_recipe(tmp_path, server)
        killer.process = start(path)
        killer.known.set()
        said, _ = killer.process.communicate(timeout=LONG)
        assert (killer.process.returncode, killer.killed) == (-signal.SIGKILL, True), said
        again = start(path)
        said, _ = again.communicate(timeout=LONG)
        assert again.returncode == 0, said
        # once more: everything is there, and nobody is asked
        asked = len(server.requests)
        last = start(path)
        last.communicate(timeout=LONG)
        assert (last.returncode, len(server.requests)) == (0, asked)
    assert len(api.paid) == ROWS
    assert max(api.paid.values()) == 1
    found = [json.loads(line) for line in (tmp_path / "output.jsonl").read_text().splitlines()]
    assert [cell["generation"] for cell in found] == [f"echo: text {n}" for n in range(ROWS)]
    assert list((tmp_path / "run" / "backends").rglob("*.json")) == []


def test_the_price_is_half_and_limits_suit_where_the_recipe_says_nothing(tmp_path):
    pytest.importorskip("genai_prices")
    from pool_core.plan.build import make_plan
    from pool_core.recipe.models import Member, PoolSpec, Recipe
    from pool_core.registry import Registry

    def plan(use, **limits):
        backend = {"use": use, "model": "gpt-4.1-mini"}
        member = Member(name="a", backend=backend, task="text-generation", limits=limits)
        return make_plan(Recipe(pool=PoolSpec(members=(member,), policies=())), Registry.discover()).members[0]

    half, whole = plan("openai-batch"), plan("openai")
    assert half.price.base.input == whole.price.base.input / 2 > 0
    assert half.price.base.output == whole.price.base.output / 2 > 0
    assert half.price.source == f"{whole.price.source}, times 0.5"
    assert (half.limits.timeout, half.limits.concurrency) == (93_600.0, 10_000)
    assert (whole.limits.timeout, whole.limits.concurrency) == (120.0, "auto")
    assert plan("openai-batch", timeout=60, concurrency=5).limits.timeout == 60.0
    assert plan("openai-batch", timeout=60, concurrency=5).limits.deadline == 604_800.0
