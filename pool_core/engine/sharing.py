"""Which members share a quota, and what they have agreed on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pool_core.engine.adapt.limit import AdaptiveLimit
from pool_core.engine.quota import Quota
from pool_core.engine.rate import Rate
from pool_core.interfaces.backend import Backend
from pool_core.plan.model import PlannedMember
from pool_core.recipe.models import Limits

__all__ = ["make_quotas"]


def make_quotas(members: Sequence[PlannedMember], backends: Sequence[Backend[Any]]) -> dict[str, Quota]:
    """One quota for all members of one real limit, by the identity that their backends give it.

    Of what such members name the smallest holds for all of them together: adding figures up would
    pass a limit that somebody wrote down on purpose. A fixed concurrency is the most that a neighbour's
    ``auto`` may reach.
    """
    shared: dict[str, list[Limits]] = {}
    for member, backend in zip(members, backends, strict=True):
        shared.setdefault(backend.quota, []).append(member.limits)
    return {identity: _make_quota(limits) for identity, limits in shared.items()}


def _make_quota(limits: Sequence[Limits]) -> Quota:
    rpm = min((each.rpm for each in limits if each.rpm is not None), default=None)
    tpm = min((each.tpm for each in limits if each.tpm is not None), default=None)
    rate = None if rpm is None and tpm is None else Rate(rpm, tpm)
    fixed = [each.concurrency for each in limits if each.concurrency != "auto"]
    most = [each.max_concurrency for each in limits if each.concurrency == "auto"]
    if not most:
        return Quota(min(fixed), rate)
    return Quota(AdaptiveLimit(min(most + fixed)), rate)
