"""The limit rests under what a server has refused."""

from __future__ import annotations

from pool_core.engine.place import Place

__all__ = ["Resting"]

#: Before one more is tried: so many seconds, doubled after each try in vain up to so many times...
WAIT_SECONDS, MOST_DOUBLINGS = 1.0, 4
#: ...and so many answers: at most one call in a hundred is spent on trying. After a deep fall it is fewer at
#: first, doubled by each try in vain: what the server bore before it may well bear again.
ANSWERS, ANSWERS_AFTER_FALL = 100, 5
#: Answers since the last refusal that make another one a mood of the server, where no more was tried.
MOOD_ANSWERS = 30


class Resting:
    """Stays under the ceiling, and tries one more ever more rarely for as long as that is in vain."""

    def __init__(self, most: int) -> None:
        self.level = most
        self._most = most
        self._floor = 1
        self._trying = False
        #: The level at which the last try began, and the tries in vain since one was not.
        self._tried_from = 0
        self._failed_tries = 0
        #: Answers since then, how many the next one needs, and when it may be at the earliest.
        self._answers = 0
        self._needed = ANSWERS
        self._next_try = 0.0
        self._since_refusal = 0

    def begin(self, now: float, level: int, *, risen: bool) -> None:
        """Rest from ``level`` on, which has just been refused. One burst of refusals takes half of it at most.

        ``risen`` tells whether the limit has risen to it, else it was rested at before.
        """
        self.level = level
        self._floor = max(1, level // 2)
        self._next_try = now + WAIT_SECONDS * 2**self._failed_tries
        if risen or self._trying:
            self._answers = self._since_refusal = 0
        self._trying = False

    def forgive(self) -> bool:
        """Whether a refusal says nothing: some servers refuse now and then, whatever is in flight."""
        mood = not self._trying and self._since_refusal >= MOOD_ANSWERS
        self._since_refusal = 0
        return mood

    def fall(self) -> None:
        """The limit has been halved: what it rests at next is no ceiling that was found by rising."""
        self._needed = ANSWERS_AFTER_FALL
        self._failed_tries = 0

    def lower(self, in_flight: int) -> None:
        """Go down by one for a refused call: what is left of a burst is then what the server took.

        With less than half of the limit ``in_flight``, the ceiling is nearer to that.
        """
        self.level = max(self._floor, min(self.level, 2 * in_flight) - 1)

    def note_answer(self, now: float, place: Place) -> bool:
        """Count an answer under a limit that was used. Returns whether a try has been answered."""
        if self._trying:
            return place.in_flight >= self.level
        self._answers += 1
        self._since_refusal += 1
        if self._answers >= self._needed and now >= self._next_try and self.level < self._most:
            grown = self.level > 1.1 * self._tried_from + 1
            self._failed_tries = 0 if grown else min(self._failed_tries + 1, MOST_DOUBLINGS)
            self._needed = min(ANSWERS, 2 * self._needed)
            self._tried_from = self.level
            self.level += 1
            self._trying = True
        return False
