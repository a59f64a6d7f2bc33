"""Findings put in order, and what the recipe makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pool_core.errors import RecipeError
from pool_core.interfaces.values import Finding
from pool_core.recipe.locate import locate
from pool_core.recipe.models import FindingRules
from pool_core.recipe.yaml_source import Source

__all__ = ["FIRM", "apply_rules", "check_rules", "sort_findings"]

#: Rules that are no opinions: without them a file or a field would be lost, the recipe could not be
#: done as it says, or a check that proved nothing would pass. Each with the way out.
FIRM = {
    "field-reserved": "give the field another name, as the finding proposes",
    "column-taken": "rename the column, or choose another layout",
    "output-taken": "give the output another name",
    "samples-many": "lower `samples`",
    "samples-uneven": "change `samples`, or write `assign: balanced`",
    "policy-failed": "take the policy out of `policies:`",
    "hook-failed": "block the plugin: `plugins: {block: [...]}`, or --block",
}
_LEVELS = {"error": 0, "warning": 1, "info": 2}


def sort_findings(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Each finding once, errors first; within a level in an order that does not depend on the members'."""
    unique = dict.fromkeys(findings)
    return tuple(
        sorted(unique, key=lambda f: (_LEVELS.get(f.level, 0), f.rule, f.field, f.members, f.message, f.source))
    )


def check_rules(rules: FindingRules, source: Source | None) -> None:
    """Make sure that the recipe silences no rule that is no opinion. Raises `RecipeError`."""
    for rule in rules.silence:
        if rule in FIRM:
            where = locate(source, ("pool", "findings", "silence", rule))
            raise RecipeError(f"the rule {rule!r} cannot be silenced", where=where, hint=FIRM[rule])


def apply_rules(findings: Sequence[Finding], rules: FindingRules) -> tuple[list[Finding], list[Finding]]:
    """The findings that count, some with a higher level, and those that the recipe silences.

    A rule that the recipe names and no finding has is an info: it may be misspelt, or be cured.
    """
    named = {*rules.silence, *rules.escalate} - {finding.rule for finding in findings} - {"rule-unused"}
    unused = [
        Finding(
            "info",
            "rule-unused",
            f"the recipe has a word on {rule!r}, and there is no such finding",
            hint="check its spelling, or take it out of `findings:`",
        )
        for rule in sorted(named)
    ]
    kept: list[Finding] = []
    silenced: list[Finding] = []
    for finding in [*findings, *unused]:
        if finding.rule in rules.silence:
            silenced.append(finding)
        elif finding.rule in rules.escalate:
            kept.append(replace(finding, level="error"))
        else:
            kept.append(finding)
    return kept, silenced
