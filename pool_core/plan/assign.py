"""Which members give a row's samples.

Every rule is a function of the row, its position in the input and the seed alone: the same whatever
the concurrency, the order of completion, or how often the run was stopped.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING

from pool_core.errors import TemplateError
from pool_core.interfaces.values import Row
from pool_core.recipe.models import Assign

if TYPE_CHECKING:
    from pool_core.templates import Expression

__all__ = ["MOST_SAMPLES", "WHEN_FAILED", "make_assigner"]

#: In place of a count: the member's ``when`` cannot be evaluated for this row.
WHEN_FAILED = 255
#: Most samples that one member can give for one row.
MOST_SAMPLES = 254

Assigner = Callable[[int, str, Row], bytes]


def make_assigner(
    assign: Assign, samples: int | None, seed: int, weights: Sequence[float], conditions: Sequence[Expression | None]
) -> Assigner:
    """The rule for ``assign``: (position, row id, row) -> one byte per member, its number of samples."""
    total = len(weights) if samples is None else samples
    match assign:
        case "all":
            count, members = total // len(weights), len(weights)
            return lambda _position, _row_id, _row: bytes([count]) * members
        case "balanced":
            return _Balanced(len(weights), total, seed)
        case "weighted":
            return _Weighted(tuple(accumulate(weights)), total, seed)
        case "routed":
            return _Routed(tuple(conditions), samples, seed)


@dataclass(frozen=True, slots=True)
class _Balanced:
    """The quotient to each member; the remainder rotates, so totals over the run differ by at most one.

    The members' order is shuffled anew for every block of as many rows as there are members, so that
    no member always meets the same place of a periodic input.
    """

    members: int
    total: int
    seed: int

    def __call__(self, position: int, _row_id: str, _row: Row) -> bytes:
        quotient, remainder = divmod(self.total, self.members)
        counts = [quotient] * self.members
        if remainder:
            block, place = divmod(position, self.members)
            order = list(range(self.members))
            Random(f"{self.seed}/{block}").shuffle(order)  # noqa: S311 - fairness, not secrecy
            for offset in range(remainder):
                counts[order[(place * remainder + offset) % self.members]] += 1
        return bytes(counts)


@dataclass(frozen=True, slots=True)
class _Weighted:
    """Each sample goes to a member drawn by weight."""

    cumulated: tuple[float, ...]
    total: int
    seed: int

    def __call__(self, _position: int, row_id: str, _row: Row) -> bytes:
        counts = [0] * len(self.cumulated)
        for sample in range(self.total):
            draw = _draw(f"{self.seed}/{sample}/{row_id}") * self.cumulated[-1]
            counts[min(bisect_right(self.cumulated, draw), len(counts) - 1)] += 1
        return bytes(counts)


@dataclass(frozen=True, slots=True)
class _Routed:
    """The members whose condition holds for the row: one sample each, or the total shared among them."""

    conditions: tuple[Expression | None, ...]
    total: int | None
    seed: int

    def __call__(self, _position: int, row_id: str, row: Row) -> bytes:
        counts = [0] * len(self.conditions)
        chosen = []
        for index, condition in enumerate(self.conditions):
            try:
                if condition is None or condition.test(row):
                    chosen.append(index)
            except TemplateError:
                counts[index] = WHEN_FAILED
        if chosen:
            quotient, remainder = divmod(len(chosen) if self.total is None else self.total, len(chosen))
            start = int(_draw(f"{self.seed}/{row_id}") * len(chosen))
            for place, index in enumerate(chosen):
                counts[index] = quotient + ((place - start) % len(chosen) < remainder)
        return bytes(counts)


def _draw(text: str) -> float:
    """A number in [0, 1) that is a function of ``text``."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=7).digest(), "big") / (1 << 56)
