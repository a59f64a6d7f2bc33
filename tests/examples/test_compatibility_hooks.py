"""The three checks of examples/compatibility-hooks, and what the hook promises to each of them."""

from __future__ import annotations

import importlib.util
from dataclasses import FrozenInstanceError
from itertools import permutations
from pathlib import Path

import pytest
from pydantic import Field

from pool_core import Registry
from pool_core.api import Contribution, hookimpl
from pool_core.errors import PluginError
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.values import Answer, Finding, Message, Prompt
from pool_core.plan.build import make_plan
from pool_core.plan.rows import MemoryRows
from pool_core.recipe.models import Member, PoolSpec, Recipe
from pool_core.registry import registry as registry_module
from pool_core.testing.scripted import CodeTask, ScriptedBackend, make_registry
from pool_core.testing.scripted_plugin import ScriptedPlugin

FOLDER = Path(__file__).parents[2] / "examples" / "compatibility-hooks"
ROWS = ({"text": "hello", "prompt": "a sum"},)


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check(hook, *members, rows=ROWS, name=None):
    """The plan of ``members`` that ``hook`` has looked at, with nothing installed."""
    registry = make_registry()
    registry.register(ScriptedPlugin(), name="scripted")
    registry.register(StandardTasks(), name="standard")
    registry.register(hook, name=name)
    recipe = Recipe(pool=PoolSpec(members=members, policies=()))
    return make_plan(recipe, registry, rows=MemoryRows(list(rows), None))


def ask(model, name="a", **keys):
    return Member(name=name, **{"backend": {"use": "echo", "model": model}, "task": "echo", **keys})


class LanguageConfig(PluginConfig):
    language: str = Field("python")


class LanguageTask(CodeTask):
    Config = LanguageConfig


class StandardTasks:
    """Stands in for pool-standard, which these tests do without."""

    @hookimpl
    def pool_tasks(self):
        yield Contribution("code-generation", f"{__name__}:LanguageTask")


# licence


def test_a_model_whose_licence_forbids_training_is_refused_with_all_its_members():
    model = "gpt-4o"
    plan = check(load("licence"), ask(model, "z"), ask("mistral-7b-instruct", "m"), ask(model, "a"))
    assert plan.findings == (
        Finding(
            "error",
            "licence-training",
            "outputs of 'gpt-4o' must not be trained on: the provider's terms forbid training competing models",
            ("a", "z"),
            hint="give the member another model, or leave it out of this pool",
            source="licence",
            key="backend",
        ),
    )
    assert not plan.compatible


def test_a_model_that_nobody_has_looked_up_is_a_warning():
    plan = check(load("licence"), ask("our-own-7b"))
    assert plan.findings == (
        Finding(
            "warning",
            "licence-unknown",
            "nobody has looked up whether outputs of 'our-own-7b' may be trained on",
            ("a",),
            hint="read the model's licence and add it to the table",
            source="licence",
            key="backend",
        ),
    )
    assert plan.compatible


@pytest.mark.parametrize(
    ("model", "rules"),
    [
        ("mistral-7b-instruct", []),
        ("someone/Mistral-7B-Instruct", []),
        ("meta/Llama-2-7b-chat", ["licence-training"]),
        ("not-gpt-4o", ["licence-unknown"]),
    ],
)
def test_models_are_matched_by_their_own_names(model, rules):
    assert [finding.rule for finding in check(load("licence"), ask(model)).findings] == rules


def test_a_model_behind_another_backend_is_found():
    relay = {"use": "relay", "backend": {"use": "echo", "model": "claude-opus"}}
    (finding,) = check(load("licence"), ask("", backend=relay)).findings
    assert (finding.rule, finding.members) == ("licence-training", ("a",))


def test_a_ready_backend_of_python_is_looked_at():
    backend = ScriptedBackend(lambda request: Answer("x"), model="gpt-4o")
    (finding,) = check(load("licence"), ask("", backend=backend)).findings
    assert finding.rule == "licence-training"


# context length

SIZE = 4_096


def check_length(characters, max_tokens=None, **keys):
    sampling = {"max_tokens": max_tokens} if max_tokens else {}
    rows = [{"text": "short"}, {"text": "x" * characters}, {"text": "x"}]
    member = ask("llama-2-7b-chat", sampling=sampling, **keys)
    return check(load("context_length"), member, rows=rows).findings


def test_a_prompt_that_does_not_fit_with_its_answer_is_refused():
    assert check_length(4 * 3_600, max_tokens=512) == (
        Finding(
            "error",
            "context-length",
            "a's prompt of row 2 has about 3600 tokens and the answer up to 512; the model's window holds 4096",
            ("a",),
            hint="lower `max_tokens`, leave long rows out, or use a model with a longer window",
            source="context_length",
            key="sampling",
        ),
    )


def test_a_prompt_that_nearly_fills_the_window_is_a_warning():
    (finding,) = check_length(4 * 3_700)
    assert (finding.level, finding.rule, finding.key) == ("warning", "context-close", "backend")
    assert finding.message == "a's prompt of row 2 has about 3700 tokens; the model's window holds 4096"


@pytest.mark.parametrize(
    ("characters", "max_tokens", "rules"),
    [
        (4 * 3_000, 512, []),
        (4 * SIZE, None, ["context-close"]),
        (4 * SIZE + 1, None, ["context-length"]),
        (4, SIZE - 2, ["context-close"]),
        (4, SIZE, ["context-length"]),
    ],
)
def test_the_window_holds_prompt_and_answer(characters, max_tokens, rules):
    assert [finding.rule for finding in check_length(characters, max_tokens)] == rules


def test_models_without_a_known_window_and_rows_without_a_prompt_are_left_alone():
    rows = [{"text": "x" * 4 * 10_000}]
    assert check(load("context_length"), ask("unknown"), rows=rows).findings == ()
    broken = check(load("context_length"), ask("notus-7b-v1"), rows=[{"text": 5}]).findings
    assert [finding.rule for finding in broken] == ["render"]


def test_what_the_prompt_format_adds_is_counted():
    backend = {"use": "echo", "model": "llama-2-7b-chat", "takes": "text"}
    (close,) = check_length(4 * 3_700, backend=backend, prompt_format="lines")
    assert "about 3705 tokens" in close.message  # "user: ", "\n" and "assistant:" make 17 more


def test_parts_of_a_message_are_counted_by_their_text():
    parts = [{"type": "text", "text": "four"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    assert load("context_length").count_characters(Prompt((Message("system", "ab"), Message("user", parts)))) == 6


# one language


def write(name, language=None, task="code-generation"):
    task = {"use": task, "language": language} if language else task
    return Member(name=name, backend="echo", task=task)


def test_members_that_write_two_languages_are_refused():
    members = [write("c", "rust"), write("a"), write("b", "Python"), write("d", task="echo")]
    plans = [check(load("one_language"), *order) for order in permutations(members)]
    assert {plan.findings for plan in plans} == {
        (
            Finding(
                "error",
                "one-language",
                "the members that write code write 2 languages: python: a, b; rust: c",
                ("a", "b", "c"),
                hint="set one `language` in their tasks, or make a pool for each language",
                source="one_language",
                key="task",
            ),
        )
    }


def test_members_that_write_one_language_are_accepted():
    assert check(load("one_language"), write("a", "rust"), write("b", "Rust"), write("c", task="echo")).findings == ()


@pytest.mark.plugins("standard", "replay")
def test_the_standard_task_has_what_the_check_reads():
    registry = Registry.discover()
    registry.register(load("one_language"))
    member = {"backend": "simulate", "task": {"use": "code-generation", "language": "rust"}}
    pool = PoolSpec(members=[{"name": "a", **member}, {"name": "b", **member, "task": "code-generation"}])
    plan = make_plan(Recipe(pool=pool), registry, rows=MemoryRows([{"instruction": "x"}], None))
    assert [finding.rule for finding in plan.findings] == ["one-language"]


# what the hook promises to all of them


@pytest.mark.parametrize("name", ["licence", "context_length", "one_language"])
def test_a_check_that_breaks_refuses_the_plan_and_is_named(name, monkeypatch):
    module = load(name)
    for part in ("find_models", "TASK"):
        monkeypatch.delattr(module, part, raising=False)
    (finding,) = check(module, write("a")).findings
    assert (finding.level, finding.rule, finding.source) == ("error", "hook-failed", name)
    assert finding.message.startswith(f"the check of the plugin {name!r} failed: NameError: ")
    assert finding.hint == f"report it to the plugin's authors, or switch it off: --block {name}"


def test_what_a_check_found_before_it_broke_cannot_stand_for_the_whole():
    class Half:
        @hookimpl
        def pool_check_compatibility(self, plan):
            yield Finding("info", "half", "so far, so good")
            raise OSError("the table is gone")

    (finding,) = check(Half(), ask("m"), name="half").findings
    assert finding.message == "the check of the plugin 'half' failed: OSError: the table is gone"


def test_a_slow_check_is_reported_and_still_counts(monkeypatch):
    ticks = iter([10.0, 11.5])
    monkeypatch.setattr(registry_module, "perf_counter", lambda: next(ticks))
    plan = check(load("licence"), ask("gpt-4o"))
    assert [finding.rule for finding in plan.findings] == ["licence-training", "check-slow"]
    slow = plan.findings[1]
    assert (slow.level, slow.source) == ("warning", "licence")
    assert slow.message == "the check of the plugin 'licence' took 1.5 s; a check may take 1 s"


def test_a_check_can_change_nothing_of_the_plan():
    seen = []

    class Greedy:
        @hookimpl
        def pool_check_compatibility(self, plan):
            for part, key in ((plan, "findings"), (plan.members[0], "task"), (plan.signatures[0], "outputs")):
                with pytest.raises(FrozenInstanceError):
                    setattr(part, key, ())
                seen.append(key)
            plan.members = ()

    plan = check(Greedy(), ask("m"), name="greedy")
    assert seen == ["findings", "task", "outputs"]
    assert len(plan.members) == 1
    (finding,) = plan.findings
    assert finding.message.startswith("the check of the plugin 'greedy' failed: FrozenInstanceError: ")


def test_the_checks_stand_side_by_side_and_come_before_a_plan_is_made():
    registry = make_registry()
    registry.register(ScriptedPlugin(), name="scripted")
    modules = [load(name) for name in ("licence", "context_length", "one_language")]
    assert [registry.register(module).record.name for module in modules] == [
        "licence",
        "context_length",
        "one_language",
    ]
    recipe = Recipe(pool=PoolSpec(members=[ask("gpt-4o")], policies=()))
    assert not make_plan(recipe, registry, rows=MemoryRows(list(ROWS), None)).compatible
    with pytest.raises(PluginError, match="comes too late"):
        registry.register(load("licence"), name="again")
