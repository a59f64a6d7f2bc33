"""What the findings of all policies are made of: members in words, and lists of names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from pool_core.interfaces.policy import MemberSignature

__all__ = ["describe_members", "join_words", "list_names", "name_class", "sort_members"]


def sort_members(members: Iterable[MemberSignature]) -> list[MemberSignature]:
    """Put ``members`` in an order of their own, so that the recipe's order says nothing."""
    return sorted(members, key=lambda member: (member.name, member.task))


def name_class(cls: type) -> str:
    """The full name of a class."""
    return f"{cls.__module__}.{cls.__qualname__}"


def list_names(names: Iterable[str], most: int = 20) -> str:
    """Names in quotes as a sentence lists them, in the order given; of many the first."""
    return _join_some([repr(name) for name in names], most)


def describe_members(members: Sequence[MemberSignature], *, classes: bool = False) -> str:
    """Members in words, each with its task: `'a' and 'b' (standard/chat)`; with ``classes``, its class too."""
    by_task: dict[tuple[str, type], list[str]] = {}
    for member in members:
        by_task.setdefault((member.task, member.task_class), []).append(member.name)
    groups = [
        f"{list_names(names)} ({task}, {name_class(cls)})" if classes else f"{list_names(names)} ({task})"
        for (task, cls), names in by_task.items()
    ]
    return _join_some(groups, 10)


def _join_some(words: Sequence[str], most: int) -> str:
    more = len(words) - most
    return f"{', '.join(words[:most])} and {more:,} more" if more > 0 else join_words(words)


def join_words(words: Collection[str]) -> str:
    """Words as a sentence lists them, in the order given."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
