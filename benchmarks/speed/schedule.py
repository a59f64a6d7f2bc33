"""The latencies that the server plays, and the schedule of a client that costs nothing.

A latency is a pure function of seed, model, row and attempt, so the same rows have the same latencies in any order and
the best possible schedule is known: calls start in the order of the rows, each as soon as a slot is free. The sum of
the latencies divided by the slots is less and cannot be reached: at the end the slots run empty one by one.
"""

from __future__ import annotations

import heapq
import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

__all__ = ["IDLE", "Load", "ModelLoad", "schedule"]

_TABLE = 4096


@dataclass(frozen=True, slots=True)
class ModelLoad:
    """How a model answers."""

    #: Mean time of a call in seconds, and the spread of the times, which are log-normal.
    latency: float = 0.0
    sigma: float = 0.5
    #: Share of the rows whose first request gets a 429, and after how many seconds it says to come back.
    limited: float = 0.0
    retry_after: float = 1.0


#: A model that answers at once.
IDLE = ModelLoad()


@dataclass(frozen=True, slots=True)
class Load:
    """How all models of a server answer; those that are not named answer at once."""

    models: dict[str, ModelLoad]
    seed: int = 1

    def draw(self, model: str, row: int, attempt: int) -> tuple[float, bool]:
        """The time of a call in seconds, and whether its reply is a 429, which comes at once."""
        one = self.models.get(model, IDLE)
        if one.limited and attempt == 0 and _hash(self.seed + 1, model, row) < one.limited:
            return 0.0, True
        if not one.latency:
            return 0.0, False
        # a failed attempt is not paid for by a shorter one: all attempts at a row take as long
        position = int(_hash(self.seed, model, row) * _TABLE)
        return one.latency * _make_table(one.sigma)[position], False


def _hash(seed: int, model: str, row: int) -> float:
    """A number in [0, 1)."""
    # crc32 is linear, so neighbours are alike in it; two multiplications mix its bits
    value = zlib.crc32(f"{seed}/{model}/{row}".encode())
    for factor in (0x85EBCA6B, 0xC2B2AE35):
        value = ((value ^ (value >> 15)) * factor) & 0xFFFFFFFF
    return (value ^ (value >> 16)) / 2**32


@cache
def _make_table(sigma: float) -> tuple[float, ...]:
    """Quantiles of the log-normal distribution whose mean is 1."""
    normal = NormalDist()
    return tuple(
        math.exp(sigma * normal.inv_cdf((number + 0.5) / _TABLE) - sigma * sigma / 2) for number in range(_TABLE)
    )


def schedule(load: Load, model: str, rows: Iterable[int], slots: int, *, hold: bool = False) -> float:
    """Seconds from the first request to the last reply of one model.

    Args:
        slots: Most requests in flight.
        hold: Whether a row that was told to come back keeps its slot meanwhile. Without it the row waits
            outside and takes the first slot that is free once its time has come, before rows not begun.
    """
    wait = load.models.get(model, IDLE).retry_after
    free = [0.0] * slots
    waiting: list[tuple[float, int]] = []  # when a row may be asked again, and which
    last = 0.0
    fresh: list[int] = list(rows)[::-1]
    while fresh or waiting:
        start = heapq.heappop(free)
        if waiting and (waiting[0][0] <= start or not fresh):
            due, row = heapq.heappop(waiting)
            start, attempt = max(start, due), 1
        else:
            row, attempt = fresh.pop(), 0
        seconds, limited = load.draw(model, row, attempt)
        end = start + seconds
        if limited and hold:
            end += wait + load.draw(model, row, 1)[0]
        elif limited:
            heapq.heappush(waiting, (end + wait, row))
        heapq.heappush(free, end)
        last = max(last, end)
    return last


def share(ideal: Sequence[float], taken: Sequence[float]) -> float:
    """What part of the time the ideal would have taken, over the longest of each."""
    return max(ideal) / max(taken)
