"""The limit at a server that never refuses: what is too much waits there, and only latency tells."""

from __future__ import annotations

import math

from pool_core.engine.adapt.stretch import Stretch
from pool_core.engine.place import Place
from pool_core.interfaces.values import Usage

__all__ = ["Queueing"]

#: The limit as a factor on what the server works on: a little waits there, so that it never idles. What is
#: measured is uncertain, and the limit errs on the side of waiting.
HEADROOM = 1.25
#: How deep a dip goes, as a share of the limit; and what share of the power of one latency must have followed
#: the calls in flight, so that throughput was the same at the bottom.
DEPTH, SAME = 0.7, 0.93
#: Answers of a stretch of measuring, at least, and its seconds; it also lasts as long as one call.
LEAST_ANSWERS, LEAST_SECONDS = 32, 0.1
#: How long nothing is measured after the first call at a new level, in times of a call that does not wait.
SETTLE = 1.2
#: Stretches between two dips, doubled while a dip moves the limit by no more than this share.
FIRST_CALM, MOST_CALM, STEADY = 1, 8, 0.15
#: How far latency has to be above that of the last dip, surely, for the limit to fall without another dip,
#: among how many answers, and to what share of the limit at the highest.
SUDDEN, WATCHED_ANSWERS, DEEP = math.log(1.6), 16, 0.8
#: How far latency has to be below what the headroom makes of it, surely, for the limit to rise without a dip;
#: after so many such rises it rises as it did in the beginning.
FREE, FREE_RISES = math.log(1.15), 2


class Queueing:
    """Holds a little above what the server works on, and finds that out by dips.

    A dip compares latency a little below the limit with latency at the limit, close in time: what changes
    slowly, such as the length of prompts, does not disturb it. Where the dip does not shorten latency, the
    limit was too low. Where latency falls with the calls in flight, throughput was the same with fewer.
    """

    def __init__(self, now: float, knee: float, most: int, low: Stretch) -> None:
        """``knee`` is how many calls the server works on at a time, ``low`` their latency without waiting."""
        self._most = most
        #: Latency without waiting, as last seen.
        self.low = low
        self._high: Stretch | None = None
        self._calm = FIRST_CALM
        self._rises = 0
        #: The last answers at whatever level, how many there were, and since when a fall is being tested.
        self._watched = Stretch(now)
        self._seen = 0
        self._fallen_at = math.inf
        #: What is measured at the present level, once calls of before no longer disturb it.
        self._stretch = Stretch(now)
        self._moved_at = now
        self._settled_at = math.inf
        self.level = self._held = 1
        self._move(now, knee * HEADROOM)

    def note_answer(self, now: float, place: Place, usage: Usage | None) -> bool:
        """Count an answer under a limit that was used. Returns whether there is so much room that it should rise."""
        if self._watch(now, place, usage) or not self._is_settled(now, place):
            return False
        stretch = self._stretch
        stretch.add(now, place, usage)
        if stretch.answers % LEAST_ANSWERS or now - stretch.began < max(LEAST_SECONDS, stretch.latency):
            return False
        if self._high is not None:
            self._end_dip(now, self._high, stretch)
            return False
        return self._judge(now, stretch)

    def _watch(self, now: float, place: Place, usage: Usage | None) -> bool:
        """Fall at once when latency shoots up. Returns whether it did.

        What the server works on is judged twice, by latency and by answers in a second, and the higher figure
        holds: the last calls of before a fall are the longest ones. Calls that were let in after a fall are not
        watched until `_judge` has seen whether it helped: a server that has become slow would otherwise be
        followed down to nothing.
        """
        self._seen += 1
        if place.since >= self._fallen_at:
            return False
        watched = self._watched
        watched.add(now, place, usage)
        if watched.answers < WATCHED_ANSWERS or now - watched.began < 0.5 * watched.latency:
            return False
        growth, error = watched.compare(self.low)
        by_latency = watched.level / math.exp(growth - error)
        by_answers = self._seen / (now - watched.began) * self.low.latency
        level = max(by_latency, by_answers) * HEADROOM
        self._watched, self._seen = Stretch(now), 0
        if growth - 3 * error < SUDDEN or level > DEEP * self.level:
            return False
        self._calm, self._high = FIRST_CALM, None
        self._fallen_at = min(self._fallen_at, now)
        self._move(now, level)
        return True

    def _judge(self, now: float, stretch: Stretch) -> bool:
        """Compare what was held with the last dip."""
        growth, error = stretch.compare(self.low)
        if self._fallen_at < math.inf and growth - 2 * error > SUDDEN:  # slow, or still full: a dip will tell
            self._begin_dip(now, stretch)
            return False
        self._fallen_at = math.inf
        if growth + error < FREE:
            self._calm = FIRST_CALM
            self._rises += 1
            if self._rises > FREE_RISES:
                return True
            self._move(now, max(self.level + 1, self.level * HEADROOM))
        elif stretch.answers >= self._calm * LEAST_ANSWERS:
            self._rises = 0
            self._begin_dip(now, stretch)
        return False

    def _begin_dip(self, now: float, high: Stretch) -> None:
        if self.level == 1:  # there is no lower level: what was held is the dip, and two are held next
            self.low = high
            self._move(now, 2)
            return
        self._high = high
        self._held = self.level
        self._move(now, min(self.level - 1, round(DEPTH * self.level)))

    def _end_dip(self, now: float, high: Stretch, low: Stretch) -> None:
        self._high, self._fallen_at = None, math.inf
        growth, error = high.compare(low)
        if growth > SAME * math.log(self._held / self.level):  # calls wait at the bottom of the dip as well
            waiting, error = low.compare(self.low)
            level = min(self.level, low.level / math.exp(waiting - error) * HEADROOM)
        else:
            self.low = low
            level = max(self.level, min(high.level / math.exp(growth - error), self._held) * HEADROOM)
        steady = abs(level - self._held) <= STEADY * self._held + 1
        self._calm = min(MOST_CALM, 2 * self._calm) if steady else FIRST_CALM
        self._move(now, level)

    def _is_settled(self, now: float, place: Place) -> bool:
        """Whether an answer that comes now has nothing to do with the level of before."""
        if self._settled_at == math.inf and place.since >= self._moved_at:  # the first that was let in since
            self._settled_at = place.since + SETTLE * self.low.latency
            self._stretch.began = max(now, self._settled_at)
        return now >= self._settled_at

    def _move(self, now: float, level: float) -> None:
        self.level = min(self._most, max(1, int(level + 0.5)))
        self._moved_at = now
        self._settled_at = math.inf
        self._stretch = Stretch(now)
