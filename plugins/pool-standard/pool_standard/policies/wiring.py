"""The adapters of one member while a fix is made of them: fields are renamed, dropped, cast, collected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from pool_core.interfaces.cast import can_cast, cast_value
from pool_core.interfaces.policy import MemberSignature
from pool_core.interfaces.types import NULL, FieldType, infer_type
from pool_core.interfaces.yaml_text import write_fix
from pool_standard.policies.wording import join_words, list_names

__all__ = ["Cure", "Slot", "Wiring", "cast_slot", "collect_slot", "group_by_cure"]

#: What a type becomes on its way to a target: itself where nothing has to be done.
Shape: TypeAlias = Callable[[FieldType, FieldType], FieldType]


@dataclass(frozen=True, slots=True)
class Slot:
    """How one field of the pool comes about in one member."""

    #: Where it comes from: a field of the task, a constant, or nothing that the signature tells.
    kind: Literal["own", "constant", "unknown"]
    #: In the pool.
    type: FieldType
    #: Before it is cast and collected.
    base: FieldType
    #: The task's own field.
    own: str = ""
    #: The constant.
    value: Any = None
    #: What it is cast to, as the recipe writes it.
    cast: str = ""
    #: How often it becomes a list of one item.
    collected: int = 0


def collect_slot(slot: Slot) -> Slot | None:
    """The field as a list of one item; None where nothing is known of how it comes about."""
    type_ = FieldType("list", items=slot.type)
    match slot.kind:
        case "own":
            return replace(slot, type=type_, collected=slot.collected + 1)
        case "constant":
            return replace(slot, type=type_, base=type_, value=[slot.value])
        case _:
            return None


def cast_slot(slot: Slot, target: FieldType, shape: Shape) -> Slot | None:
    """The field with values of ``target``; None where no adapter gives them.

    It stays collected as often as ``target`` has lists for it. No cast is left where none is needed.
    """
    kept = 0
    while kept < slot.collected and target.kind == "list" and target.items is not None:
        target, kept = target.items, kept + 1
    wanted = shape(slot.base, target)
    if slot.kind == "unknown" or not can_cast(slot.base, wanted):
        return None
    if slot.kind == "constant":
        try:
            value = cast_value(slot.value, wanted)
        except (TypeError, ValueError):
            return None
        return replace(slot, type=infer_type(value), base=infer_type(value), value=value)
    type_ = wanted
    for _ in range(kept):
        type_ = FieldType("list", items=type_)
    return replace(slot, type=type_, cast="" if wanted == slot.base else str(wanted), collected=kept)


@dataclass(frozen=True, slots=True)
class Cure:
    """The fix of one member and what it does."""

    fix: str
    #: What the fix does, as in ``casts 'x' to str``.
    actions: tuple[str, ...]
    #: Keys of the fix that the member has already.
    replaced: tuple[str, ...]

    def say(self, names: tuple[str, ...]) -> str:
        """The hint for the members of these names."""
        place = f" in place of {join_words([f'`{key}`' for key in self.replaced])}" if self.replaced else ""
        return f"Add the fix to {list_names(names)}{place}: it {join_words(self.actions)}."


class Wiring:
    """The fields of one member, which a fix changes step by step."""

    __slots__ = ("_actions", "_adapters", "_drop", "_keys", "changed", "member", "slots")

    def __init__(self, member: MemberSignature) -> None:
        self.member = member
        self._adapters = member.adapters
        self.slots = {name: self._read_slot(name, type_) for name, type_ in sorted(member.outputs.items())}
        #: Fields, before or after a rename, that differ from what they were.
        self.changed: set[str] = set()
        self._drop = list(self._adapters.get("drop") or ())
        self._actions: list[str] = []
        self._keys = self._write_keys()

    def _read_slot(self, name: str, type_: FieldType) -> Slot:
        if name in self.member.sources:
            own = self.member.sources[name]
            base = self.member.fields.get(own, type_)
            cast = (self._adapters.get("cast") or {}).get(name, "")
            collected = list(self._adapters.get("collect") or ()).count(name)
            return Slot("own", type_, base, own=own, cast=cast, collected=collected)
        constants = self._adapters.get("constant") or {}
        if name in constants:
            return Slot("constant", type_, infer_type(constants[name]), value=constants[name])
        return Slot("unknown", type_, type_)

    @property
    def unknown(self) -> list[str]:
        """Fields of which the signature does not tell how they come about."""
        return [name for name, slot in self.slots.items() if slot.kind == "unknown"]

    def rename(self, names: Mapping[str, str]) -> None:
        """Give fields new names, all at once."""
        moved = {new: self.slots.pop(old) for old, new in names.items()}
        for (old, new), slot in zip(names.items(), moved.values(), strict=True):
            what = "the task's own field" if slot.kind == "own" else f"the constant {old!r}"
            self._note(f"renames {what} to {new!r}", old, new)
        self.slots |= moved

    def remove(self, name: str) -> None:
        """Leave out a field: the constant, or what the task gives."""
        slot = self.slots.pop(name)
        if slot.kind == "own" and all(other.own != slot.own for other in self.slots.values()):
            self._drop.append(slot.own)
        self._note(f"drops {name!r}", name)

    def add_null(self, name: str) -> None:
        """Give a field that is null in every cell."""
        self.slots[name] = Slot("constant", NULL, NULL)
        self._note(f"gives {name!r} as null", name)

    def set_slot(self, name: str, new: Slot) -> None:
        """Let a field come about in another way."""
        old = self.slots[name]
        if new == old:
            return
        self.slots[name] = new
        if new.kind == "constant":
            self._note(f"changes the constant {name!r}", name)
        elif new.cast and new.cast != old.cast:
            as_text = new.cast.startswith("str") and new.base.kind in ("struct", "map", "list", "any")
            self._note(f"writes {name!r} as JSON text" if as_text else f"casts {name!r} to {new.cast}", name)
        elif old.cast and not new.cast:
            self._note(f"no longer casts {name!r}", name)
        if new.collected > old.collected:
            self._note(f"makes {name!r} a list of one item", name)
        elif new.collected < old.collected:
            self._note(f"no longer makes {name!r} a list", name)

    def _note(self, action: str, *names: str) -> None:
        self._actions.append(action)
        self.changed.update(names)

    def write_cure(self) -> Cure | None:
        """The fix that makes the member what it has become; None where a constant cannot be written."""
        # Compared as text: True, 1 and 1.0 are equal, and different constants.
        keys = {key: value for key, value in self._write_keys().items() if repr(value) != repr(self._keys[key])}
        try:
            fix = "\n".join(write_fix(key, value) for key, value in keys.items())
        except ValueError:
            return None
        return Cure(fix, tuple(self._actions), tuple(key for key in keys if self._adapters.get(key)))

    def _write_keys(self) -> dict[str, Any]:
        own = {name: slot for name, slot in sorted(self.slots.items()) if slot.kind == "own"}
        counts = Counter(slot.own for slot in own.values())
        named = self._adapters.get("outputs") or {}
        return {
            # A field under its own name stands there only where it has a second one, or the recipe says so already.
            "outputs": {
                name: slot.own
                for name, slot in own.items()
                if name != slot.own or counts[name] > 1 or named.get(name) == name
            },
            "drop": sorted(self._drop),
            "cast": {name: slot.cast for name, slot in own.items() if slot.cast},
            "collect": [name for name, slot in own.items() for _ in range(slot.collected)],
            "constant": {name: slot.value for name, slot in self.slots.items() if slot.kind == "constant"},
        }


def group_by_cure(wirings: Iterable[Wiring]) -> dict[Cure | None, list[Wiring]]:
    """The members that have the same fix together, in the order given."""
    groups: dict[Cure | None, list[Wiring]] = {}
    for wiring in wirings:
        groups.setdefault(wiring.write_cure(), []).append(wiring)
    return groups
