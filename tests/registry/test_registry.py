"""Looking names up, importing what they stand for, and calling hooks."""

from __future__ import annotations

import sys
from asyncio import CancelledError
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from pool_core.api import Contribution, hookimpl
from pool_core.errors import PluginError, UsageError
from pool_core.interfaces.values import Finding
from pool_core.registry import Registry, Selection
from pool_core.testing.distributions import write_distribution
from pool_core.watchdog import Watchdog, watchdog

V1 = "pool_core.plugins.v1"
CLASSES = """
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.policy import Policy
class Good(Policy[PluginConfig]):
    Config = PluginConfig
    def judge(self, members):
        return []
class Bare(Policy):
    def judge(self, members):
        return []
class Odd(Bare):
    Config = dict
class Other:
    pass
good = Good(PluginConfig())
"""


def make_module(name="made", **hooks):
    module = ModuleType(name)
    for hook, value in hooks.items():
        setattr(module, hook, hookimpl(value if callable(value) else lambda value=value: value))
    return module


def make_registry(**plugins):
    """A registry of plugins by name, each with its hooks by name."""
    registry = Registry()
    for name, hooks in plugins.items():
        registry.register(make_module(name, **hooks))
    return registry


def offer(*names, **options):
    return [Contribution(name, f"m:{name.title()}", **options) for name in names]


def read_refusal(call, *arguments, error=PluginError):
    with pytest.raises(error) as caught:
        call(*arguments)
    return str(caught.value)


# names


def test_a_short_and_a_qualified_name_find_the_same():
    registry = make_registry(one={"pool_tasks": offer("chat"), "pool_policies": offer("chat")})
    found = registry.find("task", "chat")
    assert (found.kind, found.qualified) == ("task", "one/chat")
    assert registry.find("task", "one/chat") is found
    assert registry.find("policy", "chat").kind == "policy"


def test_a_name_that_two_offer_works_qualified_alone():
    registry = make_registry(one={"pool_tasks": offer("chat")}, two={"pool_tasks": offer("chat", "code")})
    assert registry.find("task", "two/chat").qualified == "two/chat"
    assert registry.find("task", "code").qualified == "two/code"
    assert read_refusal(registry.find, "task", "chat") == (
        "the task 'chat' is offered by 2 plugins: one/chat (in-process), two/chat (in-process)\n"
        "  write the qualified name"
    )


def test_a_name_that_an_installed_plugin_offers_as_well_can_be_had_by_blocking_it(tmp_path, monkeypatch):
    source = "from pool_core.api import *\n@hookimpl\ndef pool_tasks():\n    yield Contribution('chat', 'm:Chat')\n"
    write_distribution(tmp_path, entry_points={V1: {"x": "registry_chat"}}, modules={"registry_chat": source})
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry.discover(Selection(), [str(tmp_path)])
    registry.register(make_module("one", pool_tasks=offer("chat")))
    assert read_refusal(registry.find, "task", "chat") == (
        "the task 'chat' is offered by 2 plugins: x/chat (pool-x 1.0), one/chat (in-process)\n"
        "  write the qualified name, or block one: --block pool-x"
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("chatt", "did you mean 'chat' (in-process)?"),
        ("one/caht", "did you mean 'one/chat' (in-process)?"),
        ("zzzzzz", "known: chat, chatml"),
    ],
)
def test_an_unknown_name_suggests_known_ones(name, hint):
    registry = make_registry(one={"pool_prompt_formats": offer("chatml", "chat")})
    text = read_refusal(registry.find, "prompt_format", name)
    head, _, rest = text.partition("\n  ")
    assert head == f"there is no prompt format named {name!r}"
    assert rest.startswith(hint.removesuffix("?"))


def test_an_unknown_name_without_any_plugin_names_the_standard_ones():
    assert read_refusal(Registry().find, "task", "chat") == (
        "there is no task named 'chat'\n"
        "  no installed plugin offers any; the standard ones are pool-standard, pool-replay and pool-openai"
    )


def test_an_unknown_name_says_which_plugins_are_not_loaded(tmp_path):
    write_distribution(tmp_path, name="pool-idle", entry_points={V1: {"idle": "m"}})
    write_distribution(tmp_path, name="pool-gone", entry_points={V1: {"gone": "entry_that_is_gone"}})
    registry = Registry.discover(Selection.parse(None, ["idle"]), [str(tmp_path)])
    registry.register(make_module("one", pool_tasks=offer("chat")))
    assert read_refusal(registry.find, "task", "zzzzzz") == (
        "there is no task named 'zzzzzz'\n"
        "  known: chat\n"
        "  not loaded: pool-gone 1.0 is failed: its entry module 'entry_that_is_gone' is not there. "
        "Try: pip install -U pool-gone\n"
        "  not loaded: pool-idle 1.0 is blocked: blocked by --block or the recipe"
    )


# files


def test_the_ending_of_a_file_finds_its_reader():
    registry = make_registry(one={"pool_readers": offer("lines", suffixes=(".jsonl", ".nd"))})
    assert registry.find_for_file("reader", Path("a.b/x.JSONL")).name == "lines"


KNOWN_ENDINGS = "  known endings: .jsonl. Or name it: reader: jsonl"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "x.csv",
            "x.csv: no reader answers for '.csv' files\n" + KNOWN_ENDINGS,
        ),
        ("rows", "rows: the file has no ending that says which reader it needs\n" + KNOWN_ENDINGS),
    ],
)
def test_a_file_that_none_answers_for(path, expected):
    registry = make_registry(one={"pool_readers": offer("lines", suffixes=(".jsonl",))})
    assert read_refusal(registry.find_for_file, "reader", Path(path)) == expected


def test_a_file_that_nobody_could_read():
    text = read_refusal(Registry().find_for_file, "writer", Path("x.csv"))
    assert text == "x.csv: no writer answers for '.csv' files\n  known endings: none. Or name it: writer: jsonl"


def test_a_file_that_two_answer_for():
    hooks = {"pool_writers": offer("lines", suffixes=(".jsonl",))}
    registry = make_registry(one=hooks, two=hooks)
    assert read_refusal(registry.find_for_file, "writer", Path("x.jsonl")) == (
        "x.jsonl: one/lines, two/lines all answer for '.jsonl' files\n  say which one: writer: one/lines"
    )


# classes


def load_factory(tmp_path, monkeypatch, factory, **options):
    write_distribution(tmp_path, modules={"registry_classes": CLASSES, "registry_boom": "raise RuntimeError('boom')"})
    monkeypatch.syspath_prepend(tmp_path)
    registry = make_registry(one={"pool_policies": [Contribution("p", factory, **options)]})
    return registry.load(registry.find("policy", "p"))


def test_the_class_is_imported_on_use(tmp_path, monkeypatch):
    loaded = load_factory(tmp_path, monkeypatch, "registry_classes:Good", needs=("json", "os.path"))
    assert loaded.__name__ == "Good"


@pytest.mark.parametrize("needs", [("no_such_thing",), ("no_such_thing.inside",), ("json", "json.no_such_thing")])
@pytest.mark.parametrize("install", ["", "my-plugin[fast]"])
def test_a_missing_dependency_prints_the_pip_line(tmp_path, monkeypatch, needs, install):
    with pytest.raises(PluginError) as caught:
        load_factory(tmp_path, monkeypatch, "registry_classes:Good", needs=needs, install=install)
    missing = needs[-1]
    assert str(caught.value) == (
        f'the policy one/p of in-process needs {missing}, which is not installed\n  pip install "{install or missing}"'
    )


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        ("registry_boom:X", "RuntimeError: boom"),
        ("registry_missing:X", "ModuleNotFoundError: No module named 'registry_missing'"),
        ("registry_classes:Missing", "AttributeError: module 'registry_classes' has no attribute 'Missing'"),
        ("..bad:X", "TypeError: the 'package' argument is required"),
    ],
)
def test_a_factory_that_cannot_be_imported_names_the_plugin(tmp_path, monkeypatch, factory, reason):
    with pytest.raises(PluginError) as caught:
        load_factory(tmp_path, monkeypatch, factory)
    assert str(caught.value).startswith(f"the policy one/p of in-process cannot be imported: {reason}")
    assert caught.value.hint == f"its factory is {factory}; report it to the plugin's authors"


@pytest.mark.parametrize("name", ["Other", "good"])
def test_a_factory_of_the_wrong_kind_is_refused(tmp_path, monkeypatch, name):
    with pytest.raises(PluginError) as caught:
        load_factory(tmp_path, monkeypatch, f"registry_classes:{name}")
    assert str(caught.value) == (
        f"the policy one/p of in-process is no Policy: registry_classes:{name} must derive from it"
    )


@pytest.mark.parametrize("name", ["Bare", "Odd"])
def test_a_factory_without_a_configuration_is_refused(tmp_path, monkeypatch, name):
    with pytest.raises(PluginError) as caught:
        load_factory(tmp_path, monkeypatch, f"registry_classes:{name}")
    assert str(caught.value) == (
        f"the policy one/p of in-process has no configuration: registry_classes:{name} must have a class "
        "attribute Config, a pydantic model\n"
        "  derive it from pool_core.interfaces.config.PluginConfig; it may be empty"
    )


# plugins of this process


def test_a_module_registers_under_the_last_part_of_its_name():
    plugin = Registry().register(make_module("Package.Sub.Made", pool_tasks=offer("t")))
    assert (plugin.record.name, plugin.record.module, str(plugin.record)) == ("made", "Package.Sub.Made", "in-process")


def test_an_object_registers_under_the_name_of_its_class_or_the_one_given():
    class Mine:
        @hookimpl
        def pool_tasks(self):
            return offer("t")

    registry = Registry()
    assert registry.register(Mine()).record.name == "mine"
    assert registry.register(Mine(), name="again").record.name == "again"
    assert [entry.qualified for entry in registry.entries("task")] == ["mine/t", "again/t"]
    assert [plugin.record.name for plugin in registry.plugins] == ["again", "mine"]


def test_a_taken_name_is_refused_and_the_first_stays():
    registry = make_registry(one={"pool_tasks": offer("t")})
    assert read_refusal(registry.register, make_module("one")) == (
        "a plugin named 'one' is there already\n  give another name: register(x, name=...)"
    )
    assert registry.find("task", "t").qualified == "one/t"


def test_a_module_that_is_there_already_is_refused_and_stays():
    module = make_module("one", pool_tasks=offer("t"), pool_run_started=lambda run: None)
    registry = Registry()
    registry.register(module)
    assert read_refusal(registry.register, module, "two") == (
        "the plugin 'two' cannot be registered: its entry module 'one' is already that of the plugin 'one'"
    )
    assert registry.implements("pool_run_started")


def test_a_broken_plugin_cannot_be_registered_and_leaves_nothing():
    registry = Registry()
    assert read_refusal(registry.register, make_module("one", pool_tasks=["t"])) == (
        "the plugin 'one' cannot be registered: pool_tasks must yield Contribution objects, not str"
    )
    assert list(registry.plugins) == []
    registry.register(make_module("one", pool_tasks=offer("t")))


def test_a_frozen_registry_takes_no_more():
    registry = Registry()
    registry.freeze()
    assert read_refusal(registry.register, make_module("one")) == (
        "the plugin 'one' comes too late: a plan was made with this registry\n"
        "  register before running, or make a new registry with Registry.discover()"
    )


# discovery


@pytest.mark.parametrize(("value", "state"), [(None, "active"), ("off", "blocked"), ("seen", "active")])
def test_the_environment_decides_where_no_selection_is_given(tmp_path, monkeypatch, value, state):
    module = f"registry_seen_{value}"
    write_distribution(tmp_path, name="pool-seen", entry_points={V1: {"seen": module}}, modules={module: ""})
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("POOL_PLUGINS", raising=False)
    if value is not None:
        monkeypatch.setenv("POOL_PLUGINS", value)
    found = Registry.discover(path=[str(tmp_path)]).plugins
    assert [(plugin.record.name, plugin.state) for plugin in found] == [("seen", state)]


def test_a_bad_environment_is_named(monkeypatch):
    monkeypatch.setenv("POOL_PLUGINS", " ")
    assert read_refusal(Registry.discover, error=UsageError).startswith("--plugins or POOL_PLUGINS: no plugin is named")


def test_requirements_are_checked_against_what_is_active(tmp_path, monkeypatch):
    write_distribution(
        tmp_path, name="pool-req", entry_points={V1: {"req": "registry_req"}}, modules={"registry_req": ""}
    )
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry.discover(Selection(), [str(tmp_path)])
    registry.require(["pool-req>=1", "req"])
    assert read_refusal(registry.require, ["req>=2"]).startswith("plugins.require: 'req>=2' is asked for")
    blocked = Registry.discover(Selection.parse("off"), [str(tmp_path)])
    assert read_refusal(blocked.require, ["req"]) == (
        "plugins.require: 'req' is blocked: not among the plugins that --plugins or POOL_PLUGINS names"
    )


# hooks

WARNING = Finding("warning", "odd", "this is odd")


def fail(error):
    raise error


def leave(code=0):
    raise SystemExit(code)


def loop_for_ever():
    while True:
        pass


def collect(**plugins):
    plugins = {name: {"pool_check_compatibility": check} for name, check in plugins.items()}
    return collect_of(make_registry(**plugins), object())


def collect_of(registry, plan):
    with Watchdog() as entered:
        return list(registry.collect_findings(plan, entered))


def notify(registry, hook, deaf=()):
    with Watchdog() as entered:
        return registry.notify(hook, "the run", entered, set(deaf))


def test_findings_carry_the_plugin_that_says_so():
    own = Finding("info", "note", "a note", source="mine")
    found = collect(two=lambda plan: [own], one=lambda: iter([WARNING]), none=lambda plan: None)
    assert [(finding.rule, finding.source) for finding in found] == [("odd", "one"), ("note", "mine")]


def test_a_check_gets_the_plan():
    seen = []

    def note(plan):
        seen.append(plan)

    registry = make_registry(one={"pool_check_compatibility": note})
    assert collect_of(registry, "the plan") == []
    assert seen == ["the plan"]


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        (lambda plan: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda plan: 5, "TypeError: it returned int instead of findings"),
        (lambda plan: ["x"], "TypeError: it returned str instead of Finding"),
        (lambda plan: leave(0), "SystemExit: 0"),
        (lambda plan: False, "TypeError: it returned bool instead of findings"),
        (lambda plan: 0, "TypeError: it returned int instead of findings"),
        (lambda plan: "", "TypeError: it returned str instead of findings"),
        (lambda plan: {}, "TypeError: it returned dict instead of findings"),
        (lambda plan: [replace(WARNING, key=["x"])], "TypeError: the key of a finding is text, not ['x']"),
        (lambda plan: fail(CancelledError("no")), "CancelledError: no"),
        (lambda plan: fail(GeneratorExit()), "GeneratorExit: "),
    ],
)
def test_a_check_that_breaks_is_an_error_finding_and_the_others_still_speak(check, reason):
    broken, other = collect(broken=check, other=lambda plan: [WARNING])
    assert broken == Finding(
        "error",
        "hook-failed",
        f"the check of the plugin 'broken' failed: {reason}",
        hint="report it to the plugin's authors, or switch it off: --block broken",
        source="broken",
    )
    assert other.source == "other"


def test_a_check_that_does_not_end_is_an_error_finding_and_the_others_still_speak(monkeypatch):
    monkeypatch.setattr(watchdog, "CALL_SECONDS", 0.2)

    def check(plan):
        monkeypatch.setattr(watchdog, "CALL_SECONDS", 1000)  # for the next one, on a slow machine
        loop_for_ever()

    endless, other = collect(endless=check, other=lambda plan: [WARNING])
    assert (endless.level, endless.rule, endless.source) == ("error", "hook-failed", "endless")
    assert endless.message == "the check of the plugin 'endless' did not end within 0.2 s"
    assert other.source == "other"


def test_notifications_reach_every_plugin_and_problems_are_told():
    seen = []

    def note(run):
        seen.append(run)

    registry = make_registry(
        one={"pool_run_started": lambda run: 1 / 0},
        two={"pool_run_started": lambda: leave(3)},
        three={"pool_run_started": note},
    )
    assert sorted(notify(registry, "pool_run_started")) == [
        "pool_run_started of the plugin 'one' failed: ZeroDivisionError: division by zero",
        "pool_run_started of the plugin 'two' failed: SystemExit: 3",
    ]
    assert seen == ["the run"]
    assert registry.implements("pool_run_started")
    assert not registry.implements("pool_run_finished")
    assert notify(registry, "pool_run_finished") == []


def test_a_plugin_that_is_deaf_is_not_told():
    seen = []
    registry = make_registry(
        one={"pool_run_started": lambda run: seen.append("one")},
        two={"pool_run_started": lambda run: seen.append("two")},
    )
    assert notify(registry, "pool_run_started", deaf=["one"]) == []
    assert seen == ["two"]


def test_the_modules_with_conformance_classes_are_those_of_one_plugin():
    registry = make_registry(
        one={"pool_conformance": lambda: ["one.conformance"]},
        two={"pool_conformance": lambda: iter(["two.a", "two.b"])},
        three={"pool_conformance": lambda: 1 / 0},
        four={"pool_conformance": lambda: ["conformance"]},
        five={},
    )
    assert registry.list_suites("two") == ["two.a", "two.b"]
    assert registry.list_suites("five") == []
    assert read_refusal(registry.list_suites, "three") == (
        "pool_conformance of the plugin 'three' failed: ZeroDivisionError: division by zero"
    )
    assert read_refusal(registry.list_suites, "four") == (
        "pool_conformance of the plugin 'four' gives ['conformance']\n"
        "  yield the dotted names of modules, such as 'pool_x.conformance'"
    )


# Models that recipes name


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Makes a registry with one installed plugin of one module."""

    def make(name, source):
        write_distribution(tmp_path, name=f"pool-{name}", entry_points={V1: {name: name}}, modules={name: source})
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return Registry.discover(path=[str(tmp_path)])

    yield make
    sys.modules.pop("shapes", None)


def test_a_model_is_loaded_from_a_package_of_an_active_plugin(install):
    registry = install(
        "shapes",
        "from pydantic import BaseModel\nclass Review(BaseModel):\n    good: bool\nnumber = 1\n",
    )
    assert list(registry.load_model("shapes:Review").model_fields) == ["good"]
    with pytest.raises(PluginError) as caught:
        registry.load_model("shapes:number")
    assert (caught.value.message, caught.value.hint) == (
        "'shapes:number' is no pydantic model",
        "derive it from pydantic.BaseModel",
    )
    with pytest.raises(PluginError, match="'shapes:Nothing' cannot be imported: AttributeError"):
        registry.load_model("shapes:Nothing")


@pytest.mark.parametrize("name", ["os:system", "subprocess:Popen", "shapesx:A", "shapes", "shapes:a.b", "", ":A"])
def test_nothing_else_is_imported_for_a_name(install, name):
    registry = install("shapes", "")
    with pytest.raises(PluginError) as caught:
        registry.load_model(name)
    assert caught.value.message == f"{name!r} names no class of a package of an active plugin"
    assert caught.value.hint == "it is written package.module:Class, and the packages are: shapes"
