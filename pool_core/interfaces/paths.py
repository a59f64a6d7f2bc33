"""Paths into the columns of rows, and whether a column's type has what a path leads to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from pool_core.interfaces.types import FieldType

__all__ = ["Gap", "InputPath", "Step", "find_gap", "write_steps"]

#: A key of a mapping, a position in a list, or None for each item of a list.
Step: TypeAlias = str | int | None


@dataclass(frozen=True, slots=True)
class InputPath:
    """A place inside an input that a prompt is made of."""

    #: The input, then the way from there.
    steps: tuple[Step, ...]
    #: Whether every prompt comes to it, as it does not to what stands under a condition. In a loop over the
    #: items of a list, it comes to what it reads in them for each.
    certain: bool = True

    def __str__(self) -> str:
        return write_steps(self.steps)


@dataclass(frozen=True, slots=True)
class Gap:
    """Where a path leads to a key that no value of the type has."""

    #: How many steps of the path there are values for.
    reached: int
    #: What they lead to.
    type: FieldType
    #: The key that it lacks.
    key: str


def find_gap(type_: FieldType, steps: tuple[Step, ...]) -> Gap | None:
    """The first key among ``steps`` that no value of ``type_`` has; None where all may be there.

    Silent where nothing is known: behind ``any`` and null, keys of maps and positions in lists. Steps
    that name no key and do not suit the type are not its matter either.
    """
    for reached, step in enumerate(steps):
        match type_.kind, step:
            case (("any" | "null"), _):
                return None
            case "map", str():
                found = type_.items
            case "list", (int() | None):
                found = type_.items
            case "struct", str():
                found = dict(type_.fields).get(step)
                if found is None:
                    return Gap(reached, type_, step)
            case _, str():
                return Gap(reached, type_, step)
            case _:
                return None
        if found is None:
            return None
        type_ = found
    return None


def write_steps(steps: tuple[Step, ...]) -> str:
    """``("meta", "authors", None, "name")`` as ``meta.authors[].name``."""
    text = ""
    for step in steps:
        match step:
            case None:
                text += "[]"
            case str() if step.isidentifier():
                text += f".{step}" if text else step
            case str() if not text:
                text = step
            case _:
                text += f"[{step!r}]"
    return text
