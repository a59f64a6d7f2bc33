"""The policies output-names, output-schema and output-union: which fields fit, in any order, and what they say."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, permutations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pool_standard.policies.outputs import OutputNames, OutputSchema, OutputSchemaConfig, OutputUnion

from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.policy import MemberSignature
from pool_core.interfaces.types import ANY, NULL, Conflict, FieldType, unify

INT, FLOAT, STR, BOOL = (FieldType(kind) for kind in ("int", "float", "str", "bool"))
NAMES, SCHEMA = OutputNames(PluginConfig()), OutputSchema(OutputSchemaConfig())
OPEN, UNION = OutputSchema(OutputSchemaConfig(open_structs=True)), OutputUnion(PluginConfig())
ALL = (NAMES, SCHEMA, OPEN, UNION)


class Text:
    pass


class Code:
    pass


def make_list(items: FieldType) -> FieldType:
    return FieldType("list", items=items)


def make_struct(**fields: FieldType) -> FieldType:
    return FieldType("struct", fields=tuple(sorted(fields.items())))


def make_member(name: str, task_class: type = Text, renames: dict | None = None, **outputs: FieldType):
    """A member whose fields have the task's own names, except those in ``renames``."""
    sources = {field: (renames or {}).get(field, field) for field in outputs}
    return MemberSignature(name, f"standard/{task_class.__name__.lower()}", task_class, {}, outputs, sources)


def apply_fixes(members: list[MemberSignature], findings: list) -> list[MemberSignature]:
    """The members with each fix pasted: it replaces all renames, and fields it does not name keep the task's name."""
    fixes = {}
    for finding in findings:
        if finding.fix:
            fixes |= dict.fromkeys(finding.members, yaml.safe_load(finding.fix)["outputs"])
    return [rename(member, fixes[member.name]) if member.name in fixes else member for member in members]


def rename(member: MemberSignature, outputs: dict[str, str]) -> MemberSignature:
    own = {source: member.outputs[name] for name, source in member.sources.items()}
    names = {source: name for name, source in outputs.items()}
    fields = {names.get(source, source): source for source in own}
    assert len(fields) == len(own)
    return replace(member, outputs={name: own[source] for name, source in fields.items()}, sources=fields)


# --- names


def test_equal_names_pass_whatever_the_classes_and_their_order():
    members = [make_member("a", Text, x=STR, y=INT), make_member("b", Code, y=INT, x=STR)]
    assert list(NAMES.judge(members)) == list(SCHEMA.judge(members)) == []


def test_tasks_with_several_outputs_pass():
    assert list(NAMES.judge([make_member(name, a=STR, b=STR, c=STR) for name in "xyz"])) == []


def test_a_rename_is_proposed_to_the_member_that_differs():
    members = [make_member("notus", Text, generation=STR), make_member("magicoder", Code, code=STR)]
    (finding,) = NAMES.judge(members)
    assert finding.message == (
        "'magicoder' (standard/code) gives 'code', while "
        "'notus' (standard/text) gives 'generation': 'generation' missing and 'code' extra."
    )
    assert (finding.level, finding.rule, finding.source) == ("error", "output-names", "output-names")
    assert (finding.members, finding.field) == (("magicoder",), "generation")
    assert finding.fix == "outputs: {generation: code}"
    assert finding.hint == "Add the fix to 'magicoder': it renames the task's own field to 'generation'."
    assert list(NAMES.judge(apply_fixes(members, [finding]))) == []


def test_the_names_of_most_members_count():
    members = [make_member("a", x=STR), make_member("b", x=STR), make_member("z", y=STR)]
    (finding,) = NAMES.judge(members)
    assert (finding.members, finding.fix) == (("z",), "outputs: {x: y}")


def test_in_a_tie_the_alphabetically_last_member_counts():
    members = [make_member("b", x=STR), make_member("c", x=STR), make_member("a", y=STR), make_member("d", y=STR)]
    (finding,) = NAMES.judge(members)
    assert (finding.members, finding.fix) == (("b", "c"), "outputs: {y: x}")


def test_a_proposal_keeps_other_renames_and_drops_one_that_is_undone():
    usual = make_member("z", a=STR, b=STR)
    other = make_member("m", renames={"a": "first", "x": "second"}, a=STR, x=STR)
    undone = make_member("n", renames={"a": "first", "c": "b"}, a=STR, c=STR)
    only = make_member("o", renames={"c": "b"}, a=STR, c=STR)
    assert next(iter(NAMES.judge([other, usual]))).fix == "outputs: {a: first, b: second}"
    assert next(iter(NAMES.judge([undone, usual]))).fix == "outputs: {a: first}"
    assert next(iter(NAMES.judge([only, usual]))).fix == "outputs: {}"


def test_members_of_one_group_with_different_fixes_have_a_finding_each():
    members = [make_member("a", x=STR), make_member("b", renames={"x": "own"}, x=STR)]
    members += [make_member(name, y=STR) for name in ("c", "d", "e")]
    found = [(finding.members, finding.fix) for finding in NAMES.judge(members)]
    assert found == [(("a",), "outputs: {y: x}"), (("b",), "outputs: {y: own}")]


@pytest.mark.parametrize(
    ("member", "differences", "field", "fix", "does"),
    [
        (make_member("a", x=STR), "'y' missing", "y", ["constant: {y: null}"], "gives 'y' as null"),
        (make_member("a", x=STR, y=INT, z=STR), "'z' extra", "z", ["drop: [z]"], "drops 'z'"),
        (
            make_member("a", x=STR, z=STR),  # the types of y and z conflict
            "'y' missing and 'z' extra",
            "y",
            ["drop: [z]", "constant: {y: null}"],
            "drops 'z' and gives 'y' as null",
        ),
        (
            make_member("a", u=STR, v=INT),
            "'x' and 'y' missing and 'u' and 'v' extra",
            "",
            ["outputs: {x: u, y: v}"],
            "renames the task's own field to 'x' and renames the task's own field to 'y'",
        ),
        (
            make_member("a", renames={"v": "own"}, u=STR, v=STR),  # either could be x
            "'x' and 'y' missing and 'u' and 'v' extra",
            "",
            ["outputs: {}", "drop: [own, u]", "constant: {x: null, y: null}"],
            "drops 'u', drops 'v', gives 'x' as null and gives 'y' as null",
        ),
        (
            make_member("a"),
            "'x' and 'y' missing",
            "",
            ["constant: {x: null, y: null}"],
            "gives 'x' as null and gives 'y' as null",
        ),
    ],
)
def test_a_member_is_given_the_names_of_most(member, differences, field, fix, does):
    (finding,) = NAMES.judge([member, make_member("b", x=STR, y=INT)])
    assert finding.message.endswith(f": {differences}.")
    assert (finding.members, finding.field, finding.fix.splitlines()) == (("a",), field, fix)
    assert finding.hint == f"Add the fix to 'a': it {does}."


def test_where_nothing_tells_what_gives_a_field_there_is_no_fix_and_both_sides_are_named():
    (finding,) = NAMES.judge([replace(make_member("a", x=STR, z=INT), sources={}), make_member("b", x=STR, y=INT)])
    assert (finding.members, finding.field, finding.fix) == (("a", "b"), "y", "")
    assert finding.hint == (
        "No fix can be proposed: nothing tells what gives 'z'. "
        "Rename fields with `outputs: {the pool's field: the task's own field}`, "
        "or choose tasks that give the same fields."
    )


def test_a_fix_says_which_keys_it_replaces():
    member = replace(make_member("a", z=STR), adapters={"constant": {"z": 1}, "drop": ("x",)}, sources={})
    (finding,) = NAMES.judge([member, make_member("b", x=STR)])
    assert finding.fix == "constant: {x: 1}"
    assert finding.hint == "Add the fix to 'a' in place of `constant`: it renames the constant 'z' to 'x'."


def test_a_value_that_no_recipe_can_write_has_no_fix():
    odd = replace(make_member("a", x=STR, y=ANY), sources={"x": "x"}, adapters={"constant": {"y": object()}})
    (finding,) = NAMES.judge([odd, make_member("b", x=STR, z=STR), make_member("c", x=STR, z=STR)])
    assert (finding.members, finding.fix) == (("a",), "constant: {z: null}")
    (finding,) = SCHEMA.judge([odd, make_member("b", x=STR, y=STR)])
    assert (finding.members, finding.fix) == (("a", "b"), "")
    assert finding.hint.startswith("No fix can be proposed: a constant has a value that YAML cannot hold. Declare 'y'")


def test_a_member_without_outputs_is_said_so():
    (finding,) = NAMES.judge([make_member("a"), make_member("b", x=STR)])
    assert "'a' (standard/text) gives no output field" in finding.message
    assert "gives no output field, while 'b'" in finding.message


def test_proposals_fit_each_other():
    members = [make_member(name, x=NULL) for name in "abc"] + [make_member("d", y=INT), make_member("e", z=STR)]
    fixes = [finding.fix for finding in NAMES.judge(members)]
    assert fixes == ["outputs: {x: y}", "drop: [z]\nconstant: {x: null}"]


# --- types


def test_types_that_unify_pass():
    literal = FieldType("literal", values=("a",))
    members = [make_member("a", x=INT, y=literal, z=NULL), make_member("b", x=FLOAT, y=STR, z=make_list(INT))]
    assert list(SCHEMA.judge(members)) == []


def test_types_that_conflict_are_refused():
    members = [
        make_member("b", Code, x=INT),
        make_member("a", x=STR),
        make_member("c", x=STR),
        make_member("d", x=NULL),
    ]
    (finding,) = SCHEMA.judge(members)
    assert finding.message == (
        "The types of the output field 'x' do not unify: str in 'a' and 'c' (standard/text); "
        "int in 'b' (standard/code)."
    )
    assert (finding.level, finding.rule, finding.source) == ("error", "output-type", "output-schema")
    assert (finding.members, finding.field, finding.fix) == (("b",), "x", "cast: {x: str}")
    assert finding.hint == "Add the fix to 'b': it casts 'x' to str."


def test_types_of_which_nothing_tells_what_gives_them_have_no_fix():
    members = [replace(make_member("b", x=INT), sources={}), replace(make_member("a", x=STR), sources={})]
    (finding,) = SCHEMA.judge(members)
    assert (finding.members, finding.fix) == (("a", "b"), "")
    assert finding.hint == (
        "No fix can be proposed: nothing tells what gives 'x'. "
        "Declare 'x' alike in these tasks. What unifies: int with float, literals with str, "
        "a type with its nullable form, structs with equal names."
    )


def test_members_with_different_fixes_for_one_field_have_a_finding_each():
    members = [make_member("a", x=INT), make_member("b", x=replace(INT, nullable=True)), make_member("c", x=STR)]
    found = [(finding.members, finding.fix, finding.message) for finding in SCHEMA.judge(members)]
    assert [entry[:2] for entry in found] == [(("a",), "cast: {x: str}"), (("b",), 'cast: {x: "str?"}')]
    assert len({entry[2] for entry in found}) == 1


def test_a_conflict_inside_a_field_has_its_path():
    members = [
        make_member("a", x=make_list(make_struct(u=STR, v=make_list(INT)))),
        make_member("b", x=make_list(make_struct(u=STR, v=make_list(STR)))),
    ]
    (finding,) = SCHEMA.judge(members)
    assert finding.message.endswith(" They differ at 'x[].v[]': int and str.")
    assert "list[{u: str, v: list[int]}] in 'a'" in finding.message


def test_names_and_types_are_both_reported():
    members = [make_member("a", x=INT, y=STR), make_member("b", x=STR, z=STR)]
    found = [(finding.rule, finding.members, finding.source, finding.fix) for finding in SCHEMA.judge(members)]
    fix = "outputs: {z: y}\ncast: {x: str}"
    assert found == [
        ("output-names", ("a",), "output-schema", fix),
        ("output-type", ("a",), "output-schema", fix),
    ]


def test_any_between_two_that_conflict_does_not_depend_on_names():
    for types in permutations([INT, ANY, STR]):
        members = [make_member(name, x=type_) for name, type_ in zip("abc", types, strict=True)]
        found = list(SCHEMA.judge(members))
        assert {finding.rule for finding in found} == {"output-type"}
        assert {name for finding in found for name in finding.members} == {
            name for name, type_ in zip("abc", types, strict=True) if type_ != STR
        }


def test_structs_with_different_names_unify_where_they_are_open():
    members = [make_member("a", x=make_struct(u=STR, v=INT)), make_member("b", x=make_struct(u=STR, w=INT))]
    (finding,) = SCHEMA.judge(members)
    assert (finding.members, finding.fix) == (("a", "b"), "cast: {x: str}")
    assert finding.hint == "Add the fix to 'a' and 'b': it writes 'x' as JSON text."
    assert list(OPEN.judge(members)) == list(UNION.judge(members)) == []
    conflict = [*members, make_member("c", x=make_struct(u=INT))]
    for policy in (OPEN, UNION):
        assert {finding.rule for finding in policy.judge(conflict)} == {"output-type"}


def test_a_union_takes_different_names_and_refuses_types_that_conflict():
    members = [make_member("a", x=INT, y=STR), make_member("b", z=STR), make_member("c")]
    assert list(UNION.judge(members)) == []
    (finding,) = UNION.judge([*members, make_member("d", z=INT)])
    assert (finding.rule, finding.source, finding.members) == ("output-type", "output-union", ("d",))
    assert finding.fix == "cast: {z: str}"


# --- both, over all orders

TYPES = st.recursive(
    st.sampled_from([INT, FLOAT, STR, BOOL, NULL, ANY]),
    lambda inner: st.builds(make_list, inner) | st.builds(lambda x: make_struct(k=x), inner),
    max_leaves=2,
)
OUTPUTS = st.dictionaries(st.sampled_from("uvwx"), TYPES, max_size=3)


@st.composite
def draw_members(draw) -> list[MemberSignature]:
    members = []
    for name in draw(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True)):
        outputs = draw(OUTPUTS)
        own = draw(st.permutations(["u", "v", "w", "x", "own1", "own2"]))
        sources = dict(zip(outputs, own, strict=False))
        members.append(MemberSignature(name, "standard/text", Text, {}, outputs, sources))
    return members


@given(members=draw_members())
def test_the_order_of_members_says_nothing(members):
    for policy in ALL:
        assert len({tuple(policy.judge(order)) for order in permutations(members)}) == 1


@given(members=draw_members())
def test_verdicts_follow_from_the_members(members):
    same_names = len({frozenset(member.outputs) for member in members}) == 1
    conflicts = {
        field
        for one, two in combinations(members, 2)
        for field in one.outputs.keys() & two.outputs.keys()
        if isinstance(unify(one.outputs[field], two.outputs[field]), Conflict)
    }
    assert (list(NAMES.judge(members)) == []) == same_names
    found = list(SCHEMA.judge(members))
    assert {finding.field for finding in found if finding.rule == "output-type"} == conflicts
    assert all(finding.rule != "output-names" for finding in found) == same_names


@given(outputs=OUTPUTS)
def test_one_member_or_none_always_passes(outputs):
    for policy in ALL:
        assert list(policy.judge([make_member("a", **outputs)])) == list(policy.judge([])) == []


@given(data=st.data(), size=st.integers(2, 4))
def test_fixes_cure_what_they_are_given_for(data, size):
    """Members that have one type behind one name, each in the pool's name or another one."""
    kept = data.draw(st.dictionaries(st.sampled_from("uv"), TYPES))
    members = []
    for name in "abcd"[:size]:
        field = data.draw(st.sampled_from(["w", "x", "own"]))
        own = data.draw(st.permutations(["u", "v", "w", "x", "own"]))
        outputs = {**kept, field: STR}
        members.append(MemberSignature(name, "t", Text, {}, outputs, dict(zip(outputs, own, strict=False))))
    for policy in (NAMES, SCHEMA):
        findings = [finding for finding in policy.judge(members) if finding.level == "error"]
        assert all(finding.fix for finding in findings)
        assert all(finding.rule == "output-unknown" for finding in policy.judge(apply_fixes(members, findings)))


def test_what_nobody_knows_is_told():
    members = [
        make_member("a", x=ANY, y=make_list(ANY), z=INT, only=ANY),
        make_member("b", x=ANY, y=make_list(ANY), z=INT),
        make_member("c", x=ANY, y=NULL, z=INT),
    ]
    found = list(UNION.judge(members))
    assert [(one.level, one.rule, one.field, one.members) for one in found] == [
        ("info", "output-unknown", "x", ("a", "b", "c")),
        ("info", "output-unknown", "y", ("a", "b")),
    ]
    assert found[0].message == ("Of the output field 'x' not all is known: any in 'a', 'b' and 'c' (standard/text).")
    assert found[0].hint == (
        "What is any in several members may be of different types: declare a type, or cast the field."
    )


def test_many_members_and_types_are_told_of_in_part():
    members = [make_member(f"m{number:04}", x=make_struct(**{f"f{number}": INT})) for number in range(300)]
    found = list(SCHEMA.judge(members))
    assert len(found[0].members) == 300
    assert found[0].message.count(" in 'm") == 10
    assert found[0].message.endswith("; and 290 types more.")
    assert "'m0019' and 280 more" in found[0].hint
    assert sum(len(finding.message) for finding in found) < 2000
