"""The limit rises until the server has shown what it bears."""

from __future__ import annotations

import math

from pool_core.engine.adapt.stretch import Stretch
from pool_core.engine.place import Place
from pool_core.interfaces.values import Usage

__all__ = ["Rising"]

#: A server is saturated when, for what was added to the calls in flight, latency grew by more than this
#: power of it: half of the power would mean that twice the calls bring 1.4 times the answers.
POWER = 0.5
#: Standard errors by which that has to be sure.
SURE = 2.0
#: Answers to judge by at a low number of calls in flight; at a high one is judged after each so many.
LEAST_LOW, LEAST_HIGH = 2, 4


class Rising:
    """Every answer raises the limit by one, which doubles it in the time of one call.

    It ends with a refusal, or when latency shows that further calls only wait at the server. For that the
    answers are kept by octaves of what was in flight when their calls were let in.
    """

    def __init__(self, level: int, most: int, low: Stretch | None = None) -> None:
        """``low`` is what is known already of calls that did not wait."""
        self.level = level
        self._most = most
        self._octaves: dict[int, Stretch] = {}
        if low is not None:
            self._octaves[round(low.level).bit_length()] = low

    def note_answer(self, now: float, place: Place, usage: Usage | None, *, used: bool) -> tuple[float, Stretch] | None:
        """Count an answer; it raises the limit where that was ``used``.

        Returns what the server bears and the latency without waiting, once the server is saturated.
        """
        if used:
            self.level = min(self._most, self.level + 1)
        octave = place.in_flight.bit_length()
        high = self._octaves.get(octave)
        if high is None:
            high = self._octaves[octave] = Stretch(now)
        high.add(now, place, usage)
        if high.answers % LEAST_HIGH or len(self._octaves) == 1:
            return None
        for gap in (1, 2):
            low = Stretch()
            for other, stretch in self._octaves.items():
                if other <= octave - gap:
                    low.add_all(stretch)
            if low.answers >= LEAST_LOW and (knee := _find_knee(low, high)) is not None:
                return knee, low
        return None


def _find_knee(low: Stretch, high: Stretch) -> float | None:
    """How many calls the server works on at a time, if they are fewer than were in flight in ``high``."""
    growth, error = high.compare(low)
    if growth - SURE * error < POWER * math.log(high.level / low.level):
        return None
    return high.level / math.exp(growth - error)
