"""The policy contract: what breaks a reader is an error with its fix, what does not is said."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pool_standard.policies.contract import Contract, ContractConfig
from pydantic import ValidationError

from pool_core.interfaces.contract import write_contract
from pool_core.interfaces.policy import MemberSignature, merge_schema
from pool_core.interfaces.type_text import parse_type
from pool_core.recipe.yaml_source import read_yaml


class Text:
    pass


def make_member(name: str, **outputs: str) -> MemberSignature:
    types = {field: parse_type(text) for field, text in outputs.items()}
    return MemberSignature(name, "standard/text", Text, {}, types, {field: field for field in outputs}, types)


@pytest.fixture
def build(tmp_path):
    def build(text: str) -> Contract:
        path = tmp_path / "contract.yaml"
        path.write_text(text, encoding="utf-8")
        return Contract.build(ContractConfig(path=path), [])

    return build


@pytest.fixture
def judge(build):
    def judge(fields: str, *members: MemberSignature) -> list:
        found = list(build(f"contract: 1\nfields: {fields}\n").judge(members))
        assert all(list(build(f"contract: 1\nfields: {fields}\n").judge(o)) == found for o in permutations(members))
        return found

    return judge


def describe(findings: list) -> list:
    return [(finding.level, finding.rule, finding.field, finding.members, finding.fix) for finding in findings]


def test_the_contract_of_the_members_holds(build):
    members = [make_member("a", x="str", y="{k: int}"), make_member("b", x="'A' | 'B'", y="{}")]
    assert list(build(write_contract(merge_schema(members))).judge(members)) == []


def test_a_pool_without_members_breaks_nothing(judge):
    assert judge("{x: str}") == []


def test_a_new_field_is_told(judge):
    (finding,) = judge('{x: "str?"}', make_member("b", x="str", y="int"), make_member("a", x="str"))
    assert describe([finding]) == [("info", "contract-added", "y", ("b",), "")]
    assert finding.message == ("contract.yaml does not have the field 'y' (int?), which 'b' (standard/text) gives.")
    assert (finding.hint, finding.source) == (
        "No reader breaks. `pool contract write RECIPE --force` takes it up.",
        "contract",
    )


def test_a_narrower_type_is_told(judge):
    (finding,) = judge('{x: "float?"}', make_member("a", x="int"))
    assert describe([finding]) == [("info", "contract-narrowed", "x", ("a",), "")]
    assert finding.message == ("contract.yaml has the field 'x' as float?; it is only int? in 'a' (standard/text).")


def test_a_field_that_is_gone_is_an_error_and_comes_back_as_null(judge):
    (finding,) = judge('{x: "str?", y: "int?"}', make_member("b", x="str"), make_member("a", x="str"))
    assert describe([finding]) == [("error", "contract-removed", "y", ("a", "b"), "constant: {y: null}")]
    assert finding.message == "contract.yaml has the field 'y' (int?), and no member gives it."
    assert finding.hint == "Add the fix to 'a' and 'b': it gives 'y' as null."


def test_a_field_that_is_gone_comes_back_under_its_name(judge):
    found = judge('{x: "str?"}', make_member("a", z="str"), make_member("b", w="int"))
    assert describe(found) == [
        ("info", "contract-added", "w", ("b",), ""),
        ("error", "contract-removed", "x", ("a",), "outputs: {x: z}"),
        ("error", "contract-removed", "x", ("b",), "constant: {x: null}"),
        ("info", "contract-added", "z", ("a",), ""),
    ]


def test_a_field_of_another_type_names_the_members_that_cause_it(judge):
    found = judge('{x: "float?"}', make_member("a", x="int"), make_member("b", x="str"), make_member("c", x="bool?"))
    assert describe(found) == [
        ("error", "contract-retyped", "x", ("b",), "cast: {x: float}"),
        ("error", "contract-retyped", "x", ("c",), 'cast: {x: "float?"}'),
    ]
    assert found[0].message == (
        "contract.yaml has the field 'x' as float?, which does not hold: str in 'b' (standard/text)."
    )
    assert found[0].hint == "Add the fix to 'b': it casts 'x' to float. A value that cannot be cast fails its cell."


@pytest.mark.parametrize(
    ("contract", "output", "fix"),
    [
        ("list[str]?", "str", "collect: [x]"),
        ("list[str]?", "list[int]", 'cast: {x: "list[str]"}'),
        ("str?", "{k: int}", "cast: {x: str}"),
        ("str?", "any", 'cast: {x: "str?"}'),
        ("map[float]?", "{k: int}", 'cast: {x: "map[float]"}'),
        ("'A' | 'B'?", "str", "cast: {x: \"'A' | 'B'\"}"),
    ],
)
def test_a_type_is_cast_to_the_contracts(judge, contract, output, fix):
    (finding,) = judge(f'{{x: "{contract}"}}', make_member("a", x=output))
    assert (finding.rule, finding.fix) == ("contract-retyped", fix)


def test_a_cast_that_breaks_the_contract_is_taken_back(judge):
    member = replace(make_member("a", x="str"), adapters={"cast": {"x": "int"}}, outputs={"x": parse_type("int")})
    (finding,) = judge('{x: "str?"}', member)
    assert finding.fix == "cast: {}"
    assert finding.hint == "Add the fix to 'a' in place of `cast`: it no longer casts 'x'."


def test_what_cannot_be_cast_is_said(judge):
    (finding,) = judge('{x: "{k: int}?"}', make_member("a", x="str"))
    assert describe([finding]) == [("error", "contract-retyped", "x", ("a",), "")]
    assert finding.hint == (
        "No adapter makes it {k: int}?: change the task, or have the readers agree "
        "and write the contract anew with `pool contract write RECIPE --force`."
    )


def test_a_contract_without_null_cannot_be_kept(judge):
    (finding,) = judge("{x: str}", make_member("a", x="str"))
    assert describe([finding]) == [("error", "contract-retyped", "x", (), "")]
    assert finding.message == "contract.yaml has the field 'x' as str, and it can be null."
    assert finding.hint == "Every field is null where its cell failed: write `x: str?` in contract.yaml."
    rules = [finding.rule for finding in judge("{x: str}", make_member("a"))]
    assert rules == ["contract-removed", "contract-removed"]


def test_the_contract_is_beside_the_recipe(tmp_path):
    (tmp_path / "c.yaml").write_text("contract: 1\nfields: {x: 'str?'}\n")
    config = ContractConfig.model_validate({"path": "c.yaml"}, context={"folder": tmp_path})
    assert Contract.build(config, []).schema == {"x": parse_type("str?")}
    with pytest.raises(ValidationError):
        ContractConfig.model_validate({})


def test_a_contract_that_is_missing_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"there is no contract .*none\.yaml; make it with `pool contract write RECIPE`"
    ):
        Contract.build(ContractConfig(path=tmp_path / "none.yaml"), [])


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_contract_that_cannot_be_read_is_refused(tmp_path, content):
    path = tmp_path / "contract.yaml"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(ValueError, match=r"contract\.yaml cannot be read: .*; correct it, or make it anew: pool"):
        Contract.build(ContractConfig(path=path), [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: ]",
            r"contract\.yaml:1: this is no YAML: .*; correct it, or make it anew: pool contract write RECIPE --force$",
        ),
        ("contract: 1\nfields: &a {}\nx: *a\n", r"contract\.yaml:3: the alias .*; correct it, or make it anew"),
        (
            "fields: {}",
            r"contract\.yaml:1: a contract has the keys .*; correct it, or make it anew: pool contract write RECIPE",
        ),
        (
            "contract: 1\nfields: {x: strr}\n",
            r"contract\.yaml:2: the type of 'x': 'strr' is no type.*; correct it, or make",
        ),
    ],
)
def test_a_file_that_is_no_contract_is_refused(build, text, message):
    with pytest.raises(ValueError, match=message):
        build(text)


TYPES = st.sampled_from(["str", "int", "float?", "any", "list[str]", "{k: int}", "{}", "null", "map[int]", "'A' | 'B'"])
OUTPUTS = st.dictionaries(st.sampled_from("xyz"), TYPES, max_size=3)


@given(contract=OUTPUTS, pool=st.lists(OUTPUTS, min_size=1, max_size=4))
def test_errors_say_exactly_that_not_every_value_fits(contract, pool):
    members = [make_member(name, **outputs) for name, outputs in zip("abcd", pool, strict=False)]
    schema = {field: parse_type(text) for field, text in contract.items()}
    policy = Contract(ContractConfig(path="contract.yaml"), schema)
    verdicts = {tuple(policy.judge(order)) for order in permutations(members)}
    assert len(verdicts) == 1
    (found,) = verdicts
    own = Contract(ContractConfig(path="contract.yaml"), merge_schema(members))
    assert list(own.judge(members)) == []
    given_fields = {field for outputs in pool for field in outputs}
    removed = {finding.field for finding in found if finding.rule == "contract-removed"}
    assert removed == contract.keys() - given_fields
    assert {finding.field for finding in found if finding.rule == "contract-added"} == given_fields - contract.keys()


# inside of fields


def cure(findings, *members):
    """The members with what the findings propose."""
    fixes = {}
    for finding in findings:
        data = read_yaml(finding.fix, Path("fix"))[0]
        assert all(fixes.setdefault(name, data) == data for name in finding.members)
    return [
        replace(
            member,
            outputs={
                **member.outputs,
                **{name: parse_type(text) for name, text in fixes.get(member.name, {}).get("cast", {}).items()},
            },
        )
        for member in members
    ]


def test_a_field_that_is_new_inside_of_a_field_is_told(judge):
    (finding,) = judge('{x: "{a: int}?"}', make_member("a", x="{a: int, b: str}"), make_member("b", x="{a: int}"))
    assert (finding.level, finding.rule, finding.members) == ("info", "contract-added", ("a", "b"))
    assert finding.message == (
        "contract.yaml has the field 'x' as {a: int}?; in 'a' and 'b' "
        "(standard/text) there is more in it, {a: int, b: str?}?."
    )


def test_a_field_that_is_gone_inside_of_a_field_is_an_error_and_comes_back_as_null(judge):
    members = make_member("a", x="{a: int}"), make_member("b", x="{a: int}")
    found = judge('{x: "{a: int, b: str?}?"}', *members)
    assert describe(found) == [("error", "contract-retyped", "x", ("a", "b"), 'cast: {x: "{a: int, b: str?}"}')]
    assert judge('{x: "{a: int, b: str?}?"}', *cure(found, *members)) == []


def test_one_member_may_lack_what_another_gives(judge):
    assert (
        judge('{x: "{a: int, b: str?}?"}', make_member("a", x="{a: int}"), make_member("b", x="{a: int, b: str}")) == []
    )


def test_only_the_member_that_does_not_fit_is_named(judge):
    members = make_member("a", x="{a: int}"), make_member("b", x="{a: str, b: str}")
    found = judge('{x: "{a: int, b: str?}?"}', *members)
    assert [(finding.members, finding.fix) for finding in found] == [(("b",), 'cast: {x: "{a: int, b: str?}"}')]
    assert judge('{x: "{a: int, b: str?}?"}', *cure(found, *members)) == []


def test_any_inside_of_a_contract_is_anything(judge):
    (finding,) = judge('{x: "list[any]?"}', make_member("a", x="list[int]"))
    assert (finding.level, finding.rule) == ("info", "contract-narrowed")


def test_members_that_fit_alone_and_not_together_are_both_to_blame(judge):
    for contract, types in [
        ("list[any]?", ("list[int]", "list[str]")),
        ("{a: int}?", ("{a: int, z: int}", "{a: int, z: str}")),
    ]:
        members = [make_member(name, x=text) for name, text in zip("ab", types, strict=True)]
        found = judge(f"{{x: {contract!r}}}", *members)
        assert [finding.members for finding in found] == [("a", "b")]
        assert judge(f"{{x: {contract!r}}}", *cure(found, *members)) == []


def test_no_cast_is_proposed_that_no_value_survives(judge):
    (finding,) = judge("{x: 'null'}", make_member("a", x="int"))
    assert (finding.rule, finding.fix) == ("contract-retyped", "")
    assert finding.hint.startswith("No adapter makes it null")
