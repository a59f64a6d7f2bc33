"""What is shown after a run and a check, in a wide and a narrow console; foreign text acts on nothing."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, create_model
from rich.cells import cell_len
from rich.console import Console

from pool_core.interfaces.values import Finding
from pool_core.plan.build import make_plan
from pool_core.plan.rows import MemoryRows
from pool_core.recipe.models import Recipe
from pool_core.recipe.yaml_source import Source
from pool_core.report.annotations import write_annotations
from pool_core.report.findings import print_findings, print_matrix
from pool_core.report.lines import count, indent_rest
from pool_core.report.summary import MemberSummary, RunSummary
from pool_core.report.tables import print_summary
from pool_core.testing.scripted import EchoTask, ScriptedBackend, make_registry

HOSTILE = "\x1b[31mred\x1b[0m [red]x[/x] [/] \u202etxet \x9b2J\r\ncomplete: forged\n\nrun: forged"
HARMLESS = "\\x1b[31mred\\x1b[0m [red]x[/x] [/] \\u202etxet \\x9b2J\\r\n  complete: forged\n  \n  run: forged"


def show(print_something, *arguments, width=200, terminal=False):
    stream = io.StringIO()
    console = Console(
        file=stream,
        width=width,
        highlight=False,
        force_terminal=terminal,
        color_system="standard" if terminal else None,
    )
    print_something(console, *arguments)
    return stream.getvalue()


def make_member(
    name="ann", *, cells=3, ok=3, failed=None, pending=0, reused=0, requests=3, tokens=(0, 0), stopped="", cost=None
):
    return MemberSummary(name, cells, ok, failed or {}, pending, reused, requests, 0, *tokens, stopped, cost)


def make_summary(status, *members, output=Path("out.jsonl"), notes=(), limit=""):
    return RunSummary(status, 3, 2.04, members, Path("runs/x"), output, notes, limit)


def test_a_complete_run():
    member = make_member(cells=12_000, ok=12_000, reused=2000, requests=10_000, tokens=(1_234_567, 7))
    assert show(print_summary, make_summary("complete", member), "pool run x") == (
        "3 rows, 2.0 s\n"
        "┏━━━━━━━━┳━━━━━━━━┳━━━━━━━━┳━━━━━━━━┳━━━━━━━━━┳━━━━━━━━┳━━━━━━━━━━┳━━━━━━━━━━━┳━━━━━━━━━━━━┓\n"
        "┃ member ┃  cells ┃     ok ┃ failed ┃ pending ┃ reused ┃ requests ┃ tokens in ┃ tokens out ┃\n"
        "┡━━━━━━━━╇━━━━━━━━╇━━━━━━━━╇━━━━━━━━╇━━━━━━━━━╇━━━━━━━━╇━━━━━━━━━━╇━━━━━━━━━━━╇━━━━━━━━━━━━┩\n"
        "│ ann    │ 12,000 │ 12,000 │      0 │       0 │  2,000 │   10,000 │ 1,234,567 │          7 │\n"
        "└────────┴────────┴────────┴────────┴─────────┴────────┴──────────┴───────────┴────────────┘\n"
        "complete: every cell is ok\n"
        "run: runs/x\n"
        "output: out.jsonl\n"
    )


@pytest.mark.parametrize(
    ("summary", "end"),
    [
        (
            make_summary("partial", make_member(ok=2, failed={"parse": 1})),
            (
                "partial: 1 cell failed; `message` in the output says why\n"
                "ask again for what got no answer with: pool run x\n"
            ),
        ),
        (
            make_summary("partial", make_member(ok=0, failed={"auth": 2}, pending=1, stopped="no key\n  set it")),
            (
                "ann was stopped: no key\n  set it\n"
                "partial: 2 cells failed; `message` in the output says why. 1 cell pending\n"
                "go on with: pool run x\n"
            ),
        ),
        (
            make_summary("limited", make_member(ok=1, pending=2), limit="the budget is reached: raise it"),
            "the budget is reached: raise it\nlimited: 2 cells pending\ngo on with: pool run x\n",
        ),
        (
            make_summary("interrupted", make_member(ok=1, pending=2), notes=("a hook failed",)),
            "note: a hook failed\ninterrupted: 2 cells pending\ngo on with: pool run x\n",
        ),
        (
            make_summary("partial", make_member(ok=0, failed={"parse": 1, "timeout": 2}), output=None),
            (
                "partial: 3 cells failed; `message` in what `pool export` writes says why\n"
                "ask again for what got no answer with: pool run x\n"
            ),
        ),
    ],
)
def test_how_other_runs_end(summary, end):
    shown = show(print_summary, summary, "pool run x")
    output = "" if summary.output is None else "output: out.jsonl\n"
    assert shown.partition("┘\n")[2] == f"{end}run: runs/x\n{output}"


def test_what_it_cost_stands_last_where_it_is_known():
    members = make_member(cost=1234.5), make_member("bob", cost=0.00012), make_member("cyd")
    lines = show(print_summary, make_summary("complete", *members), "").splitlines()
    assert [line.split("│")[-2].strip() for line in lines if line.startswith("│")] == [
        "$1,234.50",
        "$0.0001",
        "unknown",
    ]
    assert "cost" in lines[2]
    assert "cost" not in show(print_summary, make_summary("complete", make_member()), "")


def test_causes_stand_below_each_other():
    shown = show(print_summary, make_summary("partial", make_member(ok=0, failed={"parse": 1, "timeout": 2})), "")
    assert "│ ann    │     3 │  0 │   1 parse │ " in shown
    assert "│        │       │    │ 2 timeout │ " in shown


def test_a_console_that_the_table_does_not_fit_gets_sentences():
    member = make_member(
        ok=0, failed={"parse": 1200, "timeout": 1}, pending=4, reused=5, requests=1, tokens=(1234, 5), cost=2.5
    )
    shown = show(print_summary, make_summary("partial", member, make_member("bob")), "pool run x", width=60)
    assert shown.startswith(
        "3 rows, 2.0 s\n"
        "ann: 3 cells: 0 ok, 1,200 failed (parse), 1 failed\n"
        "  (timeout), 4 pending, 5 reused, 1 request, 1,234 tokens\n"
        "  in, 5 out, $2.50\n"
        "bob: 3 cells: 3 ok, 3 requests, 0 tokens in, 0 out\n"
    )


@pytest.mark.parametrize("width", [20, 40, 60, 84, 85, 86, 87, 100])
def test_no_figure_is_ever_cut(width):
    member = make_member("a-rather-long-name", tokens=(123_456_789, 987_654_321))
    shown = show(print_summary, make_summary("complete", member), "", width=width)
    assert "…" not in shown
    for figure in ("a-rather-long-name", "123,456,789", "987,654,321"):
        assert figure in shown


def test_what_is_to_be_copied_is_not_broken():
    summary = make_summary("interrupted", make_member(ok=2, pending=1), output=Path("a/long/path/to/output.jsonl"))
    shown = show(print_summary, summary, "pool run some/recipe.yaml --run-dir a/b", width=20, terminal=True)
    assert "go on with: pool run some/recipe.yaml --run-dir a/b\n" in shown
    assert "output: a/long/path/to/output.jsonl\n" in shown


@pytest.mark.parametrize("width", [60, 200])
@pytest.mark.parametrize("terminal", [False, True])
def test_hostile_text_in_a_summary_acts_on_nothing(width, terminal):
    member = make_member(ok=0, pending=3, stopped=HOSTILE)
    summary = make_summary("limited", member, notes=(HOSTILE,), limit=HOSTILE)
    shown = show(print_summary, summary, "pool run x", width=width, terminal=terminal)
    assert "\u202e" not in shown
    assert "\x9b" not in shown
    assert "\r" not in shown
    assert "\x1b[31mred" not in shown
    assert "[red]x[/x] [/]" in shown
    assert "complete: forged" not in shown.splitlines()
    if not terminal:
        assert f"ann was stopped: {HARMLESS}\nnote: {HARMLESS}\n{HARMLESS}\nlimited: 3 cells pending\n" in shown


def test_long_foreign_text_is_cut():
    shown = show(print_summary, make_summary("partial", make_member(ok=0, pending=3, stopped="x" * 5000)), "")
    (line,) = [line for line in shown.splitlines() if line.startswith("ann was stopped: ")]
    assert line == "ann was stopped: " + "x" * 999 + "…"


# Checks


def make_member_of(name, **fields):
    return {"name": name, "backend": ScriptedBackend(lambda _request: ""), "task": EchoTask(), **fields}


def plan_pool(*members, policies=()):
    recipe = Recipe.model_validate({"pool": {"members": members, "policies": policies}})
    return make_plan(recipe, make_registry(), rows=MemoryRows([{"text": "x"}], None))


def make_plan_that_differs(level):
    plan = plan_pool(make_member_of("ann"), make_member_of("bob", outputs={"spoken": "said"}))
    return replace(plan, findings=(Finding(level, "output-names", "as the policies say"),))


def test_a_field_that_is_missing_and_may_be_is_null():
    shown = show(print_matrix, make_plan_that_differs("warning"))
    assert shown.count("- null") == 2
    assert "✗" not in shown


def test_an_error_about_something_else_marks_no_field():
    plan = replace(make_plan_that_differs("error"), findings=(Finding("error", "input-missing", "", ("ann",), "said"),))
    shown = show(print_matrix, plan)
    assert shown.count("- null") == 2
    assert "✗" not in shown


class Part(BaseModel):
    a: int


class Whole(Part):
    b: int | None = None


def make_struct_member(name, model):
    class Struct(EchoTask):
        Output = create_model("Output", x=(model, ...))

    return make_member_of(name, task=Struct())


@pytest.mark.parametrize(
    ("finding", "marks"),
    [
        (None, ["~", "~"]),
        (Finding("error", "output-type", "", ("bob",), "x"), ["✗", "✗"]),
        (Finding("warning", "output-type", "", ("bob",), "x"), ["~", "~"]),
        (Finding("error", "output-type", "", ("bob",), "y"), ["~", "~"]),
        (Finding("error", "contract-retyped", "", ("bob",), "x"), ["~", "✗"]),
        (Finding("error", "input-missing", "", ("bob",), "x"), ["~", "~"]),
    ],
)
def test_marks_are_those_of_the_verdict(finding, marks):
    plan = plan_pool(make_struct_member("ann", Part), make_struct_member("bob", Whole))
    shown = show(print_matrix, replace(plan, findings=() if finding is None else (finding,)))
    (row,) = [line for line in shown.splitlines() if line.startswith("│ x ")]
    assert [cell.split()[0] for cell in row.split("│")[2:4]] == marks


def test_names_of_fields_act_on_nothing():
    plan = plan_pool(make_member_of("ann", constant={"e\x1b[31m\x07": 1, "nl\nfake ✗ error\t": 2}))
    for width in (30, 200):
        shown = show(print_matrix, plan, width=width)
        assert not any(character in shown for character in "\x1b\x07\t")
        assert not any(line.startswith("fake") for line in shown.splitlines())
        assert "e\\x1b[31m\\x07" in shown


def test_many_members_and_fields_are_shown_in_part_the_ones_with_errors_first():
    members = [make_member_of(f"m{number}", constant={f"f{number:02}": 1}) for number in range(60)]
    error = Finding("error", "output-type", "", tuple(f"m{number}" for number in range(60))[-12:], "f59")
    plan = replace(plan_pool(*members), findings=(error,))
    shown = show(print_matrix, plan, width=10_000)
    assert shown.endswith("and 10 members and 11 fields more; `pool check --json` has all\n")
    rows = [line.split()[1] for line in shown.splitlines() if line.startswith("│")]
    assert rows == [f"f{number:02}" for number in range(49)] + ["f59"]
    head = next(line for line in shown.splitlines() if " m59 " in line)
    assert head.split()[2:-1:2] == [f"m{number}" for number in [*range(38), *range(48, 60)]]
    told = show(print_findings, plan, [replace(error, fix="drop: []")], width=10_000)
    assert "m57 and 2 more:" in told
    assert "pool.members[57] and 2 more" in told


def test_of_many_findings_the_first_are_shown():
    plan = plan_pool(make_member_of("ann"))
    shown = show(print_findings, plan, [Finding("info", "a-rule", f"no. {number}") for number in range(120)])
    assert shown.count("a-rule") == 100
    assert shown.endswith("i info: no. 99  [a-rule]\nand 20 findings more; `pool check --json` has all\n")


def test_a_finding_about_a_member_that_is_not_there_stands_at_the_pool():
    source = Source(Path("recipe.yaml"), {("pool",): 2, ("pool", "members", 0): 5, ("pool", "members", 0, "task"): 6})
    plan = replace(plan_pool(make_member_of("ann")), source=source)
    findings = [
        Finding("error", "a-rule", "no", ("nobody\x1b",), fix="x: 1"),
        Finding("info", "a-rule", "no", ("ann",), key="task.template"),
    ]
    assert list(write_annotations(plan, findings)) == [
        "::error file=recipe.yaml,line=2,title=a-rule::no%0Ax: 1",
        "::notice file=recipe.yaml,line=6,title=a-rule::no",
    ]
    assert "write, in nobody\\x1b:" in show(print_findings, plan, findings)


def test_a_field_that_members_give_differently_is_marked():
    plan = make_plan_that_differs("error")
    assert show(print_matrix, plan) == (
        "output fields\n"
        "┏━━━━━━━━┳━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━┳━━━━━━━━┓\n"
        "┃        ┃ ann       ┃ bob             ┃        ┃\n"
        "┃ field  ┃ EchoTask  ┃ EchoTask        ┃ merged ┃\n"
        "┡━━━━━━━━╇━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━╇━━━━━━━━┩\n"
        "│ said   │ str       │ ✗ missing       │ str?   │\n"
        "│ spoken │ ✗ missing │ str (from said) │ str?   │\n"
        "└────────┴───────────┴─────────────────┴────────┘\n"
    )
    coloured = show(print_matrix, plan, terminal=True)
    assert "\x1b[31m✗ missing" in coloured
    assert "\x1b[32m" in show(print_matrix, plan_pool(make_member_of("ann")), terminal=True)


@pytest.mark.parametrize("width", [20, 40, 48, 49, 50])
def test_a_matrix_is_never_cut(width):
    shown = show(print_matrix, make_plan_that_differs("error"), width=width)
    assert "…" not in shown
    assert " ".join(shown.split()).count("✗ missing") == 2
    assert max(map(cell_len, shown.splitlines())) <= width
    assert ("━" in shown) == (width >= 49)


def test_a_finding_in_full():
    plan = plan_pool(make_member_of("ann"), make_member_of("bob"))
    finding = Finding(
        "warning", "a-rule", "They differ.", ("ann", "bob"), hint="Do this.", fix="outputs:\n  said: spoken"
    )
    assert show(print_findings, plan, [finding]) == (
        "! warning: They differ.  [a-rule]\n"
        "    at pool.members[0], pool.members[1]\n"
        "    Do this.\n"
        "    write, in ann, bob:\n"
        "        outputs:\n"
        "          said: spoken\n"
    )


def test_a_finding_about_the_whole_pool():
    plan = plan_pool(make_member_of("ann"))
    assert show(print_findings, plan, [Finding("info", "a-rule", "So it is.", fix="samples: 2")]) == (
        "i info: So it is.  [a-rule]\n    write, in the pool:\n        samples: 2\n"
    )


def test_a_finding_in_a_narrow_console_keeps_its_indent():
    plan = plan_pool(make_member_of("ann"))
    finding = Finding("error", "a-rule", "one two three four five six", hint="seven eight nine ten eleven")
    assert show(print_findings, plan, [finding], width=24) == (
        "✗ error: one two\n    three four five six\n    [a-rule]\n    seven eight nine ten\n    eleven\n"
    )


def test_hostile_text_in_a_finding_acts_on_nothing():
    plan = plan_pool(make_member_of("ann"))
    finding = Finding("error", HOSTILE, HOSTILE, ("ann",), hint=HOSTILE, fix=HOSTILE)
    shown = show(print_findings, plan, [finding])
    assert not any(character in shown for character in "\x1b\u202e\x9b\r")
    assert "[red]x[/x] [/]" in shown
    assert all(line.startswith(("✗ error: ", "    ")) for line in shown.splitlines() if line.strip())


# Lines


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 cells"), (1, "1 cell"), (2, "2 cells"), (1_000_000, "1,000,000 cells")]
)
def test_counts(number, words):
    assert count(number, "cell") == words


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one", "one"),
        ("one\ntwo\n  three\n    four", "one\n  two\n  three\n    four"),
        (HOSTILE, HARMLESS),
        ("", ""),
    ],
)
def test_all_lines_but_the_first_are_indented(text, shown):
    assert indent_rest(text) == shown


@given(st.text())
def test_no_line_can_be_forged(text):
    first, *rest = indent_rest(text).splitlines() or [""]
    assert all(line.startswith("  ") for line in rest)
    assert not {"Cc", "Cf", "Cs", "Zl", "Zp"} & {category(character) for character in first.replace("\t", "")}
