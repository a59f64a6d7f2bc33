"""Every finding that a plan makes by itself, word by word; and none depends on the members' order."""

from __future__ import annotations

import re
from asyncio import CancelledError
from itertools import permutations
from pathlib import Path
from time import sleep

import pytest

from pool_core.api import hookimpl
from pool_core.interfaces.policy import merge_schema
from pool_core.interfaces.types import ANY, FieldType
from pool_core.interfaces.values import Finding
from pool_core.plan import judge
from pool_core.plan.build import make_plan
from pool_core.plan.judge import run_policies
from pool_core.recipe.load import load_recipe
from pool_core.recipe.models import Limits, Member
from pool_core.testing.scripted import CodeTask, EchoTask
from pool_core.watchdog import Watchdog
from pool_core.watchdog import watchdog as watchdog_module

TEXT_BACKEND = {"use": "echo", "takes": "text"}


def echo(name="a", **keys):
    return Member(name=name, **{"backend": "echo", "task": "echo", **keys})


def code(name="c", **keys):
    return Member(name=name, **{"backend": "echo", "task": "code", **keys})


def find(plan, rule):
    """The one finding of ``rule``."""
    (found,) = [finding for finding in plan.findings if finding.rule == rule]
    return found


def test_members_that_fit_have_no_findings(plan):
    made = plan(echo("a"), echo("b"))
    assert made.findings == ()
    assert made.compatible


# Policies and hooks


def test_a_policy_that_breaks_lets_no_plan_pass(plan):
    def shaky(members):
        raise ValueError("no idea")

    made = plan(echo(), policies=(shaky,))
    assert not made.compatible
    assert made.findings == (
        Finding(
            "error",
            "policy-failed",
            "the policy 'shaky' failed: ValueError: no idea",
            hint="report it to the policy's authors, or take it out of `policies:`",
            source="shaky",
        ),
    )


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        (7, "it returned int instead of findings"),
        (["no"], "it returned str instead of Finding"),
        ([Finding("fatal", "r", "m")], "a finding has the level 'fatal'; levels are error, warning, info"),
        ([Finding("error", "r", "m", ["a"])], "the members of a finding are a tuple of names, not ['a']"),
        ([Finding("error", "r", "m", field=None)], "the field of a finding is text, not None"),
    ],
)
def test_a_policy_that_returns_no_findings_failed(plan, returned, says):
    def odd(members):
        return returned

    found = find(plan(echo(), policies=(odd,)), "policy-failed")
    assert found.message == f"the policy 'odd' failed: TypeError: {says}"


def test_findings_carry_the_policy_that_says_so(plan):
    def polite(members):
        yield Finding("info", "one", "by name")
        yield Finding("info", "two", "by itself", source="me")

    found = plan(echo(), policies=(polite, "refuse")).findings
    assert [(finding.rule, finding.source) for finding in found] == [
        ("refused", "refuse"),
        ("one", "polite"),
        ("two", "me"),
    ]


def test_policies_see_the_members_by_name_and_cannot_take_one_away(plan):
    seen = []

    def greedy(members):
        seen.append([member.name for member in members])
        members.pop()

    def honest(members):
        seen.append([member.name for member in members])

    made = plan(echo("z"), echo("a"), policies=(greedy, honest))
    assert seen == [["a", "z"], ["a", "z"]]
    assert find(made, "policy-failed").source == "greedy"


def test_every_policy_is_asked_even_after_one_that_failed():
    class Broken:
        def judge(self, members):
            raise LookupError

    class Fine:
        def judge(self, members):
            return [Finding("warning", "fine", "f")]

    with Watchdog() as watchdog:
        found = list(run_policies([(Broken(), "broken"), (Fine(), "fine")], [], watchdog))
    assert [finding.rule for finding in found] == ["policy-failed", "fine"]


def loop_for_ever():
    while True:
        pass


def eat_memory():
    """Eat more and more, and slowly from some point on: a machine that looks late has memory left."""
    held = []
    while True:
        held.append(b"x" * (1 << 20))
        sleep(0 if len(held) < 200 else 0.01)


def search_for_ever():
    return re.match(r"(a+)+$", "a" * 60 + "b")


@pytest.mark.parametrize(
    ("misdeed", "seconds", "says"),
    [
        (loop_for_ever, 0.3, "did not end within 0.3 s"),
        (search_for_ever, 0.3, "did not end within 0.3 s"),
        (eat_memory, 200.0, "took more than 100 MiB of memory"),
    ],
    ids=["loops", "searches", "eats"],
)
def test_a_policy_that_takes_too_much_lets_no_plan_pass(plan, monkeypatch, misdeed, seconds, says):
    monkeypatch.setattr(watchdog_module, "CALL_SECONDS", seconds)
    monkeypatch.setattr(watchdog_module, "CALL_MEMORY", 100)

    def endless(members):
        yield Finding("info", "first", "it starts well")
        misdeed()

    found = find(plan(echo(), policies=(endless,)), "policy-failed")
    assert (found.level, found.message) == ("error", f"the policy 'endless' {says}")


@pytest.mark.parametrize("error", [SystemExit(2), GeneratorExit(), RecursionError("deep")], ids=repr)
def test_a_policy_that_raises_anything_lets_no_plan_pass(plan, error):
    def broken(members):
        raise error

    found = find(plan(echo(), policies=(broken,)), "policy-failed")
    assert found.message == f"the policy 'broken' failed: {type(error).__name__}: {error}"


def test_a_policy_that_raises_an_interrupt_of_its_own_lets_no_plan_pass(plan):
    def broken(members):
        raise KeyboardInterrupt

    found = find(plan(echo(), policies=(broken,)), "policy-failed")
    assert found.message == "the policy 'broken' raised KeyboardInterrupt"


def test_a_task_that_makes_no_prompt_in_time_is_not_asked_for_all_rows(plan):
    class Endless(EchoTask):
        def render(self, row):
            asked.append(row["text"])
            loop_for_ever()

    asked = []
    made = plan(
        Member(name="a", backend="echo", task=Endless(), limits=Limits(task_timeout=0.2)),
        rows=[{"text": str(number)} for number in range(50)],
    )
    found = find(made, "render")
    assert found.level == "error"
    assert found.message == "a cannot make a prompt of the first row: the task Endless did not end within 0.2 s"
    assert len(asked) < 5


def test_a_hook_that_breaks_lets_no_plan_pass(plan, registry):
    class Strict:
        @hookimpl
        def pool_check_compatibility(self, plan):
            raise RuntimeError("out of order")

    registry.register(Strict(), name="strict")
    assert find(plan(echo()), "hook-failed") == Finding(
        "error",
        "hook-failed",
        "the check of the plugin 'strict' failed: RuntimeError: out of order",
        hint="report it to the plugin's authors, or switch it off: --block strict",
        source="strict",
    )


def test_a_hook_sees_the_findings_so_far(plan, registry):
    class Counting:
        @hookimpl
        def pool_check_compatibility(self, plan):
            return [Finding("info", "counted", f"{len(plan.findings)} before")]

    registry.register(Counting(), name="counting")
    assert find(plan(echo(), policies=("refuse",)), "counted").message == "1 before"


# Prompts


def test_format_unused(plan):
    assert plan(echo(prompt_format="lines")).findings == (
        Finding(
            "error",
            "format-unused",
            "a has a prompt format, but its backend scripted/echo takes messages as they are",
            ("a",),
            hint="remove `prompt_format`, or let the backend take text",
            key="prompt_format",
        ),
    )


def test_format_missing(plan):
    assert plan(echo(backend=TEXT_BACKEND)).findings == (
        Finding(
            "error",
            "format-missing",
            "a makes messages, but its backend scripted/echo takes one text",
            ("a",),
            hint="name the format that the model was trained on",
            fix="prompt_format: chatml",
            key="backend",
        ),
    )
    assert plan(echo(backend=TEXT_BACKEND, prompt_format="lines")).findings == ()


def test_prompt_kind(plan):
    class Completion(EchoTask):
        def render(self, row):
            return type(super().render(row))(text="once upon")

    assert plan(echo(task=Completion())).findings == (
        Finding(
            "error",
            "prompt-kind",
            "a makes one text, but its backend scripted/echo takes messages",
            ("a",),
            hint="use a task that makes messages, or a backend that takes text",
            key="backend",
        ),
    )


def test_render(plan):
    assert plan(echo(), rows=[{"text": 5}]).findings == (
        Finding(
            "error",
            "render",
            "a cannot make a prompt of the first row: the column 'text' must hold text, not int",
            ("a",),
            key="task",
        ),
    )
    found = find(plan(echo(), rows=[{"other": 5, "more": 6}]), "render")
    assert (found.message, found.hint) == (
        "a cannot make a prompt of the first row: the row has no column 'text'",
        "it has: other, more",
    )


def test_render_finds_a_task_that_returns_no_prompt(plan):
    class Plain(EchoTask):
        def render(self, row):
            return row["text"]

    found = find(plan(echo(task=Plain())), "render")
    assert found.message == "a cannot make a prompt of the first row: the task Plain returned str instead of Prompt"


def test_prompts_are_not_made_where_no_rows_are_known(plan):
    made = plan(echo(backend=TEXT_BACKEND), rows=None)
    assert (made.findings, made.columns, made.sample) == ((), None, [])


# Sampling


@pytest.mark.parametrize(("name", "value"), [("seed", 7), ("stop", ["END"])])
def test_parameter_ignored(plan, name, value):
    made = plan(echo(backend={"use": "echo", "seed": False, "stop": False}, sampling={name: value}))
    assert made.findings == (
        Finding(
            "warning",
            "parameter-ignored",
            f"a sets {name!r}, which its backend scripted/echo does not take; it is not sent",
            ("a",),
            name,
            hint=f"remove `{name}` from its sampling",
            key="sampling",
        ),
    )
    assert made.compatible
    assert made.members[0].sampling == {}
    assert made.members[0].seed is None


@pytest.mark.parametrize(
    ("samples", "hint"),
    [(3, "write `samples: 2`, or `assign: balanced`"), (1, "write `samples: 2`, or `assign: balanced`")],
)
def test_samples_uneven(plan, samples, hint):
    assert plan(echo("a"), echo("b"), samples=samples).findings == (
        Finding(
            "error",
            "samples-uneven",
            f"{samples} samples cannot be shared by 2 members alike, which `assign: all` asks for",
            hint=hint,
        ),
    )
    assert plan(echo("a"), echo("b"), samples=samples, assign="balanced").findings == ()


@pytest.mark.parametrize(
    ("assign", "samples", "most"),
    [("all", 510, 255), ("all", 10_000, 5000), ("balanced", 509, 255), ("weighted", 255, 255), ("routed", 255, 255)],
)
def test_samples_many(plan, assign, samples, most):
    assert plan(echo("a"), echo("b"), samples=samples, assign=assign).findings == (
        Finding(
            "error",
            "samples-many",
            f"one member may have to give {most} samples for a row; 254 is the most",
            hint="lower `samples`",
        ),
    )


@pytest.mark.parametrize(
    ("assign", "samples"), [("all", 508), ("balanced", 508), ("weighted", 254), ("routed", 254), ("routed", None)]
)
def test_as_many_samples_as_a_member_can_give_are_fine(plan, assign, samples):
    assert plan(echo("a"), echo("b"), samples=samples, assign=assign).findings == ()


def test_many_routed_members_give_one_sample_each(plan):
    assert plan(*(echo(f"m{number}") for number in range(300)), assign="routed").findings == ()


# Routing


def test_when_unused(plan):
    assert plan(echo(when="text == 'x'")).findings == (
        Finding(
            "warning",
            "when-unused",
            "a has a `when`, which acts with `assign: routed` alone, not with `assign: all`",
            ("a",),
            hint="write `assign: routed`, or remove `when`",
        ),
    )


def test_no_more_is_said_of_a_when_that_does_not_act(plan):
    """What stands in it refuses nothing, be it a column that is not there or a place that a column lacks."""
    for when in ("sauce == 'x'", "text.sauce == 'x'"):
        made = plan(echo(when=when))
        assert ([finding.rule for finding in made.findings], made.compatible) == (["when-unused"], True)
        assert not plan(echo(when=when), assign="routed").compatible


def test_when_column(plan):
    made = plan(echo(when="sauce == 'x' or taste > 1"), assign="routed")
    assert made.findings == (
        Finding(
            "error",
            "when-column",
            "a's `when` reads 'sauce', 'taste', which no row has",
            ("a",),
            hint="the columns are text, prompt",
            key="when",
        ),
    )
    assert plan(echo(when="sauce == 'x'"), assign="routed", rows=None).findings == ()


def test_columns_that_may_come_later_refuse_nothing(plan):
    rows = [{"text": "t", "prompt": "p"}] * 100
    late = {"text": "t", "sauce": "x"}
    made = plan(echo(when="sauce == 'x'"), assign="routed", rows=[*rows, late])
    assert made.findings == (
        Finding(
            "warning",
            "when-column",
            "a's `when` reads 'sauce', which none of the first 100 rows has",
            ("a",),
            hint="the columns are text, prompt; a cell whose row lacks one that is read fails with the cause `render`",
            key="when",
        ),
    )
    assert (made.compatible, made.sample_complete) == (True, False)
    assert not made.signatures[0].columns_complete
    made = plan(echo(when="sauce == 'x'"), assign="routed", rows=rows)
    assert find(made, "when-column").level == "error"
    assert made.sample_complete
    assert made.signatures[0].columns_complete


def test_a_prompt_of_a_column_that_may_come_later_is_a_warning(plan):
    member = echo(task={"use": "echo", "column": "sauce"})
    rows = [{"text": "t"}] * 100
    found = find(plan(member, rows=[*rows, {"sauce": "x"}]), "render")
    assert (found.level, found.message) == (
        "warning",
        "a cannot make a prompt of the first row: the row has no column 'sauce'",
    )
    assert find(plan(member, rows=rows), "render").level == "error"
    assert find(plan(member, rows=[rows[0], {"sauce": "x"}, *rows]), "render").level == "error"


# Outputs


@pytest.mark.parametrize(
    "field", ["row_id", "member", "model", "task", "sample", "status", "cause", "message", "usage", "raw"]
)
def test_field_reserved(plan, field):
    assert plan(echo(outputs={field: "said"})).findings == (
        Finding(
            "error",
            "field-reserved",
            f"the output field {field!r} has the name of a part that every generation carries",
            ("a",),
            field,
            hint="give it another name in the member's `outputs:`",
            fix=f"outputs: {{my_{field}: said}}",
        ),
    )


def test_column_taken(plan):
    rows = [{"text": "t", "generations": 1, "said": 1, "model": 1, "raw": 1}]
    taken = {
        layout: [(found.field, found.message) for found in plan(echo(), rows=rows, output=output).findings]
        for layout in ("nested", "columns", "long")
        for output in [{"path": "out.json", "layout": layout}]
    }
    assert taken == {
        "nested": [
            ("generations", "the rows have a column 'generations', which the layout 'nested' writes itself"),
        ],
        "columns": [
            ("model", "the rows have a column 'model', which the layout 'columns' writes itself"),
            ("said", "the rows have a column 'said', which the layout 'columns' writes itself"),
        ],
        "long": [],
    }
    found = find(
        plan(echo(), rows=[{"text": "t", "raw": 1}], output={"path": "o.json", "layout": "columns", "raw": True}),
        "column-taken",
    )
    assert (found.level, found.field, found.hint) == ("error", "raw", "rename the column, or choose another layout")


@pytest.mark.parametrize(
    ("output", "taken"),
    [
        ("rows.json", "rows"),
        ("./sub/../rows.json", "rows"),
        ("link.json", "rows"),
        ("hard.json", "rows"),
        ("recipe.json", "recipe"),
        ("other.json", None),
        ("sub/rows.json", None),
    ],
)
def test_output_taken(registry, tmp_path, monkeypatch, output, taken):
    (tmp_path / "sub").mkdir()
    (tmp_path / "rows.json").write_text('[{"text": "t"}]')
    (tmp_path / "link.json").symlink_to("rows.json")
    (tmp_path / "hard.json").hardlink_to(tmp_path / "rows.json")
    (tmp_path / "recipe.json").write_text(
        f"rows: rows.json\noutput: {output}\n"
        "pool: {policies: [], members: [{name: a, backend: echo, task: echo}]}\n"
    )
    monkeypatch.chdir(tmp_path / "sub")
    recipe, source = load_recipe(Path("../recipe.json"))
    found = make_plan(recipe, registry, source).findings
    if taken is None:
        assert found == ()
        return
    assert found == (
        Finding(
            "error",
            "output-taken",
            f"the output {str(Path(output))!r} is the {taken} file itself, which would be lost",
            hint="give the output another name",
        ),
    )


def test_columns_are_not_taken_where_no_file_is_written(plan):
    assert plan(echo(), rows=[{"text": "t", "generations": 1}]).findings == ()


# Order


def test_findings_and_schema_are_the_same_for_every_order_of_members(plan):
    def grumble(members):
        yield Finding("warning", "grumble", " ".join(member.name for member in members))

    members = [
        echo("a", backend=TEXT_BACKEND, when="nothing == 1"),
        echo("b", outputs={"model": "said"}, sampling={"seed": 1}, backend={"use": "echo", "seed": False}),
        code("c", prompt_format="lines"),
        echo("d", task={"use": "echo", "column": "missing"}),
    ]
    made = [plan(*order, policies=(grumble,), samples=6) for order in permutations(members)]
    assert len({plan.findings for plan in made}) == 1
    assert len({tuple(plan.schema.items()) for plan in made}) == 1
    assert [found.rule for found in made[0].findings] == [
        "field-reserved",
        "format-missing",
        "format-unused",
        "render",
        "samples-uneven",
        "grumble",
        "parameter-ignored",
        "when-unused",
    ]


def test_the_schema_holds_every_field_of_every_member(plan):
    made = plan(echo(), code())
    assert dict(made.schema) == {
        "code": FieldType("str", nullable=True),
        "said": FieldType("str", nullable=True),
    }


def test_types_that_conflict_are_any(plan):
    class Number(CodeTask):
        class Output(CodeTask.Output):
            code: int

    made = [plan(*order) for order in permutations([code("a"), code("b", task=Number()), code("c")])]
    assert {plan.schema["code"] for plan in made} == {ANY}


def test_no_members_have_no_schema():
    assert merge_schema([]) == {}


def test_some_rows_without_a_prompt_are_a_warning(plan):
    made = plan(echo(), rows=[{"text": "a"}, {"text": 1}, {"text": "b"}, {"text": None}])
    (finding,) = made.findings
    assert (finding.level, finding.rule, finding.key) == ("warning", "render-some", "task")
    assert finding.message == (
        "a cannot make a prompt of 2 of the first 4 rows, the first of them row 2: "
        "the column 'text' must hold text, not int"
    )
    assert made.compatible


def test_a_slow_policy_is_reported(plan, monkeypatch):
    ticks = iter([0.0, 2.5, 3.0, 3.1])
    monkeypatch.setattr(judge, "perf_counter", lambda: next(ticks))
    (finding,) = plan(echo(), policies=(lambda members: (), lambda members: ())).findings
    assert (finding.level, finding.rule) == ("warning", "check-slow")
    assert finding.message == "the policy '<lambda>' took 2.5 s; a check may take 1 s"


@pytest.mark.parametrize("said", [False, 0, "", b"", {}])
def test_what_is_false_is_not_nothing(plan, said):
    (finding,) = plan(echo(), policies=(lambda members: said,)).findings
    assert (finding.level, finding.rule) == ("error", "policy-failed")
    assert finding.message.endswith(f"TypeError: it returned {type(said).__name__} instead of findings")


@pytest.mark.parametrize("error", [CancelledError, GeneratorExit, type("Own", (BaseException,), {})])
def test_a_policy_that_raises_anything_is_told_of(plan, error):
    def break_down(members):
        raise error("no")

    (finding,) = plan(echo(), policies=(break_down,)).findings
    assert (finding.rule, finding.message) == (
        "policy-failed",
        f"the policy 'break_down' failed: {error.__name__}: no",
    )


def test_the_key_of_a_finding_is_text(plan):
    (finding,) = plan(echo(), policies=(lambda members: [Finding("info", "x", "y", key=["z"])],)).findings
    assert finding.message.endswith("TypeError: the key of a finding is text, not ['z']")
