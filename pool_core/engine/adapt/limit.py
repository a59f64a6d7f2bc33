"""A limit of concurrency that finds out what its server bears, and follows it."""

from __future__ import annotations

from pool_core.engine.adapt.queueing import Queueing
from pool_core.engine.adapt.resting import Resting
from pool_core.engine.adapt.rising import Rising
from pool_core.engine.place import End, Place
from pool_core.interfaces.values import Usage

__all__ = ["AdaptiveLimit"]

#: Where the limit begins.
START = 4
#: Share of the limit that has to be in flight so that the limit counts as used: of one that is not, nothing is learnt.
USED = 0.8
#: Refusals in a row, each among the first calls after a cut, until the limit is halved.
CLOSE, HALVING_STREAK = 2, 2
#: Failed calls in a row, at least, until the limit is halved.
LEAST_FAILED = 8
#: Answers that make a level one to come back to soon after a deep fall.
PROVEN = 100


class AdaptiveLimit:
    """Follows the capacity of a server, whether it refuses what is too much or lets it wait."""

    def __init__(self, most: int, start: int = START) -> None:
        #: The limit at present.
        self.current = min(start, most)
        self._most = most
        self._resting = Resting(most)
        self._stage: Rising | Resting | Queueing = Rising(self.current, most)
        #: The last place that was given, how many were in flight then or are now, and the last place with which
        #: the limit was as good as reached: calls up to that one have seen the limit used.
        self._given = 0
        self._in_flight = 0
        self._filled = 0
        #: The last place that was given before a refusal or a failure lowered the limit. What comes of
        #: places up to it says nothing of the limit as it is.
        self._cut_at = 0
        self._streak = 0
        self._failed = 0
        #: Answers since the last deep fall.
        self._answered = 0

    def note_given(self, place: Place) -> None:
        """Learn of a place that was given."""
        self._given = place.number
        self._in_flight = place.in_flight
        if place.in_flight >= USED * self.current:
            self._filled = place.number

    def note_end(self, now: float, place: Place, end: End, usage: Usage | None) -> None:
        """Learn from the end of the call that held ``place``.

        ``now`` is in seconds on the clock of ``place.since``; ``usage`` is what the server said.
        """
        self._in_flight -= 1
        if end is End.ANSWERED:
            self._failed = 0
            self._answered += 1
            if place.number > self._cut_at:
                self._note_answer(now, place, usage, used=place.number <= self._filled)
        elif end is End.LIMITED or end is End.OVERLOADED:
            self._note_refusal(now, place)
        elif end is End.FAILED:
            self._note_failure(place)
        self.current = self._stage.level

    def _note_answer(self, now: float, place: Place, usage: Usage | None, *, used: bool) -> None:
        stage = self._stage
        if isinstance(stage, Rising):
            found = stage.note_answer(now, place, usage, used=used)
            if found is not None:
                knee, low = found
                self._stage = Queueing(now, knee, self._most, low)
        elif not used:
            return
        elif isinstance(stage, Queueing):
            if stage.note_answer(now, place, usage):
                self._stage = Rising(stage.level, self._most, stage.low)
        elif stage.note_answer(now, place):
            self._stage = Rising(stage.level, self._most)

    def _note_refusal(self, now: float, place: Place) -> None:
        if place.number > self._cut_at:  # else it belongs to the burst that was cut for already
            if self._stage is self._resting and self._resting.forgive():
                return
            self._streak = self._streak + 1 if place.number - self._cut_at <= CLOSE else 0
            self._cut_at = self._given
            if self._streak >= HALVING_STREAK:
                self._halve()
                return
            self._resting.begin(now, self.current, risen=self._stage is not self._resting)
            self._stage = self._resting
        if self._stage is self._resting:
            self._resting.lower(max(place.in_flight, self._in_flight + 1))

    def _note_failure(self, place: Place) -> None:
        self._failed += 1
        if place.number > self._cut_at and self._failed >= max(LEAST_FAILED, self.current):
            self._cut_at = self._given
            self._halve()

    def _halve(self) -> None:
        """Nothing is known of a level where nearly everything ends badly: go down fast, and rise from there."""
        self._streak = self._failed = 0
        if self._answered >= PROVEN:
            self._resting.fall()
            self._answered = 0
        self._stage = Rising(max(1, self.current // 2), self._most)
