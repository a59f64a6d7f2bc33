"""The policies any_of and all: which findings of the policies inside pass on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pool_standard.policies.combine import AllOf, AnyOf, CombinedConfig
from pydantic import ValidationError

from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.policy import MemberSignature, NamedPolicy, Policy, PolicySpec
from pool_core.interfaces.values import Finding


class Text:
    pass


MEMBERS = [MemberSignature(name, "standard/text", Text, {}, {}, {}) for name in "cab"]


class Fixed(Policy[PluginConfig]):
    """Says the same of all members, and raises or returns what it is told."""

    Config = PluginConfig

    def __init__(self, *levels: str, raises: Exception | None = None) -> None:
        super().__init__(PluginConfig())
        self.levels, self.raises = levels, raises

    def judge(self, members: Sequence[MemberSignature]):
        if self.raises:
            raise self.raises
        names = tuple(member.name for member in members)
        return (Finding(level, f"rule-{number}", "text", names) for number, level in enumerate(self.levels))


def combine(cls: type, **inner: Policy) -> Policy:
    config = CombinedConfig(policies=[PolicySpec(use=name) for name in inner])
    return cls.build(config, [NamedPolicy(name, policy) for name, policy in inner.items()])


def describe(policy: Policy) -> list:
    return [(finding.source, finding.rule, finding.level) for finding in policy.judge(MEMBERS)]


def test_any_of_passes_on_what_the_quietest_that_accepts_says():
    policy = combine(
        AnyOf, o=Fixed("error"), p=Fixed("warning"), q=Fixed("info", "info"), r=Fixed("info"), s=Fixed("info")
    )
    assert describe(policy) == [("r", "rule-0", "info")]
    assert describe(combine(AnyOf, p=Fixed("error"), q=Fixed())) == []


def test_any_of_is_an_error_where_none_accepts():
    policy = combine(AnyOf, p=Fixed("error", "error"), q=Fixed("info", "error"), r=Fixed("error"))
    first, *rest = policy.judge(MEMBERS)
    assert (first.level, first.rule, first.source) == ("error", "any-of", "any_of")
    assert first.message == "None of the policies 'p', 'q' and 'r' accepts the members."
    assert first.hint == "Cure the 1 error of 'q', which comes nearest."
    assert [(finding.source, finding.level) for finding in rest] == [("q", "info"), ("q", "error")]


def test_any_of_one_says_so():
    first, *_ = combine(AnyOf, p=Fixed("error", "error")).judge(MEMBERS)
    assert first.message == "The policy 'p' does not accept the members."
    assert first.hint == "Cure the 2 errors of 'p', which comes nearest."


def test_all_is_what_every_policy_says():
    policy = combine(AllOf, p=Fixed("error"), q=Fixed(), r=Fixed("info", "error"))
    assert describe(policy) == [("p", "rule-0", "error"), ("r", "rule-0", "info"), ("r", "rule-1", "error")]


def test_they_nest():
    either = combine(AnyOf, p=Fixed("error"), q=Fixed("error"))
    assert describe(combine(AllOf, either=either, r=Fixed("info"))) == [
        ("any_of", "any-of", "error"),
        ("p", "rule-0", "error"),
        ("r", "rule-0", "info"),
    ]
    assert describe(combine(AnyOf, either=either, r=Fixed("info"))) == [("r", "rule-0", "info")]


@pytest.mark.parametrize("cls", [AnyOf, AllOf])
def test_what_a_policy_inside_raises_or_returns_wrongly_passes_through(cls):
    with pytest.raises(RuntimeError, match="broken"):
        combine(cls, p=Fixed(), q=Fixed(raises=RuntimeError("broken"))).judge(MEMBERS)

    class Wrong(Fixed):
        def judge(self, members):
            return ["no finding"]

    with pytest.raises(TypeError, match="instead of Finding"):
        combine(cls, p=Wrong()).judge(MEMBERS)


def test_at_least_one_policy_is_needed():
    with pytest.raises(ValidationError, match="at least 1 item"):
        CombinedConfig(policies=[])
    assert CombinedConfig(policies=["inputs", {"use": "contract", "path": "c.yaml"}]).policies[1].use == "contract"


LEVELS = st.lists(st.sampled_from(["error", "warning", "info"]), max_size=3)


@given(inner=st.lists(LEVELS, min_size=1, max_size=4))
def test_verdicts_are_those_of_logic_in_any_order_of_members(inner):
    policies = {f"p{number}": Fixed(*levels) for number, levels in enumerate(inner)}
    for cls, logic in ((AnyOf, any), (AllOf, all)):
        verdicts = {tuple(combine(cls, **policies).judge(order)) for order in permutations(MEMBERS)}
        assert len(verdicts) == 1
        accepts = all(finding.level != "error" for finding in next(iter(verdicts)))
        assert accepts == logic("error" not in levels for levels in inner)
