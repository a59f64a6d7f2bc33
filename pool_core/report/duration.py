"""How long a run takes at the limits that its recipe sets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pool_core.recipe.models import Limits

__all__ = ["Load", "Span", "estimate_seconds"]


@dataclass(frozen=True, slots=True)
class Span:
    """Two bounds of a figure; None where nothing bounds it."""

    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Load:
    """What one member asks of its quota."""

    quota: str
    limits: Limits
    requests: int
    tokens: Span
    #: Seconds of one call, None where none was seen yet.
    latency: float | None


def estimate_seconds(loads: Iterable[Load]) -> Span:
    """The seconds until the last quota has served its members; the quotas work side by side.

    Calls that fail and are sent again are not counted.
    """
    by_quota: dict[str, list[Load]] = {}
    for load in loads:
        if load.requests:
            by_quota.setdefault(load.quota, []).append(load)
    spans = [_estimate_quota(members) for members in by_quota.values()]
    if not spans:
        return Span(0.0, 0.0)
    lows = [span.low for span in spans if span.low is not None]
    highs = [span.high for span in spans if span.high is not None]
    return Span(max(lows, default=None), max(highs) if len(highs) == len(spans) else None)


def _estimate_quota(members: Sequence[Load]) -> Span:
    """The longest of what each limit takes. Of members that share a quota the smallest limit holds."""
    requests = sum(member.requests for member in members)
    lows: list[float] = []
    highs: list[float | None] = []
    if rpm := _find_least(member.limits.rpm for member in members):
        lows.append(requests / rpm * 60)
        highs.append(requests / rpm * 60)
    if tpm := _find_least(member.limits.tpm for member in members):
        lows.append(sum(member.tokens.low or 0 for member in members) / tpm * 60)
        high = [member.tokens.high for member in members]
        highs.append(None if None in high else sum(filter(None, high)) / tpm * 60)
    busy = [None if member.latency is None else member.requests * member.latency for member in members]
    if None in busy:
        highs.append(None)
    else:
        seconds = sum(filter(None, busy))
        fixed = [member.limits.concurrency for member in members if member.limits.concurrency != "auto"]
        most = min(fixed) if fixed else min(member.limits.max_concurrency for member in members)
        lows.append(seconds / most)
        highs.append(seconds / most if fixed else None)  # what `auto` will find is not known
    return Span(max(lows, default=None), None if None in highs else max(high for high in highs if high is not None))


def _find_least(limits: Iterable[int | None]) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)
