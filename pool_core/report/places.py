"""Where a finding stands in the recipe."""

from __future__ import annotations

from typing import Any

from pool_core.interfaces.values import Finding
from pool_core.plan.model import Plan
from pool_core.recipe.locate import write_path
from pool_core.recipe.yaml_source import KeyPath, Source

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
    names = set(finding.members)
    starts: list[KeyPath] = [("pool", "members", member.index) for member in plan.members if member.name in names]
    return [_follow(start, finding.key, plan.source) for start in starts]


def _follow(path: KeyPath, key: str, source: Source | None) -> KeyPath:
    """``path`` and the parts of ``key``; those that are one key of the file, which has dots in it, stay together."""
    parts = key.split(".") if key else []
    while parts:
        for end in range(len(parts), 0, -1):
            if source is not None and (*path, ".".join(parts[:end])) in source.lines:
                break
        path = (*path, ".".join(parts[:end]))
        parts = parts[end:]
    return path
