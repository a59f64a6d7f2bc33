"""No wait and no draw of the engine that the simulation does not hold in its hands (I19)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import pool_core.engine

FOLDER = Path(pool_core.engine.__file__).parent
#: Modules that tell the time, wait in real time, or draw from the system's randomness.
REAL = {"time", "random", "datetime", "secrets", "uuid", "sched", "select"}
#: What may be used of them, and why.
ALLOWED = {
    ("run.py", "time.time"): "the default of `Engine.wall_time`: the date of an answer; nothing waits for it",
    ("lag.py", "time.monotonic"): "the loop's real lag is what is measured",
    ("worker.py", "time.monotonic"): "limits of another process, which works in real time",
    **{
        (name, "random.Random"): "the type of the generator that is passed in"
        for name in ("breaker.py", "caller.py", "retry.py", "step.py", "run.py")
    },
}
MAKERS = {"Random", "SystemRandom"}
#: Where a generator of random numbers is made.
MADE = {("run.py", "default_factory=Random"): "the default of `Engine.random`: the simulation passes its own"}


def find_uses(tree):
    """What a module takes from those of `REAL`."""
    named = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in REAL:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        if isinstance(node, ast.Import):
            named |= {alias.asname or alias.name: alias.name for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            use = f"{named.get(node.value.id)}.{node.attr}"
            if use.split(".", maxsplit=1)[0] in REAL or use in ("os.urandom", "os.getrandom"):
                yield use


def find_generators(tree):
    """Where a module makes a generator of random numbers."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("Random", "SystemRandom")
        ):
            yield f"{node.func.id}()"
        if isinstance(node, ast.keyword) and isinstance(node.value, ast.Name) and node.value.id == "Random":
            yield f"{node.arg}=Random"


def read_modules():
    for path in sorted(FOLDER.rglob("*.py")):
        yield path.relative_to(FOLDER).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def test_the_engine_reads_no_clock_but_the_loops_and_draws_from_nothing_but_its_generator():
    used = {(name, use) for name, tree in read_modules() for use in find_uses(tree)}
    assert used == set(ALLOWED)


def test_a_generator_is_made_where_it_can_be_replaced():
    made = {(name, use) for name, tree in read_modules() for use in find_generators(tree)}
    assert made == set(MADE)


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.sleep(1)",
        "from time import monotonic",
        "import time as clock\nclock.monotonic()",
        "from random import random",
        "import random\nrandom.uniform(0, 1)",
        "import datetime\ndatetime.datetime.now()",
        "import os\nos.urandom(4)",
    ],
)
def test_what_is_looked_for_is_found(source):
    assert list(find_uses(ast.parse(source)))


def test_a_new_generator_is_found():
    assert list(find_generators(ast.parse("x = Random()\ny = field(default_factory=Random)"))) == [
        "Random()",
        "default_factory=Random",
    ]
