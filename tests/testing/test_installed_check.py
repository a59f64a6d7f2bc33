"""The kit against an installed plugin: ``python -m pool_core.testing PLUGIN``."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from pool_core.errors import PluginError
from pool_core.registry import Registry
from pool_core.testing import __main__ as command
from pool_core.testing.conformance.installed import collect_suite
from pool_core.testing.distributions import write_distribution

ENTRY = """
from pool_core.api import Contribution, hookimpl

@hookimpl
def pool_tasks():
    yield Contribution("one", "kitted.tasks:One", "Says one thing.")
    yield Contribution("two", "kitted.tasks:Two", "Says another.")

@hookimpl
def pool_conformance():
    yield "kitted.conformance"
"""
TASKS = """
from pydantic import BaseModel
from pool_core.errors import ParseError
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.task import Task
from pool_core.interfaces.values import Prompt

class Output(BaseModel):
    said: str

class One(Task[PluginConfig]):
    Config, Output, inputs = PluginConfig, Output, ("text",)

    def render(self, row):
        return Prompt.chat(str(row["text"]))

    def parse(self, answer, row):
        if answer.text is None:
            raise ParseError("the answer has no text")
        return self.Output(said=answer.text)

class Two(One):
    pass
"""
CONFORMANCE = """
from pool_core.testing import Supports, TaskConformance, TaskExample

class Kitted(TaskConformance):
    use = "kitted/one"
    supports = Supports(unreadable=False, truncated=False, schema=False)
    examples = [TaskExample({"text": "a"}, "b", {"said": "b"})]
"""


def install(folder, conformance=CONFORMANCE, entry=ENTRY):
    modules = {"kitted": entry, "kitted.tasks": TASKS, "kitted.conformance": conformance}
    points = {"pool_core.plugins.v1": {"kitted": "kitted"}}
    requires = ["pool-core>=0.1,<0.2"]
    write_distribution(folder, name="pool-kitted", entry_points=points, modules=modules, requires=requires)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder on the path, for this process and for others."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "kitted"]:
        del sys.modules[name]


def check(folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    command = [sys.executable, "-m", "pool_core.testing", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_suite_has_its_classes_and_a_bare_one_for_the_rest(folder):
    install(folder)
    suite = collect_suite("pool-kitted", Registry.discover(path=[str(folder)]))
    assert {name: cls.use for name, cls in suite.items()} == {"TestKitted": "kitted/one", "TestTwoTask": "kitted/two"}


def test_all_plugins_of_a_distribution_are_in_it_and_classes_of_one_name_too(folder):
    modules = {
        f"kitted.conformance{n}": CONFORMANCE.replace("/one", f"/{name}") for n, name in enumerate(("one", "two"))
    }
    entry = ENTRY.replace('"kitted.conformance"', '"kitted.conformance0"\n    yield "kitted.conformance1"')
    more = ENTRY.partition("@hookimpl\ndef pool_conformance")[0]
    write_distribution(
        folder,
        name="pool-kitted",
        entry_points={"pool_core.plugins.v1": {"kitted": "kitted", "more": "kitted.more"}},
        modules={"kitted": entry, "kitted.more": more, "kitted.tasks": TASKS, **modules},
    )
    suite = collect_suite("pool-kitted", Registry.discover(path=[str(folder)]))
    assert {name: cls.use for name, cls in suite.items()} == {
        "TestKitted": "kitted/one",
        "TestKitted2": "kitted/two",
        "TestOneTask": "more/one",
        "TestTwoTask": "more/two",
    }
    assert set(collect_suite("more", Registry.discover(path=[str(folder)]))) == {"TestOneTask", "TestTwoTask"}


@pytest.mark.parametrize(
    ("needs", "hint"),
    [
        ("needs=('no_such_module',), install='pool-kitted[more]'", 'pip install "pool-kitted[more]"'),
        ("", "install no_such_module"),
    ],
)
def test_what_a_module_lacks_is_told_with_what_installs_it(folder, needs, hint):
    install(folder, "import no_such_module", ENTRY.replace('"Says another."', f'"Says another.", {needs}'))
    with pytest.raises(PluginError) as caught:
        collect_suite("kitted", Registry.discover(path=[str(folder)]))
    assert str(caught.value) == (
        "the module 'kitted.conformance' that the plugin 'kitted' names fails: "
        f"ModuleNotFoundError: No module named 'no_such_module'\n  {hint}"
    )


def test_what_nobody_looks_at_fails_and_the_rest_passes(folder, tmp_path):
    install(folder)
    done = check(folder, "kitted", "--results", str(tmp_path / "results.jsonl"))
    assert done.returncode == 1, done.stdout + done.stderr
    results = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    failed = {(one["use"], one["check"]): one["message"] for one in results if one["outcome"] == "failed"}
    assert {use for use, _ in failed} == {"kitted/two"}
    assert failed["kitted/two", "test_parse_takes_any_text"] == (
        "kitted/two: check parse_takes_any_text\n"
        "  seen: nobody has looked: there is no example that can be read\n"
        "  to do: give `examples`"
    )
    passed = {(one["use"], one["class"], one["check"]) for one in results if one["outcome"] == "passed"}
    assert ("kitted/one", "TestKitted", "test_parse_takes_any_text") in passed
    assert ("kitted/two", "TestTwoTask", "test_entry_module_is_light") in passed


def test_arguments_are_those_of_pytest(folder):
    install(folder)
    done = check(folder, "kitted", "-k", "summary")
    assert (done.returncode, "2 passed" in done.stdout) == (0, True), done.stdout + done.stderr


def test_a_plugin_that_is_not_there_is_told(folder):
    done = check(folder, "nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: no plugin 'nowhere' is installed\n  see `pool plugins list`\n"


def test_a_plugin_that_is_broken_is_told(folder):
    install(folder, entry="1 / 0")
    with pytest.raises(PluginError, match="the plugin 'kitted' is failed: ZeroDivisionError"):
        collect_suite("kitted", Registry.discover(path=[str(folder)]))


def test_a_module_that_is_broken_is_told(folder):
    install(folder, conformance="1 / 0")
    with pytest.raises(PluginError) as caught:
        collect_suite("kitted", Registry.discover(path=[str(folder)]))
    assert str(caught.value) == (
        "the module 'kitted.conformance' that the plugin 'kitted' names fails: ZeroDivisionError: division by zero"
    )


def test_without_a_plugin_the_usage_is_told(capsys):
    assert command.run([]) == 2
    assert capsys.readouterr().err.startswith("usage: python -m pool_core.testing PLUGIN")


def test_what_the_kit_needs_is_told(capsys, monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert command.run(["kitted"]) == 2
    assert capsys.readouterr().err == (
        "error: the kit needs pytest, hypothesis, jsonschema, which is not installed\n"
        '  pip install "pool-core[testing]"\n'
    )
