"""Policies that combine others: one of them accepts, or all do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Self, get_args

from pydantic import Field

from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.policy import MemberSignature, NamedPolicy, Policy, PolicySpec, check_findings
from pool_core.interfaces.values import Finding, Level
from pool_standard.policies.wording import list_names, sort_members

__all__ = ["AllOf", "AnyOf", "CombinedConfig"]


class CombinedConfig(PluginConfig):
    """Options of `AnyOf` and `AllOf`."""

    policies: list[PolicySpec] = Field(min_length=1, description="The policies, each as under `policies:` of a pool.")


class _Combined(Policy[CombinedConfig]):
    """Holds the policies that it combines. What they raise passes through."""

    Config = CombinedConfig

    def __init__(self, config: CombinedConfig, inner: Sequence[NamedPolicy]) -> None:
        super().__init__(config)
        self._inner = tuple(inner)

    @classmethod
    def build(cls, config: CombinedConfig, inner: Sequence[NamedPolicy]) -> Self:
        """Combine ``inner``."""
        return cls(config, inner)

    def _judge_inner(self, members: Sequence[MemberSignature]) -> list[list[Finding]]:
        ordered = sort_members(members)
        return [
            [
                finding if finding.source else replace(finding, source=name)
                for finding in check_findings(policy.judge(ordered))
            ]
            for name, policy in self._inner
        ]


class AnyOf(_Combined):
    """One of the policies accepts. Rule ``any-of``, and the rules of the policy that comes nearest."""

    def judge(self, members: Sequence[MemberSignature]) -> Iterable[Finding]:
        """Return what the quietest policy that accepts says, the first of these.

        Where none does: an error, and the findings of the policy with the fewest errors, the first of these.
        """
        verdicts = self._judge_inner(members)
        counts = [[sum(one.level == level for one in found) for level in get_args(Level)] for found in verdicts]
        errors, _, _ = min(counts)
        if errors == 0:
            return verdicts[counts.index(min(counts))]
        nearest = [count[0] for count in counts].index(errors)
        names = [policy.name for policy in self._inner]
        count = f"{errors} error{'s' if errors > 1 else ''}"
        refusal = Finding(
            level="error",
            rule="any-of",
            message=f"None of the policies {list_names(names)} accepts the members."
            if len(names) > 1
            else f"The policy {list_names(names)} does not accept the members.",
            hint=f"Cure the {count} of {names[nearest]!r}, which comes nearest.",
            source="any_of",
        )
        return [refusal, *verdicts[nearest]]


class AllOf(_Combined):
    """All of the policies accept. The rules are theirs."""

    def judge(self, members: Sequence[MemberSignature]) -> Iterable[Finding]:
        """Return the findings of all policies, in their order."""
        return [finding for findings in self._judge_inner(members) for finding in findings]
