"""``pool run`` with tasks that do what no task may: it goes on, and where it cannot it ends and says why."""

from __future__ import annotations

import json

import pytest

from pool_core.testing.distributions import write_distribution

PLUGIN = """
from pool_core.api import Contribution, hookimpl

@hookimpl
def pool_tasks():
    yield Contribution("interrupting", "pool_stubborn_tasks:Interrupting")
    yield Contribution("searching", "pool_stubborn_tasks:Searching")
    yield Contribution("hopeless", "pool_stubborn_tasks:Hopeless")
"""
TASKS = """
import hashlib
import re
from pool_core.testing.scripted import EchoTask
from pool_core.watchdog import watchdog

def pass_time():
    # what runs now has taken too long, and nothing else has: the machine may be slow
    now = watchdog.monotonic
    watchdog.monotonic = lambda: now() + 1000

class Interrupting(EchoTask):
    def parse(self, answer, row):
        raise KeyboardInterrupt

class Searching(EchoTask):
    def parse(self, answer, row):
        pass_time()
        re.match(r"(a+)+$", "a" * 60 + "b")

class Hopeless(EchoTask):
    def parse(self, answer, row):
        if row["id"] == "r3":
            pass_time()
            watchdog.STUCK_SECONDS = 0.3
            hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # C code that asks Python for nothing
        return super().parse(answer, row)
"""


@pytest.fixture
def write_recipe(recipe, tmp_path, monkeypatch):
    """The recipe of two members, the second with another task."""
    write_distribution(
        tmp_path / "site",
        name="pool-stubborn",
        entry_points={"pool_core.plugins.v1": {"stubborn": "pool_stubborn"}},
        modules={"pool_stubborn": PLUGIN, "pool_stubborn_tasks": TASKS},
    )
    monkeypatch.setenv("POOL_PLUGINS", "fake,stubborn")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))

    def write(task):
        text = recipe.read_text(encoding="utf-8").replace(
            "      task: echo\n", f"      task: {task}\n      limits: {{task_timeout: 500, concurrency: 1}}\n"
        )
        recipe.write_text(text, encoding="utf-8")
        return recipe

    return write


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ("interrupting", "raised KeyboardInterrupt, reading the answer"),
        ("searching", "did not end within 500 s, reading the answer"),
    ],
)
def test_a_run_goes_on_whatever_a_parser_does(process, write_recipe, tmp_path, task, says):
    one = process("run", write_recipe(task), "--quiet")
    assert (one.communicate()[1], one.returncode) == ("", 3)
    for row in json.loads((tmp_path / "out.json").read_text(encoding="utf-8")):
        ann, bob = row["generations"]
        assert ann["status"] == "ok"
        assert (bob["cause"], bob["message"]) == ("parse", f"the task stubborn/{task} {says}")


def test_a_run_that_cannot_go_on_ends_says_why_and_keeps_what_was_answered(pool, process, write_recipe):
    path = write_recipe("hopeless")
    one = process("run", path, "--quiet")
    _, told = one.communicate(timeout=300)
    assert one.returncode == 2
    assert told == (
        "error: the task stubborn/hopeless did not end within 500 s and cannot be stopped\n"
        "  what was answered before is kept; let the task say `heavy = True`, so that it runs in a process that can "
        "be ended, or report it to the plugin's authors\n"
    )
    path.write_text(path.read_text(encoding="utf-8").replace("hopeless", "echo"), encoding="utf-8")
    done = pool("run", path, "--json").json
    assert done["status"] == "complete"
    assert sum(member["reused"] for member in done["members"]) == 5
    assert sum(member["requests"] for member in done["members"]) == 1
