"""Policies over the members' output fields: the same names, and types that unify."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import TypeAlias

from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.policy import MemberSignature, Policy
from pool_core.interfaces.types import Conflict, FieldType, unify
from pool_core.interfaces.values import Finding
from pool_standard.policies.wording import describe_members, list_names, sort_members, write_fix

__all__ = ["OutputNames", "OutputSchema"]

Group: TypeAlias = list[MemberSignature]


class OutputNames(Policy[PluginConfig]):
    """All members give the same names of output fields. Rule ``output-names``.

    Members that differ are compared with the names that most members give. Where two sets of names
    have equally many members, the set of the alphabetically last member counts.
    """

    Config = PluginConfig

    def judge(self, members: Sequence[MemberSignature]) -> Iterable[Finding]:
        """Return one finding for each group of members that give other names and have the same fix."""
        return _judge_names(sort_members(members), "output-names")


class OutputSchema(Policy[PluginConfig]):
    """All members give the same names, with types that unify. Rules ``output-names`` and ``output-type``.

    Types unify where each two of them do.
    """

    Config = PluginConfig

    def judge(self, members: Sequence[MemberSignature]) -> Iterable[Finding]:
        """Return the findings of `OutputNames`, then one for each field whose types do not unify."""
        ordered = sort_members(members)
        return [*_judge_names(ordered, "output-schema"), *_judge_types(ordered, "output-schema")]


def _judge_names(members: Group, source: str) -> Iterable[Finding]:
    groups: dict[frozenset[str], Group] = {}
    for member in members:
        groups.setdefault(frozenset(member.outputs), []).append(member)
    if len(groups) <= 1:
        return
    usual = max(groups.values(), key=lambda group: (len(group), group[-1].name))
    usual_types = {name: [member.outputs[name] for member in usual] for name in usual[0].outputs}
    for group in groups.values():
        if group is usual:
            continue
        by_fix: dict[str, Group] = {}
        for member in group:
            by_fix.setdefault(_propose_rename(member, usual_types), []).append(member)
        for fix, part in by_fix.items():
            yield _report_names(part, usual, fix, is_tie=len(group) == len(usual), source=source)


def _propose_rename(member: MemberSignature, usual_types: dict[str, list[FieldType]]) -> str:
    """The fix for a member that has one field under another name; else nothing.

    Adds the type of a field that it proposes to rename to ``usual_types``, so that proposals fit each other.
    """
    missing, extra = usual_types.keys() - member.outputs.keys(), member.outputs.keys() - usual_types.keys()
    if len(missing) != 1 or len(extra) != 1:
        return ""
    (new,), (old,) = missing, extra
    type_ = member.outputs[old]
    if old not in member.sources or any(isinstance(unify(type_, other), Conflict) for other in usual_types[new]):
        return ""
    usual_types[new].append(type_)
    renames = {name: own for name, own in member.sources.items() if name != old} | {new: member.sources[old]}
    return write_fix("outputs", {name: own for name, own in renames.items() if name != own})


def _report_names(part: Group, usual: Group, fix: str, *, is_tie: bool, source: str) -> Finding:
    missing = sorted(usual[0].outputs.keys() - part[0].outputs.keys())
    extra = sorted(part[0].outputs.keys() - usual[0].outputs.keys())
    differences = [f"{list_names(missing)} missing"] if missing else []
    if extra:
        differences.append(f"{list_names(extra)} extra")
    names = tuple(member.name for member in part)
    if fix:
        hint = f"Add the fix to {list_names(names)}: it renames the task's own field to {missing[0]!r}."
    else:
        hint = (
            "Rename fields with `outputs: {the pool's field: the task's own field}`, "
            "or choose tasks that give the same fields."
        )
    involved = sorted(part + usual, key=lambda member: member.name) if is_tie and not fix else part
    return Finding(
        level="error",
        rule="output-names",
        message=f"{_say_outputs(part)}, while {_say_outputs(usual)}: {' and '.join(differences)}.",
        members=tuple(member.name for member in involved),
        field=(missing or extra)[0] if len(missing) <= 1 and len(extra) <= 1 else "",
        hint=hint,
        fix=fix,
        source=source,
    )


def _say_outputs(group: Group) -> str:
    fields = list_names(sorted(group[0].outputs)) if group[0].outputs else "no output field"
    return f"{describe_members(group)} {'gives' if len(group) == 1 else 'give'} {fields}"


def _judge_types(members: Group, source: str) -> Iterable[Finding]:
    for field in sorted({name for member in members for name in member.outputs}):
        by_type: dict[FieldType, Group] = {}
        for member in members:
            if field in member.outputs:
                by_type.setdefault(member.outputs[field], []).append(member)
        pairs = [(pair, unify(*pair, field)) for pair in combinations(by_type, 2)]
        conflicts = [(pair, result) for pair, result in pairs if isinstance(result, Conflict)]
        if conflicts:
            clashing = {type_ for pair, _ in conflicts for type_ in pair}
            groups = {type_: group for type_, group in by_type.items() if type_ in clashing}
            yield _report_types(field, groups, conflicts[0][1], source)


def _report_types(field: str, groups: dict[FieldType, Group], conflict: Conflict, source: str) -> Finding:
    types = "; ".join(f"{type_} in {describe_members(group)}" for type_, group in groups.items())
    place = (
        f" They differ at {conflict.path!r}: {conflict.left} and {conflict.right}." if conflict.path != field else ""
    )
    return Finding(
        level="error",
        rule="output-type",
        message=f"The types of the output field {field!r} do not unify: {types}.{place}",
        members=tuple(sorted(member.name for group in groups.values() for member in group)),
        field=field,
        hint=f"Declare {field!r} alike in these tasks. What unifies: int with float, literals with str, "
        "a type with its nullable form, structs with equal names.",
        source=source,
    )
