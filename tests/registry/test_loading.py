"""Importing entry modules: what they offer, and every way in which one can be broken."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from pool_core.api import Contribution, hookimpl
from pool_core.registry.loading import HookManager, load_plugin
from pool_core.registry.records import Record
from pool_core.testing.distributions import write_distribution


def make_module(name="made", **hooks):
    """A module with hooks; a list stands for a contributing hook that returns it."""
    module = ModuleType(name)
    for hook, value in hooks.items():
        setattr(module, hook, hookimpl(value if callable(value) else lambda value=value: value))
    return module


def make_record(name="x", module="pool_x"):
    return Record(name, module, f"pool-{name}", "1.0", 1)


def load(module, manager=None):
    return load_plugin(manager or HookManager(), make_record(), module)


def load_source(tmp_path, monkeypatch, name, source, module=None):
    """Load the entry module ``name``, which has ``source``, as an installed one."""
    write_distribution(tmp_path, modules={name: source})
    monkeypatch.syspath_prepend(tmp_path)
    return load_plugin(HookManager(), make_record(module=module or name))


def test_contributions_of_all_kinds_are_collected_and_other_hooks_are_named():
    module = make_module(
        pool_tasks=[Contribution("t", "m:T")],
        pool_backends=(Contribution("b", "m:B"),),
        pool_policies=lambda: iter([Contribution("p", "m:P"), Contribution("q", "m.sub:Q")]),
        pool_prompt_formats=[Contribution("f.1", "m:F")],
        pool_readers=[Contribution("r", "m:R", suffixes=(".r", ".r-2"), needs=("a", "b.c"))],
        pool_writers=[Contribution("r", "m:W")],
        pool_run_finished=lambda run: None,
        pool_check_compatibility=lambda plan: [],
    )
    plugin = load(module)
    assert (plugin.state, plugin.reason) == ("active", "")
    assert [(entry.kind, entry.qualified) for entry in plugin.entries] == [
        ("task", "x/t"),
        ("backend", "x/b"),
        ("policy", "x/p"),
        ("policy", "x/q"),
        ("prompt_format", "x/f.1"),
        ("reader", "x/r"),
        ("writer", "x/r"),
    ]
    assert plugin.hooks == ("pool_check_compatibility", "pool_run_finished")


def test_a_hook_may_offer_nothing():
    plugin = load(make_module(pool_tasks=lambda: None, pool_policies=[]))
    assert (plugin.state, plugin.entries) == ("active", ())


def test_an_object_with_methods_is_a_plugin_as_well():
    class Made:
        @hookimpl
        def pool_tasks(self):
            yield Contribution("t", "m:T")

    assert [entry.name for entry in load(Made()).entries] == ["t"]


def test_the_entry_point_may_name_an_attribute(tmp_path, monkeypatch):
    source = """
from pool_core.api import Contribution, hookimpl
class Made:
    @hookimpl
    def pool_tasks(self):
        return [Contribution("t", "m:T")]
made = Made()
"""
    plugin = load_source(tmp_path, monkeypatch, "entry_with_attribute", source, "entry_with_attribute:made")
    assert [entry.qualified for entry in plugin.entries] == ["x/t"]


async def offer_later():
    return []


async def offer_one_by_one():
    yield Contribution("t", "m:T")


NO_CONTRIBUTION = "pool_tasks must yield Contribution objects, not "


@pytest.mark.parametrize(
    ("hooks", "reason"),
    [
        ({"pool_taks": []}, "there is no hook 'pool_taks'; did you mean 'pool_tasks'?"),
        ({"pool_tasks": offer_later}, "the hook 'pool_tasks' must be an ordinary function, not async"),
        ({"pool_tasks": offer_one_by_one}, "the hook 'pool_tasks' must be an ordinary function, not async"),
        ({"pool_run_started": offer_later}, "the hook 'pool_run_started' must be an ordinary function, not async"),
        ({"pool_tasks": ["t"]}, NO_CONTRIBUTION + "str"),
        ({"pool_tasks": "t"}, NO_CONTRIBUTION + "str"),
        ({"pool_tasks": [None]}, NO_CONTRIBUTION + "NoneType"),
        ({"pool_tasks": Contribution("t", "m:T")}, NO_CONTRIBUTION + "return Contribution"),
        ({"pool_tasks": 3}, NO_CONTRIBUTION + "return int"),
        ({"pool_tasks": [Contribution("t", "m:T"), Contribution("t", "m:U")]}, "pool_tasks offers 't' twice"),
        ({"pool_tasks": lambda: 1 / 0}, "ZeroDivisionError: division by zero"),
    ],
)
def test_a_broken_hook_is_a_failure_with_its_reason(hooks, reason):
    plugin = load(make_module(**hooks))
    assert (plugin.state, plugin.reason, plugin.entries) == ("failed", reason, ())


def test_a_hook_that_resembles_none_is_told_all():
    reason = load(make_module(zzz=[])).reason
    assert reason.startswith("there is no hook 'zzz'; there are: pool_tasks, pool_backends, ")
    assert reason.endswith("pool_run_finished")


def test_an_argument_that_the_hook_does_not_have_is_a_failure():
    plugin = load(make_module(pool_tasks=lambda config: []))
    assert plugin.state == "failed"
    assert "config" in plugin.reason


@pytest.mark.parametrize("name", ["", "Upper", "two words", "a/b", "-a", "a--b", "naïve", 5])
def test_a_bad_name_is_refused(name):
    plugin = load(make_module(pool_tasks=[Contribution(name, "m:T")]))
    assert (plugin.state, plugin.reason) == (
        "failed",
        f"pool_tasks: {name!r} is no name; use small letters, digits and hyphens",
    )


@pytest.mark.parametrize("factory", ["", "m", "m.T", "m:", ":T", "m:T:U", "m:T()", "m/n:T", None])
def test_a_bad_factory_is_refused(factory):
    plugin = load(make_module(pool_tasks=[Contribution("t", factory)]))
    assert (plugin.state, plugin.reason) == (
        "failed",
        f"pool_tasks: the factory {factory!r} is not of the form 'package.module:Class'",
    )


@pytest.mark.parametrize("suffixes", [".jsonl", [".jsonl"], ("jsonl",), (".JSONL",), (3,), ("./x",)])
def test_bad_suffixes_are_refused(suffixes):
    """One text alone would answer for every part of it: ``".json" in ".jsonl"``."""
    plugin = load(make_module(pool_readers=[Contribution("r", "m:R", suffixes=suffixes)]))
    assert (plugin.state, plugin.reason) == (
        "failed",
        "pool_readers: the suffixes of 'r' must be a tuple of small endings, such as ('.jsonl',)",
    )


@pytest.mark.parametrize("needs", ["pyarrow", ["pyarrow"], ("",), ("a b",)])
def test_bad_needs_are_refused(needs):
    plugin = load(make_module(pool_tasks=[Contribution("t", "m:T", needs=needs)]))
    assert (plugin.state, plugin.reason) == (
        "failed",
        "pool_tasks: the needs of 't' must be a tuple of module names, such as ('pyarrow',)",
    )


@pytest.mark.parametrize(
    ("name", "source", "reason"),
    [
        ("entry_raises", "raise RuntimeError('boom')", "RuntimeError: boom"),
        (
            "entry_exits",
            "import sys; sys.exit(3)",
            "its import tried to end the process (SystemExit: 3)",
        ),
        (
            "entry_lacks",
            "import no_such_module.part",
            "the module 'no_such_module' that it imports is not installed",
        ),
        ("entry_halves", "from json import no_such_name", "ImportError: cannot import name 'no_such_name' from 'json'"),
        ("entry_typo", "def (", "SyntaxError: invalid syntax (entry_typo.py, line 1)"),
        (
            "entry_silent",
            "class Silent(Exception):\n    def __str__(self): raise SystemExit(1)\nraise Silent",
            "Silent, whose text cannot be made",
        ),
        (
            "entry_mute",
            "class Mute(BaseException):\n    def __str__(self): raise ValueError\nraise Mute",
            "Mute, whose text cannot be made",
        ),
    ],
)
def test_an_entry_module_that_cannot_be_imported_is_a_failure(tmp_path, monkeypatch, name, source, reason):
    plugin = load_source(tmp_path, monkeypatch, name, source)
    assert plugin.state == "failed"
    assert plugin.reason.startswith(reason)
    assert name not in sys.modules


@pytest.mark.parametrize(
    ("module", "missing"), [("entry_gone", "entry_gone"), ("entry_gone.part:x", "entry_gone.part")]
)
def test_an_entry_module_that_is_gone_is_told_apart_from_one_that_it_imports(module, missing):
    plugin = load_plugin(HookManager(), make_record(module=module))
    assert (plugin.state, plugin.reason) == (
        "failed",
        f"its entry module {missing!r} is not there. Try: pip install -U pool-x",
    )


def test_an_attribute_that_is_not_there_is_a_failure(tmp_path, monkeypatch):
    plugin = load_source(tmp_path, monkeypatch, "entry_empty", "", "entry_empty:made")
    assert (plugin.state, plugin.reason) == (
        "failed",
        "AttributeError: module 'entry_empty' has no attribute 'made'",
    )


@pytest.mark.parametrize("parts", [{"summary": None}, {"install": 7}])
def test_a_summary_that_is_no_text_is_refused(parts):
    plugin = load(make_module(pool_tasks=[Contribution("t", "m:T", **parts)]))
    assert (plugin.state, plugin.reason) == (
        "failed",
        "pool_tasks: the summary of 't', and what to install for it, must be texts",
    )


def test_an_interrupt_is_no_failure_of_the_plugin():
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(make_module(pool_tasks=interrupt))


def test_nothing_of_a_failed_plugin_stays():
    manager = HookManager()
    broken = make_module(pool_policies=[Contribution("p", "m:P")], pool_taks=[], pool_run_started=lambda run: None)
    assert load(broken, manager).state == "failed"
    assert manager.get_plugins() == set()
    assert manager.hook.pool_run_started.get_hookimpls() == []
    assert load(make_module(pool_policies=[Contribution("p", "m:P")]), manager).state == "active"


def test_one_plugins_hooks_are_not_called_for_another():
    manager = HookManager()
    first = make_module(pool_tasks=[Contribution("a", "m:A")])
    second = make_module(pool_tasks=[Contribution("b", "m:B")])
    found = [load_plugin(manager, make_record(name), module) for name, module in (("one", first), ("two", second))]
    assert [[entry.qualified for entry in plugin.entries] for plugin in found] == [["one/a"], ["two/b"]]


def test_two_plugins_with_one_entry_module_are_told_apart():
    manager = HookManager()
    module = make_module(pool_tasks=[Contribution("a", "m:A")])
    assert load_plugin(manager, make_record("one"), module).state == "active"
    second = load_plugin(manager, make_record("two", "pool_one"), module)
    assert (second.state, second.reason) == (
        "failed",
        "its entry module 'pool_one' is already that of the plugin 'one'",
    )
    assert manager.get_name(module) == "one"


def test_what_is_no_hook_is_left_alone():
    plugin = load(SimpleNamespace(pool_tasks=lambda: [Contribution("t", "m:T")], helper=3))
    assert (plugin.state, plugin.entries) == ("active", ())
