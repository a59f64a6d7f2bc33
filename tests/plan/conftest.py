"""What the tests of plans share: a registry with one plugin in it, and plans made of members."""

from __future__ import annotations

import pytest

from pool_core.plan import judge
from pool_core.plan.build import make_plan
from pool_core.plan.rows import MemoryRows
from pool_core.recipe.models import PoolSpec, Recipe
from pool_core.testing.scripted import make_registry
from pool_core.testing.scripted_plugin import ScriptedPlugin


@pytest.fixture(autouse=True)
def _no_check_is_slow(monkeypatch):
    """Findings must not depend on how busy the machine is: the clock that policies are held against stands still."""
    monkeypatch.setattr(judge, "perf_counter", lambda: 0.0)


@pytest.fixture
def registry():
    """A registry in which one plugin offers ``echo``, ``code``, ``relay``, ``lines``, ``refuse`` and ``json``."""
    made = make_registry()
    made.register(ScriptedPlugin(), name="scripted")
    return made


@pytest.fixture
def plan(registry):
    """Makes a plan of members; ``rows`` are given from Python, None stands for rows that are not known."""

    def make(*members, rows=({"text": "hello", "prompt": "a sum"},), id_column=None, output=None, **pool):
        recipe = Recipe(pool=PoolSpec(members=members, **{"policies": (), **pool}), output=output)
        source = None if rows is None else MemoryRows(list(rows), id_column)
        return make_plan(recipe, registry, rows=source)

    return make
