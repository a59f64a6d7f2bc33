"""Findings put in order, and what the recipe makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pool_core.interfaces.values import Finding
from pool_core.recipe.models import FindingRules

__all__ = ["apply_rules", "sort_findings"]

_LEVELS = {"error": 0, "warning": 1, "info": 2}


def sort_findings(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Each finding once, errors first; within a level in an order that does not depend on the members'."""
    unique = dict.fromkeys(findings)
    return tuple(
        sorted(unique, key=lambda f: (_LEVELS.get(f.level, 0), f.rule, f.field, f.members, f.message, f.source))
    )


def apply_rules(findings: Sequence[Finding], rules: FindingRules) -> tuple[list[Finding], list[Finding]]:
    """The findings that count, some with a higher level, and those that the recipe silences.

    A rule that the recipe names and no finding has is an info: it may be misspelt, or be cured.
    """
    kept: list[Finding] = []
    silenced: list[Finding] = []
    for finding in findings:
        if finding.rule in rules.silence:
            silenced.append(finding)
        elif finding.rule in rules.escalate:
            kept.append(replace(finding, level="error"))
        else:
            kept.append(finding)
    unused = {*rules.silence, *rules.escalate} - {finding.rule for finding in findings}
    kept += [
        Finding(
            "info",
            "rule-unused",
            f"the recipe has a word on {rule!r}, and there is no such finding",
            hint="check its spelling, or take it out of `findings:`",
        )
        for rule in sorted(unused)
    ]
    return kept, silenced
