"""The members' output fields side by side: what is wrong with their names and types, and what cures it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeAlias

from pool_core.interfaces.policy import MemberSignature
from pool_core.interfaces.types import Conflict, FieldType, holds_any, unify
from pool_core.interfaces.values import Finding
from pool_standard.policies.cures import fit_slots, list_conflicts, pair_names
from pool_standard.policies.wiring import Cure, Wiring, group_by_cure
from pool_standard.policies.wording import describe_members, list_names, sort_members

__all__ = ["Comparison"]

Group: TypeAlias = list[Wiring]

#: Types that a message shows.
_MOST_TYPES = 10


class Comparison:
    """Compares members; `align_names` and `fit_types` make fixes, which the reports carry.

    A member has one fix, which cures all that is wrong with it: pasting it for one finding never
    undoes what another finding asks for.
    """

    def __init__(self, members: Sequence[MemberSignature], source: str, *, open_structs: bool) -> None:
        self._wirings = [Wiring(member) for member in sort_members(members)]
        self._source = source
        self._open = open_structs
        self._groups = self._group_by_names()
        #: The members whose names count.
        self._usual = max(self._groups, key=lambda group: (len(group), group[-1].member.name), default=[])
        #: Of each field, the types that it has once the names are aligned, and who gives each.
        self._types: dict[str, dict[FieldType, Group]] = {}
        #: Fields whose types no adapters reconcile.
        self._hopeless: set[str] = set()
        #: Of each field, the members whose adapters change its type.
        self._fitted: dict[str, Group] = {}

    def _group_by_names(self) -> list[Group]:
        groups: dict[frozenset[str], Group] = {}
        for wiring in self._wirings:
            groups.setdefault(frozenset(wiring.member.outputs), []).append(wiring)
        return list(groups.values())

    # --- what makes them fit

    def align_names(self) -> None:
        """Give every member the names that most give: renamed, dropped, or null."""
        if not self._usual:
            return
        usual_types = {name: {w.member.outputs[name] for w in self._usual} for name in self._usual[0].member.outputs}
        for group in self._groups:
            for wiring in group if group is not self._usual else ():
                self._align(wiring, usual_types)

    def _align(self, wiring: Wiring, usual_types: dict[str, set[FieldType]]) -> None:
        """Rename what fits, and note its type in ``usual_types``, so that renames fit each other."""
        extra = {name: slot for name, slot in wiring.slots.items() if name not in usual_types}
        if any(slot.kind == "unknown" for slot in extra.values()):
            return

        def fits(type_: FieldType, name: str) -> bool:
            found = (unify(type_, other, open_structs=self._open) for other in usual_types[name])
            return not any(isinstance(result, Conflict) for result in found)

        pairs = pair_names(extra, usual_types.keys() - wiring.slots.keys(), fits)
        wiring.rename(pairs)
        for new in pairs.values():
            usual_types[new].add(wiring.slots[new].type)
        for old in sorted(extra.keys() - pairs.keys()):
            wiring.remove(old)
        for name in sorted(usual_types.keys() - wiring.slots.keys()):
            wiring.add_null(name)

    def fit_types(self) -> None:
        """Collect and cast until the types of every field unify, as far as adapters can."""
        for name in sorted({name for wiring in self._wirings for name in wiring.slots}):
            wirings = [wiring for wiring in self._wirings if name in wiring.slots]
            types = self._types.setdefault(name, {})
            for wiring in wirings:
                types.setdefault(wiring.slots[name].type, []).append(wiring)
            slots = fit_slots([wiring.slots[name] for wiring in wirings], open_structs=self._open)
            if slots is None:
                self._hopeless.add(name)
                continue
            for wiring, slot in zip(wirings, slots, strict=True):
                if slot != wiring.slots[name]:
                    wiring.set_slot(name, slot)
                    self._fitted.setdefault(name, []).append(wiring)

    # --- what is wrong

    def report_names(self) -> Iterator[Finding]:
        """One finding for each group of members that differ from most and have the same fix."""
        for group in self._groups:
            if group is self._usual:
                continue
            # Where one extra field stays, no fix cures.
            aligned = [wiring for wiring in group if wiring.slots.keys() == self._usual[0].member.outputs.keys()]
            stuck = [wiring for wiring in group if wiring not in aligned]
            is_tie = len(group) == len(self._usual)
            for cure, part in group_by_cure(aligned).items():
                yield self._report_names(part, cure, is_tie=is_tie)
            if stuck:
                yield self._report_names(stuck, None, is_tie=is_tie)

    def _report_names(self, part: Group, cure: Cure | None, *, is_tie: bool) -> Finding:
        missing = sorted(self._usual[0].member.outputs.keys() - part[0].member.outputs.keys())
        extra = sorted(part[0].member.outputs.keys() - self._usual[0].member.outputs.keys())
        differences = [f"{list_names(missing)} missing"] if missing else []
        if extra:
            differences.append(f"{list_names(extra)} extra")
        involved = part + self._usual if is_tie and cure is None else part
        names = _list_members(part)
        return Finding(
            level="error",
            rule="output-names",
            message=f"{_say_outputs(part)}, while {_say_outputs(self._usual)}: {' and '.join(differences)}.",
            members=_list_members(involved),
            field=(missing or extra)[0] if len(missing) <= 1 and len(extra) <= 1 else "",
            hint=cure.say(names) if cure else f"{_say_why_not(part, extra)} {_RENAME}",
            fix=cure.fix if cure else "",
            source=self._source,
        )

    def report_types(self) -> Iterator[Finding]:
        """For each field whose types do not unify, as they are or under aligned names, one finding for each fix."""
        given: dict[str, dict[FieldType, Group]] = {}
        for wiring in self._wirings:
            for field, type_ in wiring.member.outputs.items():
                given.setdefault(field, {}).setdefault(type_, []).append(wiring)
        for field in sorted(given.keys() | self._types.keys()):
            for types in (given.get(field, {}), self._types.get(field, {})):
                if conflicts := list_conflicts(types, field, open_structs=self._open):
                    clashing = {type_ for one, two, _ in conflicts for type_ in (one, two)}
                    groups = {type_: wirings for type_, wirings in types.items() if type_ in clashing}
                    yield from self._report_types(field, groups, conflicts[0][2])
                    break
            else:
                yield from self._report_unknown(field, given.get(field, {}))

    def _report_types(self, field: str, groups: Mapping[FieldType, Group], conflict: Conflict) -> Iterator[Finding]:
        clashing = [wiring for group in groups.values() for wiring in group]
        fitted = self._fitted.get(field, [])
        changed = [
            wiring for wiring in self._wirings if wiring in fitted or (wiring in clashing and field in wiring.changed)
        ]
        # Where no adapter cures it, all of them are named.
        cures = group_by_cure(changed) if changed and field not in self._hopeless else {None: clashing}
        message = _say_types(field, groups, conflict)
        for cure, part in cures.items():
            names = _list_members(part)
            yield Finding(
                level="error",
                rule="output-type",
                message=message,
                members=names,
                field=field,
                hint=cure.say(names) if cure else f"{_say_why_not(part, [field])} {_DECLARE.format(field)}",
                fix=cure.fix if cure else "",
                source=self._source,
            )

    def _report_unknown(self, field: str, types: Mapping[FieldType, Group]) -> Iterator[Finding]:
        """Types that agree in what nobody knows prove nothing."""
        wirings = [wiring for type_, group in types.items() if holds_any(type_) for wiring in group]
        if len(wirings) > 1:
            yield Finding(
                level="info",
                rule="output-unknown",
                message=f"Of the output field {field!r} not all is known: {_list_types(types)}.",
                members=_list_members(wirings),
                field=field,
                hint="What is any in several members may be of different types: declare a type, or cast the field.",
                source=self._source,
            )


_RENAME = (
    "Rename fields with `outputs: {the pool's field: the task's own field}`, or choose tasks that give the same fields."
)
_DECLARE = (
    "Declare {!r} alike in these tasks. What unifies: int with float, literals with str, "
    "a type with its nullable form, structs with equal names."
)


def _say_why_not(group: Group, fields: Iterable[str]) -> str:
    found = sorted({name for wiring in group for name in wiring.unknown} & set(fields))
    reason = (
        f"nothing tells what gives {list_names(found)}" if found else "a constant has a value that YAML cannot hold"
    )
    return f"No fix can be proposed: {reason}."


def _say_outputs(group: Group) -> str:
    outputs = group[0].member.outputs
    verb = "gives" if len(group) == 1 else "give"
    return f"{_describe(group)} {verb} {list_names(sorted(outputs)) if outputs else 'no output field'}"


def _say_types(field: str, groups: Mapping[FieldType, Group], conflict: Conflict) -> str:
    place = (
        f" They differ at {conflict.path!r}: {conflict.left} and {conflict.right}." if conflict.path != field else ""
    )
    return f"The types of the output field {field!r} do not unify: {_list_types(groups)}.{place}"


def _list_types(groups: Mapping[FieldType, Group]) -> str:
    shown = [f"{type_} in {_describe(group)}" for type_, group in islice(groups.items(), _MOST_TYPES)]
    more = len(groups) - len(shown)
    return "; ".join([*shown, f"and {more} types more"] if more else shown)


def _list_members(group: Group) -> tuple[str, ...]:
    return tuple(sorted(wiring.member.name for wiring in group))


def _describe(group: Group) -> str:
    return describe_members([wiring.member for wiring in group])
