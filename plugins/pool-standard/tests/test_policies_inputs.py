"""The policy inputs: every column that a member needs exists, or is probably another one."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pool_standard.policies.inputs import Inputs

from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.policy import MemberSignature
from pool_core.interfaces.types import FieldType

POLICY = Inputs(PluginConfig())
STR = FieldType("str")


class Text:
    pass


def make_member(name: str, inputs: dict[str, str], columns: tuple[str, ...] | list[str] | None) -> MemberSignature:
    types = None if columns is None else dict.fromkeys(columns, STR)
    return MemberSignature(name, "standard/text", Text, inputs, {}, {}, columns=types)


def judge(inputs: dict[str, str], *columns: str) -> list:
    return list(POLICY.judge([make_member("a", inputs, columns)]))


def test_columns_that_exist_pass():
    assert judge({"instruction": "prompt"}, "prompt", "id") == []


def test_nothing_is_said_where_no_rows_are_known():
    assert list(POLICY.judge([make_member("a", {"instruction": "instruction"}, None)])) == []
    assert list(POLICY.judge([])) == []


def test_a_similar_column_is_proposed():
    (finding,) = judge({"instruction": "instruction"}, "id", "Instructions", "source")
    assert finding.message == (
        "'a' (standard/text) needs the column 'instruction' for its input 'instruction', "
        "and the rows only have 'Instructions', 'id' and 'source'."
    )
    assert (finding.level, finding.rule, finding.source) == ("error", "input-missing", "inputs")
    assert (finding.members, finding.field, finding.key) == (("a",), "instruction", "task")
    assert finding.fix == "inputs: {instruction: Instructions}"
    assert (
        finding.hint
        == "Did you mean 'Instructions'? Add the fix to the member: it reads 'instruction' from that column."
    )


def test_a_column_that_may_come_later_is_a_warning():
    member = replace(make_member("a", {"topic": "topic"}, ["prompt", "text"]), columns_complete=False)
    (finding,) = POLICY.judge([member])
    assert (finding.level, finding.rule) == ("warning", "input-missing")
    assert finding.message == (
        "'a' (standard/text) needs the column 'topic' for its input 'topic', and the first rows "
        "only have 'prompt' and 'text'. Later rows may have it; cells of rows that lack it fail with the cause "
        "`render`."
    )


def test_a_member_that_is_asked_for_no_row_is_warned_of():
    (finding,) = POLICY.judge([replace(make_member("a", {"topic": "topic"}, ["prompt"]), asked=False)])
    assert (finding.level, finding.rule) == ("warning", "input-missing")
    assert finding.message == (
        "'a' (standard/text) needs the column 'topic' for its input 'topic', and the rows only have 'prompt'. "
        "Its `when` admits none of them."
    )


@pytest.mark.parametrize(
    ("wanted", "column"), [("text", "context"), ("instruction", "direction"), ("question", "description")]
)
def test_a_column_of_a_name_that_is_hardly_alike_is_not_proposed(wanted, column):
    assert judge({wanted: wanted}, column, "zzz")[0].fix == ""


@pytest.mark.parametrize("column", ["id", "ID", "row_id", "row-id", "rowId", "uuid", "doc.id", "primary_key", "index"])
def test_the_only_column_left_is_not_proposed_where_it_is_an_id(column):
    assert judge({"instruction": "instruction"}, column)[0].fix == ""


@pytest.mark.parametrize("column", ["grid", "monkey", "idea", "video"])
def test_a_column_that_only_ends_like_an_id_is_proposed(column):
    assert judge({"instruction": "instruction"}, column)[0].fix == f"inputs: {{instruction: {column}}}"


def test_the_only_column_left_is_proposed():
    assert judge({"instruction": "instruction"}, "prompt")[0].fix == "inputs: {instruction: prompt}"
    (finding,) = judge({"instruction": "instruction", "topic": "subject"}, "prompt", "subject")
    assert finding.fix == "inputs: {instruction: prompt, topic: subject}"


def test_nothing_is_proposed_where_nothing_is_plausible():
    (finding,) = judge({"instruction": "instruction"}, "prompt", "text")
    assert finding.fix == ""
    assert finding.hint == "Name the column with `inputs: {instruction: the column}`, or add the column to the rows."


def test_rows_without_columns_are_said_so():
    (finding,) = judge({"instruction": "instruction"})
    assert finding.message.endswith("and the rows have no columns.")
    assert finding.fix == ""


def test_a_mapping_that_is_wrong_is_undone():
    (finding,) = judge({"instruction": "question"}, "id", "instruction")
    assert finding.field == "question"
    assert finding.fix == "inputs: {}"


def test_the_finding_stands_where_the_recipe_names_the_column():
    member = replace(make_member("a", {"i": "no", "j": "j"}, ["x", "y"]), adapters={"inputs": {"i": "no"}})
    assert [(finding.field, finding.key) for finding in POLICY.judge([member])] == [
        ("no", "inputs.i"),
        ("j", "task"),
    ]


def test_several_missing_columns_have_one_fix_that_cures_all():
    findings = judge({"system": "sytem", "instruction": "instrution", "x": "x"}, "system", "instruction", "x", "id")
    assert [finding.field for finding in findings] == ["instrution", "sytem"]
    assert {finding.fix for finding in findings} == {"inputs: {}"}
    findings = judge({"a1": "column_one", "a2": "column_two", "a3": "zzz"}, "column_onee", "column_twoo", "b", "c")
    assert [finding.fix for finding in findings] == ["inputs: {a1: column_onee, a2: column_twoo, a3: zzz}"] * 2 + [""]


def test_one_column_is_not_proposed_twice():
    findings = judge({"prompt_a": "prompt_a", "prompt_b": "prompt_b"}, "prompt_c")
    assert [finding.fix for finding in findings] == ["inputs: {prompt_a: prompt_c}", ""]


def test_many_columns_are_not_all_listed():
    (finding,) = judge({"instruction": "instruction"}, *(f"c{number:03}" for number in range(100)))
    assert "'c029' and 70 more." in finding.message
    assert "'c030'" not in finding.message


def test_each_member_is_judged():
    members = [make_member(name, {"i": "missing"}, ["x", "y"]) for name in ("b", "a")]
    assert [finding.members for finding in POLICY.judge(members)] == [("a",), ("b",)]


COLUMNS = st.sampled_from(["prompt", "Prompt", "promt", "instruction", "id", "text", ""])
INPUTS = st.dictionaries(st.sampled_from(["instruction", "prompt", "system"]), COLUMNS, max_size=3)


@given(all_inputs=st.lists(INPUTS, min_size=1, max_size=4), columns=st.none() | st.lists(COLUMNS, unique=True))
def test_the_order_of_members_and_columns_says_nothing(all_inputs, columns):
    members = [make_member(f"m{number}", inputs, columns) for number, inputs in enumerate(all_inputs)]
    verdicts = {tuple(POLICY.judge(order)) for order in permutations(members)}
    turned = [make_member(m.name, m.inputs, columns and list(reversed(columns))) for m in members]
    assert verdicts == {tuple(POLICY.judge(turned))}


@given(inputs=INPUTS, columns=st.lists(COLUMNS, unique=True))
def test_fixes_cure_what_they_are_given_for(inputs, columns):
    findings = list(POLICY.judge([make_member("a", inputs, columns)]))
    assert {finding.field for finding in findings} == set(inputs.values()) - set(columns)
    for finding in findings:
        if finding.fix:
            mapping = yaml.safe_load(finding.fix)["inputs"]
            mapped = {name: mapping.get(name, name) for name in inputs}
            remaining = list(POLICY.judge([make_member("a", mapped, columns)]))
            assert len(remaining) == sum(not other.fix for other in findings)


@pytest.mark.parametrize("column", ["a\x1b[31m", "\ud800", "\n"])
def test_hostile_names_are_quoted(column):
    (finding,) = judge({"x": "x"}, column)
    assert finding.message.isprintable()
    assert finding.hint.isprintable()
    assert yaml.safe_load(finding.fix) == {"inputs": {"x": column}}
