"""What makes the fields of members fit: pairs of names, and casts after which types unify."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, islice
from typing import TypeAlias

from pool_core.interfaces.types import ANY, NULL, Conflict, FieldType, unify
from pool_standard.policies.wiring import Slot, cast_slot, collect_slot

__all__ = ["fit_slots", "list_conflicts", "pair_names"]

_STR = FieldType("str")
#: Conflicts of one field that are looked for: a thousand types have half a million of them.
_MOST_CONFLICTS = 1000
_NUMBERS = ("int", "float")
#: The classes of scalars that unify, the one that wins a tie first.
_SCALARS = (("str", "literal"), _NUMBERS, ("bool",))

#: A type in the pool and the type of the task's own field behind it.
Pair: TypeAlias = tuple[FieldType, FieldType]


def pair_names(
    extra: Mapping[str, Slot], missing: Collection[str], fits: Callable[[FieldType, str], bool]
) -> dict[str, str]:
    """The extra fields that are surely missing ones under another name.

    Those are: a field that the task itself calls so, and two whose types fit each other's alone.
    """
    pairs: dict[str, str] = {}
    for name, slot in sorted(extra.items()):
        if slot.own in missing and slot.own not in pairs.values() and fits(slot.type, slot.own):
            pairs[name] = slot.own
    while True:
        wanted = sorted(set(missing) - set(pairs.values()))
        choices = {
            name: [new for new in wanted if fits(slot.type, new)]
            for name, slot in sorted(extra.items())
            if name not in pairs
        }
        offers = [new for found in choices.values() for new in found]
        sure = {name: found[0] for name, found in choices.items() if len(found) == 1 and offers.count(found[0]) == 1}
        if not sure:
            return pairs
        pairs |= sure


def list_conflicts(
    types: Iterable[FieldType], path: str = "", *, open_structs: bool = False
) -> list[tuple[FieldType, FieldType, Conflict]]:
    """Every two of ``types`` that do not unify, of many the first, and where they differ. None: all unify."""
    types = list(types)
    if _merge(types, open_structs=open_structs) is not None:
        return []
    found = ((one, two, unify(one, two, path, open_structs=open_structs)) for one, two in combinations(types, 2))
    conflicts = ((one, two, result) for one, two, result in found if isinstance(result, Conflict))
    return list(islice(conflicts, _MOST_CONFLICTS))


def fit_slots(slots: Sequence[Slot], *, open_structs: bool) -> list[Slot] | None:
    """The slots of one field, changed so that their types unify. None: no adapter does it.

    Tried in order: a list for what others have in a list; one type for all that every value
    survives; text.
    """
    if _agree(slots, open_structs=open_structs):
        return list(slots)
    target = _choose_type([(slot.type, _find_base(slot)) for slot in slots], open_structs=open_structs)
    tries = (
        _collect(slots, open_structs=open_structs),
        _cast(slots, target, open_structs=open_structs),
        _cast(slots, _STR, open_structs=open_structs),
    )
    for tried in tries:
        changed = [slot for slot in tried if slot is not None]
        if len(changed) == len(slots) and _agree(changed, open_structs=open_structs):
            return changed
    return None


def _agree(slots: Iterable[Slot], *, open_structs: bool) -> bool:
    return _merge(dict.fromkeys(slot.type for slot in slots), open_structs=open_structs) is not None


def _find_base(slot: Slot) -> FieldType:
    base = slot.base
    for _ in range(slot.collected):
        base = FieldType("list", items=base)
    return base


def _collect(slots: Sequence[Slot], *, open_structs: bool) -> list[Slot | None]:
    deepest = max(_count_lists(slot.type) for slot in slots)
    lists = {slot.type for slot in slots if _count_lists(slot.type) == deepest}
    return [
        collect_slot(slot)
        if slot.type.kind != "any"  # which may be a list already
        and _count_lists(slot.type) < deepest
        and any(isinstance(unify(slot.type, other, open_structs=open_structs), Conflict) for other in lists)
        else slot
        for slot in slots
    ]


def _count_lists(type_: FieldType) -> int:
    count = 0
    while type_.kind == "list" and type_.items is not None:
        type_, count = type_.items, count + 1
    return count


def _cast(slots: Sequence[Slot], target: FieldType, *, open_structs: bool) -> list[Slot | None]:
    def shape(base: FieldType, wanted: FieldType) -> FieldType:
        if not isinstance(unify(base, wanted, open_structs=open_structs), Conflict):
            return base
        if base.kind == wanted.kind and base.items is not None and wanted.items is not None:
            return replace(base, items=shape(base.items, wanted.items))
        return replace(wanted, nullable=base.nullable)

    return [
        cast_slot(slot, target, shape)
        if isinstance(unify(slot.type, target, open_structs=open_structs), Conflict)
        else slot
        for slot in slots
    ]


def _choose_type(pairs: Sequence[Pair], *, open_structs: bool) -> FieldType:
    """One type that every value of all survives: the type of most where it does, else text."""
    pairs = [pair for pair in pairs if pair[0].kind != "null"]
    types = [type_ for type_, _ in pairs]
    merged = _merge(types, open_structs=open_structs)
    if merged is not None:
        return merged
    kinds = {type_.kind for type_ in types}
    if kinds in ({"list"}, {"map"}):
        items = [
            (type_.items or ANY, base.items if base.kind == type_.kind and base.items else ANY) for type_, base in pairs
        ]
        return FieldType(types[0].kind, items=_choose_type(items, open_structs=open_structs))
    classes = {kinds_: [type_ for type_ in types if type_.kind in kinds_] for kinds_ in _SCALARS}
    most = max(classes, key=lambda kinds_: len(classes[kinds_]))
    if most == _NUMBERS and all(
        base.kind == "bool" or base.kind in _NUMBERS for type_, base in pairs if type_.kind not in _NUMBERS
    ):
        return _merge(classes[most], open_structs=open_structs) or _STR
    return _STR


def _merge(types: Iterable[FieldType], *, open_structs: bool) -> FieldType | None:
    """What holds all of ``types``, not null; None where they conflict."""
    merged = NULL
    for type_ in types:
        unified = unify(merged, type_, open_structs=open_structs)
        if isinstance(unified, Conflict):
            return None
        merged = unified
    return replace(merged, nullable=False) if merged.kind not in ("null", "any") else merged
