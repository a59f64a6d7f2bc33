"""The words of findings: lists, members, and fixes that YAML reads back as they were meant."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pool_standard.policies.wording import describe_members, list_names, write_fix

from pool_core.interfaces.policy import MemberSignature


class Chat:
    pass


def test_names_are_listed_as_in_a_sentence():
    assert list_names(["a"]) == "'a'"
    assert list_names(["a", "b"]) == "'a' and 'b'"
    assert list_names(["a", "b", "c\n"]) == "'a', 'b' and 'c\\n'"


def test_members_of_one_task_are_described_together():
    members = [MemberSignature(name, f"standard/{name[0]}", Chat, {}, {}, {}) for name in ("c1", "d", "c2")]
    name = f"{__name__}.Chat"
    assert describe_members(members) == f"'c1' and 'c2' (standard/c, {name}) and 'd' (standard/d, {name})"


@pytest.mark.parametrize(
    ("mapping", "line"),
    [
        ({}, "outputs: {}"),
        ({"generation": "code"}, "outputs: {generation: code}"),
        ({"b-1": "_x", "a": "yes"}, 'outputs: {a: "yes", b-1: _x}'),
        ({"a b": 'say "\\": {x}\n'}, 'outputs: {"a b": "say \\"\\\\\\": {x}\\U0000000a"}'),
    ],
)
def test_a_fix_is_one_line_of_yaml(mapping, line):
    assert write_fix("outputs", mapping) == line


@given(
    mapping=st.dictionaries(
        st.text(st.characters() | st.characters(categories=("Cs", "Cc"))) | st.sampled_from(["yes", "NULL", "~", "1"]),
        st.text(),
    )
)
def test_yaml_reads_every_fix_back(mapping):
    line = write_fix("inputs", mapping)
    assert "\n" not in line
    assert yaml.safe_load(line) == {"inputs": mapping}
