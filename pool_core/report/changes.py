"""What a recipe differs in from the one that the last run had, part by part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pool_core.plan.parts import DIGEST

__all__ = ["Change", "Changes", "compare_parts"]

#: What a part shapes: the requests, how answers are read, or which cells there are.
Shapes: TypeAlias = Literal["requests", "reading", "cells"]


@dataclass(frozen=True, slots=True)
class Change:
    """A part that is another one now, such as ``task.system_prompt``."""

    part: str
    shapes: Shapes
    verb: Literal["changed", "added", "removed"]
    #: What it was and is now, where that can be shown: plugins with their versions can.
    was: str | None = None
    now: str | None = None

    def __str__(self) -> str:
        shown = f": {self.was or 'none'} -> {self.now or 'none'}" if self.was or self.now else ""
        return f"{self.part} {self.verb}{shown}"


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs."""

    #: Of the pool as a whole.
    pool: Sequence[Change]
    #: Of each member of the plan that the last run had as well, by name.
    members: Mapping[str, Sequence[Change]]
    #: Names of members that the last run did not have, and of those that are gone.
    added: Sequence[str]
    removed: Sequence[str]
    #: Names of added members that are removed ones under another name: the name that each had.
    renamed: Mapping[str, str]


def compare_parts(was: Mapping[str, Any], now: Mapping[str, Any]) -> Changes:
    """What differs between two plans, both as `describe_plan` describes them."""
    old, new = was["members"], now["members"]
    added = [name for name in new if name not in old]
    removed = [name for name in old if name not in new]
    renamed: dict[str, str] = {}
    for name in added:
        for gone in removed:
            if gone not in renamed.values() and _drop_cells(old[gone]) == _drop_cells(new[name]):
                renamed[name] = gone
                break
    members = {name: tuple(_compare_member(old[name], new[name])) for name in new if name in old}
    pool = tuple(_compare(was["cells"], now["cells"], "cells"))
    return Changes(pool, members, added, removed, renamed)


def _drop_cells(member: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: parts for name, parts in member.items() if name != "cells"}


def _compare_member(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    told: set[str] = set()
    kinds: tuple[Shapes, ...] = ("requests", "reading", "cells")
    for kind in kinds:
        for change in _compare(old[kind], new[kind], kind):
            if change.part not in told:  # many parts shape requests and their reading
                told.add(change.part)
                yield change


def _compare(old: Mapping[str, str], new: Mapping[str, str], shapes: Shapes) -> Iterator[Change]:
    for part in dict.fromkeys([*old, *new]):
        was, now = old.get(part), new.get(part)
        if was != now:
            verb = "added" if was is None else "removed" if now is None else "changed"
            yield Change(part, shapes, verb, _show(was), _show(now))  # type: ignore[arg-type]


def _show(text: str | None) -> str | None:
    return None if text is None or text.startswith(DIGEST) else text
