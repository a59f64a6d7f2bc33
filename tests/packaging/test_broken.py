"""A plugin of every bad state, installed by pip beside the standard ones: what each command says, and its exit code."""

from __future__ import annotations

import json

import pytest

import pool_core

pytest.importorskip("hatchling")
pytestmark = pytest.mark.plugins("standard", "replay")

HEAD = "from pool_core.api import Contribution, hookimpl\n@hookimpl\n"
RECIPE = """
pool:
  members:
    - {{name: one, backend: simulate, task: {task}}}
"""
NEVER = "raise AssertionError('it must not be imported')"

#: Distribution to its state and the reason that is told.
STATES = {
    "pool-raises": ("failed", "RuntimeError: boom"),
    "pool-exits": ("failed", "its import tried to end the process (SystemExit: 3)"),
    "pool-lacks": ("failed", "the module 'no_such_module' that it imports is not installed"),
    "pool-misspelt": ("failed", "there is no hook 'pool_taks'; did you mean 'pool_tasks'?"),
    "pool-foreign": ("failed", "pool_tasks must yield Contribution objects, not str"),
    "pool-old": (
        "incompatible",
        "made for plugin API 0, an older one; this core speaks 1. Try: pip install -U pool-old",
    ),
    "pool-new": (
        "incompatible",
        "made for plugin API 2, a newer one; this core speaks 1. Try: pip install -U pool-core",
    ),
    "pool-future": (
        "incompatible",
        f"needs pool-core >=9, not {pool_core.__version__}. Try: pip install -U pool-future",
    ),
    "pool-taken-a": (
        "clashing",
        (
            "the plugin name 'taken' is claimed by pool-taken-a 1.0 and pool-taken-b 1.0. "
            "Uninstall one, or block it by its distribution: --block pool-taken-a"
        ),
    ),
    "pool-taken-b": (
        "clashing",
        (
            "the plugin name 'taken' is claimed by pool-taken-a 1.0 and pool-taken-b 1.0. "
            "Uninstall one, or block it by its distribution: --block pool-taken-b"
        ),
    ),
}


@pytest.fixture(scope="module", autouse=True)
def installed(install):
    install("pool-raises", "raise RuntimeError('boom')")
    install("pool-exits", "raise SystemExit(3)")
    install("pool-lacks", "import no_such_module")
    install("pool-misspelt", HEAD + "def pool_taks():\n    return []")
    install("pool-foreign", HEAD + "def pool_tasks():\n    yield 'x'")
    install("pool-old", NEVER, api=0)
    install("pool-new", NEVER, api=2)
    install("pool-future", NEVER, core="pool-core>=9")
    install("pool-taken-a", NEVER, plugin="taken")
    install("pool-taken-b", NEVER, plugin="taken")


def test_every_state_is_listed_and_the_good_ones_are_active(run_pool):
    done = run_pool("plugins", "list", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = {plugin["distribution"]: plugin for plugin in json.loads(done.stdout)["plugins"]}
    assert {name: (found[name]["state"], found[name]["reason"]) for name in STATES} == STATES
    assert {found[name]["state"] for name in ("pool-standard", "pool-replay")} == {"active"}


def test_the_doctor_names_each_and_says_so_by_its_exit_code(run_pool):
    done = run_pool("plugins", "doctor", "--json")
    assert (done.returncode, done.stderr) == (3, "")
    found = json.loads(done.stdout)
    assert found["well"] is False
    errors = {finding["message"] for finding in found["findings"] if finding["level"] == "error"}
    assert errors == {f"{name} 1.0: {reason}" for name, (_, reason) in STATES.items()}


def test_a_recipe_that_needs_none_of_them_is_checked(run_pool):
    done = run_pool("check", "good.yaml", good=RECIPE.format(task="text-generation"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "compatible: 1 member can share this pool" in done.stdout


def test_a_recipe_that_needs_one_says_what_is_not_loaded_and_why(run_pool):
    done = run_pool("check", "bad.yaml", bad=RECIPE.format(task="nothing"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no task named 'nothing'" in done.stderr
    for name, (state, reason) in STATES.items():
        assert f"not loaded: {name} 1.0 is {state}: {reason}" in done.stderr


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("pool-raises", "'pool-raises' is failed: RuntimeError: boom"),
        ("pool-nowhere>=2", "'pool-nowhere>=2' is not installed"),
        ("pool-standard>=99", "'pool-standard>=99' is asked for, installed is pool-standard"),
    ],
)
def test_a_recipe_that_requires_what_is_not_there_is_refused(run_pool, wanted, message):
    recipe = f'plugins: {{require: ["{wanted}"]}}\n' + RECIPE.format(task="text-generation")
    done = run_pool("check", "requires.yaml", requires=recipe)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_blocking_them_leaves_nothing_to_say(run_pool):
    blocks = [word for name in STATES for word in ("--block", name)]
    done = run_pool("plugins", "doctor", "--json", *blocks)
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["well"] is True
