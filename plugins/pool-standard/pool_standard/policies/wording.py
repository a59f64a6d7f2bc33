"""What the findings of all policies are made of: members in words, lists of names, and fixes in YAML."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from math import isfinite
from typing import Any

from pool_core.interfaces.policy import MemberSignature

__all__ = ["describe_members", "join_words", "list_names", "name_class", "sort_members", "write_fix"]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_YAML_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null"})


def sort_members(members: Iterable[MemberSignature]) -> list[MemberSignature]:
    """Put ``members`` in an order of their own, so that the recipe's order says nothing."""
    return sorted(members, key=lambda member: (member.name, member.task))


def name_class(cls: type) -> str:
    """The full name of a class."""
    return f"{cls.__module__}.{cls.__qualname__}"


def list_names(names: Iterable[str]) -> str:
    """Names in quotes as a sentence lists them, in the order given."""
    return join_words([repr(name) for name in names])


def describe_members(members: Sequence[MemberSignature], *, classes: bool = False) -> str:
    """Members in words, each with its task: `'a' and 'b' (standard/chat)`; with ``classes``, its class too."""
    by_task: dict[tuple[str, type], list[str]] = {}
    for member in members:
        by_task.setdefault((member.task, member.task_class), []).append(member.name)
    return join_words(
        [
            f"{list_names(names)} ({task}, {name_class(cls)})" if classes else f"{list_names(names)} ({task})"
            for (task, cls), names in by_task.items()
        ]
    )


def join_words(words: Collection[str]) -> str:
    """Words as a sentence lists them, in the order given."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def write_fix(key: str, value: Mapping[str, Any] | Sequence[str]) -> str:
    """One line of YAML that sets ``key`` to ``value``; a mapping in name order.

    Raises:
        ValueError: ``value`` holds what YAML has no plain form for.
    """
    return f"{key}: {_write_value(dict(sorted(value.items())) if isinstance(value, Mapping) else value)}"


def _write_value(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case float() if isfinite(value):
            return _write_float(value)
        case str():
            return _quote(value)
        case Mapping() if all(isinstance(name, str) for name in value):
            return f"{{{', '.join(f'{_quote(name)}: {_write_value(item)}' for name, item in value.items())}}}"
        case list() | tuple():
            return f"[{', '.join(map(_write_value, value))}]"
    raise ValueError(f"a {type(value).__name__} such as {value!r} cannot be written in a recipe")


def _write_float(value: float) -> str:
    """With a point always: YAML 1.1 takes ``1e+16`` for text."""
    digits, exponent, power = repr(float(value)).partition("e")
    return f"{digits if '.' in digits else f'{digits}.0'}{exponent}{power}"


def _quote(name: str) -> str:
    if _PLAIN.fullmatch(name) and name.lower() not in _YAML_WORDS:
        return name
    return '"' + "".join(_escape(character) for character in name) + '"'


def _escape(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08x}"
