"""Policies over the classes of the members' tasks: the same task, or tasks of one family."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence

from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.policy import MemberSignature, Policy
from pool_core.interfaces.task import Task
from pool_core.interfaces.values import Finding
from pool_standard.policies.wording import describe_members, name_class, sort_members

__all__ = ["SameFamily", "SameTask", "find_family"]

_COMPARE_OUTPUTS = "use the policy output-schema, which compares the fields that tasks give and not their classes."


class SameTask(Policy[PluginConfig]):
    """All members have the same task class. Rule ``same-task``."""

    Config = PluginConfig

    def judge(self, members: Sequence[MemberSignature]) -> Iterable[Finding]:
        """Return one finding that says which members have which task, or none."""
        ordered = sort_members(members)
        if len({member.task_class for member in ordered}) <= 1:
            return []
        return [
            Finding(
                level="error",
                rule="same-task",
                message=f"The members have different tasks: {describe_members(ordered, classes=True)}.",
                members=tuple(member.name for member in ordered),
                hint=f"Give all members one task, or {_COMPARE_OUTPUTS}",
                source="same-task",
            )
        ]


class SameFamily(Policy[PluginConfig]):
    """All task classes have one real task among their ancestors or themselves. Rule ``same-family``.

    A real task is a concrete class derived from `Task`, wherever it stands: `Task` itself, abstract
    tasks and mixed-in classes that are no tasks make no family.
    """

    Config = PluginConfig

    def judge(self, members: Sequence[MemberSignature]) -> Iterable[Finding]:
        """Return one finding that says which members belong to which family, or none."""
        ordered = sort_members(members)
        if len(ordered) <= 1 or find_family([member.task_class for member in ordered]):
            return []
        families = "; ".join(
            f"{describe_members(group)} {'belongs' if len(group) == 1 else 'belong'} to the family {name_class(family)}"
            for family, group in _group_by_family(ordered)
        )
        return [
            Finding(
                level="error",
                rule="same-family",
                message=f"The members' tasks do not derive from one real task: {families}.",
                members=tuple(member.name for member in ordered),
                hint=f"Derive the tasks from one concrete task class, or {_COMPARE_OUTPUTS}",
                source="same-family",
            )
        ]


def find_family(classes: Sequence[type]) -> type | None:
    """The nearest real task that all ``classes`` are or derive from; None where there is none."""
    lineages = [_list_real_tasks(cls) for cls in classes]
    common = [cls for cls in lineages[0] if all(cls in lineage for lineage in lineages)]
    return max(common, key=_rank_by_nearness, default=None)


def _list_real_tasks(cls: type) -> list[type]:
    return [
        base for base in cls.__mro__ if issubclass(base, Task) and base is not Task and not inspect.isabstract(base)
    ]


def _rank_by_nearness(cls: type) -> tuple[int, str]:
    """Of the common ancestors the one with the most real tasks above it is nearest."""
    return len(_list_real_tasks(cls)), name_class(cls)


def _group_by_family(members: Sequence[MemberSignature]) -> list[tuple[type, list[MemberSignature]]]:
    """Take the largest family out of the members, then the next, until all have one."""
    remaining = list(members)
    groups: list[tuple[type, list[MemberSignature]]] = []
    while remaining:
        families: dict[type, list[MemberSignature]] = {}
        for member in remaining:
            for family in _list_real_tasks(member.task_class) or [member.task_class]:
                families.setdefault(family, []).append(member)
        largest = max(families, key=lambda family: (len(families[family]), *_rank_by_nearness(family)))
        groups.append((largest, families[largest]))
        remaining = [member for member in remaining if member not in families[largest]]
    return groups
