"""The words of findings: lists and members."""

from __future__ import annotations

from pool_standard.policies.wording import describe_members, list_names

from pool_core.interfaces.policy import MemberSignature


class Chat:
    pass


def test_names_are_listed_as_in_a_sentence():
    assert list_names(["a"]) == "'a'"
    assert list_names(["a", "b"]) == "'a' and 'b'"
    assert list_names(["a", "b", "c\n"]) == "'a', 'b' and 'c\\n'"


def test_members_of_one_task_are_described_together():
    members = [MemberSignature(name, f"standard/{name[0]}", Chat, {}, {}, {}) for name in ("c1", "d", "c2")]
    assert describe_members(members) == "'c1' and 'c2' (standard/c) and 'd' (standard/d)"
    name = f"{__name__}.Chat"
    assert describe_members(members, classes=True) == f"'c1' and 'c2' (standard/c, {name}) and 'd' (standard/d, {name})"
