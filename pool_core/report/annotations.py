"""What a check tells a forge: findings as annotations at the recipe's lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pool_core.interfaces.values import Finding
from pool_core.plan.model import Plan
from pool_core.report.places import find_paths
from pool_core.report.text import make_harmless

__all__ = ["write_annotations"]


def write_annotations(plan: Plan, findings: Sequence[Finding]) -> Iterator[str]:
    """Findings as workflow commands of GitHub Actions, which shows them at their lines of the recipe."""
    names = {"error": "error", "warning": "warning", "info": "notice"}
    for finding in findings:
        parts = [f"title={_escape(finding.rule, property_=True)}"]
        if plan.source is not None:
            line = plan.source.find_line(find_paths(plan, finding)[0] if finding.members else ("pool",))
            parts = [f"file={_escape(str(plan.source.path), property_=True)}", f"line={line}", *parts]
        text = "\n".join(part for part in (finding.message, finding.hint, finding.fix) if part)
        yield f"::{names[finding.level]} {','.join(parts)}::{_escape(make_harmless(text))}"


def _escape(text: str, *, property_: bool = False) -> str:
    """Text as a workflow command may hold it."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if property_ else text
