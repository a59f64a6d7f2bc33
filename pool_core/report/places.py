"""Where a finding stands in the recipe."""

from __future__ import annotations

from typing import Any

from pool_core.interfaces.values import Finding
from pool_core.plan.model import Plan
from pool_core.recipe.locate import write_path
from pool_core.recipe.yaml_source import KeyPath

__all__ = ["describe_places", "find_paths", "locate_finding"]


def locate_finding(plan: Plan, finding: Finding) -> list[str]:
    """``recipe.yaml:12`` for each of a finding's members; ``pool.members[0]`` where there is no file."""
    paths = find_paths(plan, finding)
    return [plan.source.locate(path) if plan.source else write_path(path) for path in paths]


def describe_places(plan: Plan, finding: Finding) -> list[dict[str, Any]]:
    """The same for programs: the place in the recipe, and its file and line where there is a file."""
    file = str(plan.source.path) if plan.source else None
    return [
        {"file": file, "line": plan.source.find_line(path) if plan.source else None, "path": write_path(path)}
        for path in find_paths(plan, finding)
    ]


def find_paths(plan: Plan, finding: Finding) -> list[KeyPath]:
    """The paths of a finding's members, to the part that it is about where it names one."""
    key = finding.key.split(".") if finding.key else ()
    names = set(finding.members)
    return [("pool", "members", member.index, *key) for member in plan.members if member.name in names]
