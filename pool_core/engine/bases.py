"""What outcomes rest on: a member as it is configured, and the member that answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pool_core.interfaces.backend import Backend
from pool_core.plan.model import PlannedMember
from pool_core.store.store import Store

__all__ = ["register_bases", "release_answers"]


def register_bases(
    store: Store, members: Sequence[PlannedMember], backends: Sequence[Backend[Any]], keys: Sequence[int]
) -> list[dict[int, int | None]]:
    """What the outcomes of each member rest on, by the key of the member that answers: itself or a fallback."""
    texts = {member.name: _describe_basis(member, backend) for member, backend in zip(members, backends, strict=True)}
    numbers = {member.name: key for member, key in zip(members, keys, strict=True)}
    fallbacks = {member.name: member.fallback for member in members}
    found: list[dict[int, int | None]] = []
    for name, text in texts.items():
        bases = {numbers[name]: store.register_basis(text)}
        other = fallbacks[name]
        while other is not None:
            answered = texts[other]
            both = None if text is None or answered is None else f"{text} by {answered}"
            bases[numbers[other]] = store.register_basis(both)
            other = fallbacks[other]
        found.append(bases)
    return found


def release_answers(store: Store, keys: Sequence[int], all_bases: Sequence[Mapping[int, int | None]]) -> int:
    """Gather the answers that no outcome holds which rests on the members as they are. Returns their number."""
    return store.release_answers(
        [
            (key, basis)
            for key, bases in zip(keys, all_bases, strict=True)
            for basis in bases.values()
            if basis is not None
        ]
    )


def _describe_basis(member: PlannedMember, backend: Backend[Any]) -> str | None:
    """What a member's outcomes rest on, as one text; None where it is not known."""
    if member.request_fingerprint is None or member.parse_fingerprint is None:
        return None
    return f"{member.request_fingerprint}/{member.parse_fingerprint}/{backend.identity}"
