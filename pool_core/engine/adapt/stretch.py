"""What the answers of a stretch of time say about latency."""

from __future__ import annotations

import math

from pool_core.engine.place import Place
from pool_core.interfaces.values import Usage

__all__ = ["Stretch"]

#: What the variance of a latency's logarithm is thought to be before anything was seen, and how many
#: answers that is worth.
PRIOR_VARIANCE, PRIOR_ANSWERS = 0.25, 4
#: Shorter latencies, in seconds, count as this.
LEAST_LATENCY = 1e-6


class Stretch:
    """Latencies of some answers, as logarithms: a few long ones must not speak for all.

    Where the server tells the tokens of every answer, they are kept per token as well, for a model's
    latency follows the length of its answer. Of the two the one that varies less is used.
    """

    __slots__ = ("_per_token", "_plain", "answers", "began", "in_flight", "seconds")

    def __init__(self, began: float = 0.0) -> None:
        self.began = began
        self.answers = 0
        #: Sums over the answers: calls in flight when each was let in, and latencies in seconds.
        self.in_flight = 0
        self.seconds = 0.0
        self._plain = _Logarithms()
        self._per_token = _Logarithms()

    def add(self, now: float, place: Place, usage: Usage | None) -> None:
        """Count an answer that has come ``now``."""
        latency = max(LEAST_LATENCY, now - place.since)
        self.answers += 1
        self.in_flight += place.in_flight
        self.seconds += latency
        logarithm = math.log(latency)
        self._plain.add(logarithm)
        tokens = usage.output_tokens if usage is not None else None
        if tokens is not None and tokens > 0:
            self._per_token.add(logarithm - math.log(tokens))

    def add_all(self, other: Stretch) -> None:
        """Count the answers of another stretch as well."""
        self.answers += other.answers
        self.in_flight += other.in_flight
        self.seconds += other.seconds
        self._plain.add_all(other._plain)
        self._per_token.add_all(other._per_token)

    @property
    def level(self) -> float:
        """Mean number of calls in flight."""
        return self.in_flight / self.answers

    @property
    def latency(self) -> float:
        """Mean latency in seconds."""
        return self.seconds / self.answers

    def compare(self, other: Stretch) -> tuple[float, float]:
        """The logarithm of this latency as a factor on that of ``other``, and its standard error."""
        plain = self._plain.compare(other._plain)
        if self._per_token.count < self.answers or other._per_token.count < other.answers:
            return plain
        return min(plain, self._per_token.compare(other._per_token), key=lambda found: found[1])


class _Logarithms:
    """Number, sum and sum of squares of logarithms."""

    __slots__ = ("count", "squares", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.squares = 0.0

    def add(self, logarithm: float) -> None:
        self.count += 1
        self.total += logarithm
        self.squares += logarithm * logarithm

    def add_all(self, other: _Logarithms) -> None:
        self.count += other.count
        self.total += other.total
        self.squares += other.squares

    def compare(self, other: _Logarithms) -> tuple[float, float]:
        """The difference of the means, and its standard error with a common variance."""
        scatter = PRIOR_VARIANCE * PRIOR_ANSWERS
        for each in (self, other):
            scatter += max(0.0, each.squares - each.total * each.total / each.count)
        variance = scatter / (self.count + other.count - 2 + PRIOR_ANSWERS)
        error = math.sqrt(variance * (1 / self.count + 1 / other.count))
        return self.total / self.count - other.total / other.count, error
