"""``pool plugins`` in a process of its own, among plugins that are broken in every way there is.

All of them are installed side by side: whatever one does, the others and the commands still work.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import pool_core
from pool_core.testing.distributions import write_distribution

HEAD = "from pool_core.api import Contribution, hookimpl\n@hookimpl\n"
POLICY = HEAD + "def pool_policies():\n    yield Contribution('verdict', '{}:Verdict')\n"
GOOD = """
from pool_core.api import Contribution, hookimpl

@hookimpl
def pool_tasks():
    yield Contribution("echo", "pool_good.parts:Echo", "Says it again.")

@hookimpl
def pool_backends():
    yield Contribution("fixed", "pool_good.parts:Fixed")

@hookimpl
def pool_policies():
    yield Contribution("good-verdict", "pool_good.parts:Verdict")

@hookimpl
def pool_run_started(run):
    pass
"""
PARTS = """
from pydantic import BaseModel
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.policy import Policy
from pool_core.interfaces.task import Task
from pool_core.interfaces.values import Answer, Prompt

class Output(BaseModel):
    text: str

class Echo(Task):
    Config, Output, inputs = PluginConfig, Output, ()
    def render(self, row):
        return Prompt.chat("hello")
    def parse(self, answer, row):
        return Output(text=answer.text)

class Fixed(Backend):
    Config, model, endpoint = PluginConfig, "fixed", "fixed"
    async def generate(self, request):
        return Answer("hello")

class Verdict(Policy):
    Config = PluginConfig
    def judge(self, members):
        return []
"""
RECIPE = "pool: {members: [{name: a, backend: fixed, task: echo}], policies: [%s]}\n"

#: Plugin to its entry module's source and what it is reported as.
BROKEN = {
    "raises": ("raise RuntimeError('boom')", "RuntimeError: boom"),
    "exits": ("raise SystemExit(3)", "its import tried to end the process (SystemExit: 3)"),
    "lacks": ("import no_such_module", "the module 'no_such_module' that it imports is not installed"),
    "misspelt": (HEAD + "def pool_taks():\n    return []", "there is no hook 'pool_taks'; did you mean 'pool_tasks'?"),
    "waits": (
        HEAD + "async def pool_tasks():\n    return []",
        "the hook 'pool_tasks' must be an ordinary function, not async",
    ),
    "foreign": (HEAD + "def pool_tasks():\n    yield 'x'", "pool_tasks must yield Contribution objects, not str"),
    "twice": (HEAD + "def pool_tasks():\n    yield from [Contribution('t', 'm:T')] * 2", "pool_tasks offers 't' twice"),
    "bad-name": (
        HEAD + "def pool_tasks():\n    yield Contribution('A b', 'm:T')",
        "pool_tasks: 'A b' is no name; use small letters, digits and hyphens",
    ),
    "bad-factory": (
        HEAD + "def pool_tasks():\n    yield Contribution('t', 'm.T')",
        "pool_tasks: the factory 'm.T' is not of the form 'package.module:Class'",
    ),
}


def describe_clash(distribution):
    return (
        "the plugin name 'taken' is claimed by pool-taken-a 1.0 and pool-taken-b 1.0. "
        f"Uninstall one, or block it by its distribution: --block {distribution}"
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two folders of the path, the first one first, with all the fakes in them."""
    early, late = tmp_path_factory.mktemp("early"), tmp_path_factory.mktemp("late")

    def write(name, source, *, folder=early, plugin=None, version="1.0", api=1, requires=(), **options):
        module = f"pool_{name.replace('-', '_')}"
        return write_distribution(
            folder,
            name=f"pool-{name}",
            version=version,
            entry_points={f"pool_core.plugins.v{api}": {plugin or name: module}},
            modules={module: source} | options.pop("modules", {}),
            requires=requires,
            **options,
        )

    write("good", GOOD, modules={"pool_good.parts": PARTS}, requires=["pool-core>=0.1"], editable=True)
    for name, (source, _) in BROKEN.items():
        write(name, source)
    never = "raise AssertionError('it must not be imported')"
    write("old", never, api=0)
    write("new", never, api=2)
    write("future", never, requires=["pool-core>=9"])
    write("taken-a", POLICY.format("m"), plugin="taken")
    write("taken-b", POLICY.format("m"), plugin="taken")
    write("first", POLICY.format("pool_first"))
    write("second", POLICY.format("pool_second"))
    (write("stale", never, version="0.9") / "METADATA").unlink()
    write("double", HEAD + "def pool_tasks():\n    yield Contribution('early', 'm:T')")
    write("double", never, folder=late, version="2.0")
    return [str(early), str(late)]


@pytest.fixture(scope="module")
def run_pool(folders, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")

    def run(*arguments, plugins=None, recipe=""):
        (home / "recipe.yaml").write_text(recipe)
        environment = {name: value for name, value in os.environ.items() if name != "POOL_PLUGINS"}
        environment["PYTHONPATH"] = os.pathsep.join(folders)
        if plugins is not None:
            environment["POOL_PLUGINS"] = plugins
        return subprocess.run(
            [sys.executable, "-m", "pool_core", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            cwd=home,
            env=environment,
        )

    return run


def read_plugins(done):
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["version"] == 1
    return {plugin["distribution"]: plugin for plugin in found["plugins"]}


@pytest.fixture(scope="module")
def listed(run_pool):
    return read_plugins(run_pool("plugins", "list", "--json"))


def read_state(plugin):
    return (plugin["state"], plugin["reason"], plugin["offers"], plugin["hooks"])


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_reported_with_its_reason(listed, name):
    assert read_state(listed[f"pool-{name}"]) == ("failed", BROKEN[name][1], [], [])


@pytest.mark.parametrize(
    ("distribution", "state", "reason"),
    [
        (
            "pool-old",
            "incompatible",
            "made for plugin API 0, an older one; this core speaks 1. Try: pip install -U pool-old",
        ),
        (
            "pool-new",
            "incompatible",
            "made for plugin API 2, a newer one; this core speaks 1. Try: pip install -U pool-core",
        ),
        (
            "pool-future",
            "incompatible",
            f"needs pool-core >=9, not {pool_core.__version__}. Try: pip install -U pool-future",
        ),
        ("pool-taken-a", "clashing", describe_clash("pool-taken-a")),
        ("pool-taken-b", "clashing", describe_clash("pool-taken-b")),
    ],
)
def test_a_plugin_that_may_not_load_is_reported_with_its_reason(listed, distribution, state, reason):
    assert read_state(listed[distribution]) == (state, reason, [], [])


def test_a_stale_folder_is_reported(listed, folders):
    stale = listed["pool-stale"]
    assert (stale["name"], stale["version"], stale["state"]) == ("pool-stale", "0.9", "failed")
    assert stale["reason"] == (
        f"{folders[0]}{os.sep}pool_stale-0.9.dist-info has no METADATA with a name, as an interrupted installation "
        "leaves it. Delete the folder, or reinstall the plugin"
    )


def test_of_two_copies_the_first_on_the_path_is_loaded(listed):
    double = listed["pool-double"]
    assert (double["version"], double["state"]) == ("1.0", "active")
    assert [offer["name"] for offer in double["offers"]] == ["early"]


def test_the_others_are_active_and_say_what_they_offer(listed):
    assert listed["pool-good"] == {
        "name": "good",
        "state": "active",
        "reason": "",
        "distribution": "pool-good",
        "version": "1.0",
        "api": 1,
        "module": "pool_good",
        "editable": True,
        "offers": [
            {
                "kind": kind,
                "name": name,
                "qualified": f"good/{name}",
                "factory": f"pool_good.parts:{factory}",
                "summary": summary,
            }
            for kind, name, factory, summary in (
                ("task", "echo", "Echo", "Says it again."),
                ("backend", "fixed", "Fixed", ""),
                ("policy", "good-verdict", "Verdict", ""),
            )
        ],
        "hooks": ["pool_run_started"],
    }
    assert {listed[name]["state"] for name in ("pool-first", "pool-second", "pool-double")} == {"active"}


def test_blocking_ends_a_clash_and_stops_what_is_blocked(run_pool):
    found = read_plugins(
        run_pool("plugins", "list", "--json", "--block", "pool-taken-a", "--block", "exits", "--block", "pool-stale")
    )
    blocked = ("blocked", "blocked by --block or the recipe", [], [])
    assert [read_state(found[name]) for name in ("pool-taken-a", "pool-exits", "pool-stale")] == [blocked] * 3
    assert found["pool-taken-b"]["state"] == "active"


def test_all_are_off(run_pool):
    found = read_plugins(run_pool("plugins", "list", "--json", "--plugins", "off", plugins="good"))
    reason = "not among the plugins that --plugins or POOL_PLUGINS names"
    assert {read_state(plugin)[:2] for plugin in found.values()} == {("blocked", reason)}


def test_only_those_that_are_named_are_on(run_pool):
    found = read_plugins(run_pool("plugins", "list", "--json", "--plugins", "good,pool-raises"))
    states = {name: plugin["state"] for name, plugin in found.items() if plugin["state"] != "blocked"}
    assert states == {"pool-good": "active", "pool-raises": "failed"}


def test_the_table_has_every_plugin_with_its_reason(run_pool):
    done = run_pool("plugins", "list", plugins="good,misspelt")
    assert (done.returncode, done.stderr) == (0, "")
    lines = {line.split()[1]: line for line in done.stdout.splitlines() if "pool-" in line}
    assert "echo, fixed, good-verdict, pool_run_started" in lines["good"]
    assert "pool-good 1.0 (editable)" in lines["good"]
    assert "failed" in lines["misspelt"]
    assert BROKEN["misspelt"][1] in lines["misspelt"]
    assert "blocked" in lines["raises"]


def test_one_plugin_is_shown(run_pool):
    done = run_pool("plugins", "show", "pool-good", "--plugins", "good")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.rstrip() for line in done.stdout.splitlines()] == [
        "good: active",
        "  from pool-good 1.0, module pool_good, plugin API 1",
        "  task          good/echo                       Says it again.",
        "  backend       good/fixed",
        "  policy        good/good-verdict",
        "  hook          pool_run_started",
    ]


def test_both_claimants_of_a_name_are_shown(run_pool):
    done = run_pool("plugins", "show", "taken")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "taken: clashing",
        f"  {describe_clash('pool-taken-a')}",
        "  from pool-taken-a 1.0, module pool_taken_a, plugin API 1",
        "taken: clashing",
        f"  {describe_clash('pool-taken-b')}",
        "  from pool-taken-b 1.0, module pool_taken_b, plugin API 1",
    ]


def test_a_plugin_that_is_not_there_is_an_error(run_pool):
    done = run_pool("plugins", "show", "nope", "--json", plugins="off")
    message, hint = "no plugin 'nope' is installed", "see `pool plugins list`"
    assert (done.returncode, done.stderr) == (2, f"error: {message}\n  {hint}\n")
    assert json.loads(done.stdout) == {"version": 1, "error": {"message": message, "where": "", "hint": hint}}


def test_switching_on_what_is_not_there_is_an_error(run_pool):
    done = run_pool("plugins", "list", plugins="good,nope")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ("error: --plugins or POOL_PLUGINS: no plugin nope is installed\n  see `pool plugins list`\n")


def test_a_command_that_needs_none_of_the_broken_ones_works(run_pool):
    done = run_pool("check", "recipe.yaml", recipe=RECIPE % "good-verdict")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_name_that_two_offer_is_an_error_that_names_both(run_pool):
    done = run_pool("check", "recipe.yaml", recipe=RECIPE % "verdict")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: recipe.yaml:1: pool.policies[0].use: the policy 'verdict' is offered by 2 plugins: "
        "first/verdict (pool-first 1.0), second/verdict (pool-second 1.0)\n"
        "  write the qualified name, or block one: --block pool-second\n"
    )
