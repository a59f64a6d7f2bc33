"""What a check tells a forge: findings as annotations at the recipe's lines, and what kept a plan from being made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pool_core.errors import PoolError
from pool_core.interfaces.values import Finding
from pool_core.plan.model import Plan
from pool_core.report.places import find_paths
from pool_core.report.text import make_harmless

__all__ = ["write_annotations", "write_error_annotations"]

#: A line of an error's text that begins with a place, as in ``recipe.yaml:7: pool.members[0]: ...``.
_PLACE = re.compile(r"\s*(?P<file>[^:\n]*\.\w+):(?P<line>\d+): (?P<text>.+)")


def write_annotations(plan: Plan, findings: Sequence[Finding]) -> Iterator[str]:
    """Findings as workflow commands of GitHub Actions, which shows them at their lines of the recipe."""
    names = {"error": "error", "warning": "warning", "info": "notice"}
    for finding in findings:
        place: dict[str, object] = {}
        if plan.source is not None:
            line = plan.source.find_line(next(iter(find_paths(plan, finding)), ("pool",)))
            place = {"file": plan.source.path, "line": line}
        text = "\n".join(part for part in (finding.message, finding.hint, finding.fix) if part)
        yield _write_command(names[finding.level], {**place, "title": finding.rule}, text)


def write_error_annotations(error: PoolError) -> Iterator[str]:
    """What kept a plan from being made, as workflow commands: one for each line of a file that it names."""
    found: list[tuple[dict[str, object], list[str]]] = []
    for line in str(error).splitlines():
        if place := _PLACE.match(line):
            found.append(({"file": place["file"], "line": place["line"]}, [place["text"]]))
        elif found:
            found[-1][1].append(line.strip())
    file: dict[str, object] = {"file": error.where} if Path(error.where).suffix else {}
    for properties, lines in found or [(file, [str(error)])]:
        yield _write_command("error", {**properties, "title": "pool"}, "\n".join(lines))


def _write_command(name: str, properties: Mapping[str, object], text: str) -> str:
    shown = ",".join(f"{key}={_escape(str(value), property_=True)}" for key, value in properties.items())
    return f"::{name} {shown}::{_escape(make_harmless(text))}"


def _escape(text: str, *, property_: bool = False) -> str:
    """Text as a workflow command may hold it."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if property_ else text
