"""What one member would use: its cells counted one by one, and summed up."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, sqrt

from pool_core.engine.rehearsal import Asked, Failing, Found, Read, Settled
from pool_core.interfaces.values import Prompt
from pool_core.plan.model import PlannedMember
from pool_core.plan.prices import TokenPrice
from pool_core.plan.tokens import TokenRange, count_tokens, find_max_tokens
from pool_core.report.duration import Span
from pool_core.store.records import Measured

__all__ = ["MemberEstimate", "Tally", "predict_output"]

#: Stored answers of a member from which its own figures count.
LEAST_ANSWERS = 8


@dataclass(frozen=True, slots=True)
class MemberEstimate:
    """What one member would use."""

    name: str
    model: str
    cells: int
    #: Cells whose answer is in the run directory already.
    reused: int
    #: Cells that would fail before anything is asked, and why the first of them does.
    failing: int
    problem: str
    #: Requests that would be sent if each succeeded at once.
    requests: int
    input_tokens: Span
    output_tokens: Span
    #: Dollars; None where the price is not known.
    cost: Span | None
    price: TokenPrice | None
    #: Most tokens of an answer, None where the recipe does not say.
    max_tokens: int | None
    #: Stored answers whose lengths count here in the place of 0 to ``max_tokens``.
    measured: int
    #: Mean seconds of the member's stored answers, None where there are none.
    latency: float | None


@dataclass(slots=True)
class Tally:
    """Counts the cells of one member."""

    member: PlannedMember
    settled: int = 0
    read: int = 0
    failing: int = 0
    problem: str = ""
    requests: int = 0
    #: Tokens of the prompts, at least and at most.
    low: float = 0.0
    high: float = 0.0
    #: Whether every prompt is text alone, so that the most is known.
    whole: bool = True
    #: Of prompts whose answers are stored: their number, the least tokens they seem to have, and what they had.
    seen: int = 0
    seen_low: float = 0.0
    seen_tokens: int = 0
    #: Sums of millionths of dollars: the prompts' least tokens and their most, each at its rate ...
    low_cost: float = 0.0
    high_cost: float = 0.0
    #: ... the least tokens at the rate of the most, and what one token more of every answer costs.
    mixed_cost: float = 0.0
    low_rates: float = 0.0
    high_rates: float = 0.0

    def add(self, found: Found) -> None:
        """Count what becomes of one cell."""
        match found:
            case Settled():
                self.settled += 1
            case Read():
                self.read += 1
                self.weigh(found.prompt, found.input_tokens)
            case Failing():
                self.failing += 1
                self.problem = self.problem or f"row {found.row_id!r}: {found.message}"
            case Asked():
                self._add_request(count_tokens(found.prompt))

    def weigh(self, prompt: Prompt, input_tokens: int | None) -> None:
        """Note how many tokens a prompt had, as its answer says; None where it does not."""
        if input_tokens is not None:
            self.seen += 1
            self.seen_low += count_tokens(prompt).low
            self.seen_tokens += input_tokens

    def _add_request(self, tokens: TokenRange) -> None:
        low, high = tokens.low, tokens.low if tokens.high is None else tokens.high
        self.whole = self.whole and tokens.high is not None
        self.requests += 1
        self.low += low
        self.high += high
        if self.member.price is not None:
            low_rate, high_rate = self.member.price.find_rate(low), self.member.price.find_rate(high)
            self.low_cost += low * low_rate.input
            self.high_cost += high * high_rate.input
            self.mixed_cost += low * high_rate.input
            self.low_rates += low_rate.output
            self.high_rates += high_rate.output

    def summarize(self, model: str, measured: Measured | None) -> MemberEstimate:
        """The estimate, with what stored answers tell where they do."""
        most = find_max_tokens(self.member.sampling)
        known = measured is not None and measured.told >= LEAST_ANSWERS
        output = predict_output(self.requests, most, measured if known else None)
        low, high = self.low, self.high if self.whole else None
        low_cost, high_cost = self.low_cost, self.high_cost if self.whole else None
        if self.seen >= LEAST_ANSWERS and self.seen_low:
            scale = self.seen_tokens / self.seen_low
            low, high, low_cost, high_cost = (
                scale * value for value in (self.low, self.low, self.low_cost, self.mixed_cost)
            )
        return MemberEstimate(
            name=self.member.name,
            model=model,
            cells=self.settled + self.read + self.failing + self.requests,
            reused=self.settled + self.read,
            failing=self.failing,
            problem=self.problem,
            requests=self.requests,
            input_tokens=_round(low, high),
            output_tokens=_round(*output),
            cost=self._sum_cost(low_cost, high_cost, *output),
            price=self.member.price,
            max_tokens=most,
            measured=measured.told if measured is not None and known else 0,
            latency=measured.seconds if measured is not None else None,
        )

    def _sum_cost(self, low: float, high: float | None, output_low: float, output_high: float | None) -> Span | None:
        """Dollars of prompts and answers; the answers' tokens are shared out evenly."""
        if not self.requests:
            return Span(0.0, 0.0)
        if self.member.price is None:
            return None
        least = (low + self.low_rates * output_low / self.requests) / 1e6
        if high is None or output_high is None:
            return Span(least, None)
        return Span(least, (high + self.high_rates * output_high / self.requests) / 1e6)


def predict_output(requests: int, most: int | None, measured: Measured | None) -> tuple[float, float | None]:
    """The tokens of so many answers, at least and at most.

    Without measured ones, from none at all to as many as each may have. Else what 95 % of such sums
    are within: the prediction interval of a sum, with Student's t, which 1.96 + 2.4 / (n - 1) is close to.
    """
    longest = None if most is None else float(requests * most)
    if measured is None:
        return 0.0, longest if requests else 0.0
    mean, answers = measured.output_tokens, measured.told
    variance = max(0.0, measured.output_squares - mean**2) * answers / (answers - 1)
    spread = (1.96 + 2.4 / (answers - 1)) * sqrt(variance * requests * (1 + requests / answers))
    high = requests * mean + spread
    if longest is not None:  # it may have been lowered since
        high = min(high, longest)
    return min(high, max(0.0, requests * mean - spread)), high


def _round(low: float, high: float | None) -> Span:
    return Span(floor(low), None if high is None else ceil(high))
