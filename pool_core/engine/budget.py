"""The budget of a run, kept as an account: what was used, and what calls in flight may still use.

A call is counted with an estimate before it leaves and with what it really used once it has ended. So
the budget is passed by no more than what calls in flight use beyond their estimates. Where a call does
not fit because of calls in flight, it waits for them: most use less than was thought.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

from pool_core.interfaces.values import Usage
from pool_core.plan.prices import format_dollars
from pool_core.recipe.models import Budget

__all__ = ["Account", "Reservation"]


class Reservation(NamedTuple):
    """What a call that is about to leave is thought to use."""

    tokens: int
    #: Dollars; 0 where the price is not known, which only a recipe allows that silences the finding on it.
    cost: float


class Account:
    """Keeps the budget of one start of a run. `settle` or `release` must follow every reservation.

    Args:
        tokens: what earlier starts of the run have used.
        cost: the same in dollars.
        started: when this start began, on the clock that ``now`` is read from.
    """

    def __init__(self, budget: Budget, *, tokens: int = 0, cost: float = 0.0, started: float = 0.0) -> None:
        self._budget = budget
        self._started = started
        #: Tokens and dollars that the run has used, over its whole life.
        self.tokens = tokens
        self.cost = cost
        #: Answers that did not say what they used, counted as estimated.
        self.estimated = 0
        #: Why nothing more may leave, and what to do; empty while something may.
        self.exhausted = ""
        self._reserved_tokens = 0
        self._reserved_cost = 0.0
        self._open = 0
        self._waiting: deque[tuple[asyncio.Future[Reservation | None], Reservation]] = deque()

    @property
    def overdrawn(self) -> bool:
        """Whether what was used and what is counted for calls are more than the budget: some used more than thought."""
        return self._find_lack(Reservation(0, 0.0)) is not None

    def reserve(self, tokens: int, cost: float | None, now: float) -> Reservation | None:
        """Count a call before it leaves. None: it may not leave now, or, where `exhausted` says so, at all.

        Args:
            tokens: what it is thought to use, prompt and answer together.
            cost: the same in dollars, None where the price is not known.
        """
        return None if self._waiting else self._try(Reservation(tokens, cost or 0.0), now)

    async def acquire(self, tokens: int, cost: float | None) -> Reservation | None:
        """Count a call before it leaves, and wait while it does not fit for calls in flight. None: `exhausted`."""
        loop = asyncio.get_running_loop()
        reservation = self.reserve(tokens, cost, loop.time())
        if reservation is not None or self.exhausted:
            return reservation
        future: asyncio.Future[Reservation | None] = loop.create_future()
        self._waiting.append((future, Reservation(tokens, cost or 0.0)))
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and (given := future.result()) is not None:
                self.release(given)  # it was given in the moment of the cancellation
            else:
                self._admit()  # whoever stands behind may fit
            raise

    def settle(self, reservation: Reservation, usage: Usage, cost: float | None) -> None:
        """Count what an answer has used, in the place of what was thought.

        Args:
            usage: as the server counted. What it did not say counts as estimated.
            cost: its dollars; None where usage or price is not known.
        """
        known = (usage.input_tokens or 0) + (usage.output_tokens or 0)
        told = usage.input_tokens is not None and usage.output_tokens is not None
        self.estimated += not told
        self.tokens += known if told else max(known, reservation.tokens)
        self.cost += reservation.cost if cost is None else cost
        self.release(reservation)

    def release(self, reservation: Reservation) -> None:
        """Count nothing for a call that brought no answer."""
        self._open -= 1
        self._reserved_tokens -= reservation.tokens
        self._reserved_cost = self._reserved_cost - reservation.cost if self._open else 0.0
        self._admit()

    def expire(self, now: float) -> None:
        """Note that the time is up, if it is, and let those who wait know."""
        self._check_time(now)
        self._admit()

    def count_seconds(self, now: float) -> float | None:
        """Seconds that are left, None where the time has no limit."""
        most = self._budget.max_time
        return None if most is None else max(0.0, self._started + most - now)

    def _try(self, wanted: Reservation, now: float) -> Reservation | None:
        self._check_time(now)
        if self.exhausted:
            return None
        if (problem := self._find_lack(wanted)) is not None:
            if not self._open:
                self.exhausted = problem
            return None
        self._open += 1
        self._reserved_tokens += wanted.tokens
        self._reserved_cost += wanted.cost
        return wanted

    def _admit(self) -> None:
        while self._waiting:
            future, wanted = self._waiting[0]
            if not future.done():
                given = self._try(wanted, asyncio.get_running_loop().time())
                if given is None and not self.exhausted:
                    return
                future.set_result(given)
            self._waiting.popleft()

    def _check_time(self, now: float) -> None:
        if not self.exhausted and self.count_seconds(now) == 0:
            self.exhausted = (
                f"the time is up: `max_time: {self._budget.max_time:g}` seconds have passed; "
                "run the same command again to go on"
            )

    def _find_lack(self, wanted: Reservation) -> str | None:
        """Why a call does not fit, None if it does."""
        most_tokens, most_cost = self._budget.max_tokens, self._budget.max_cost
        if most_tokens is not None and self.tokens + self._reserved_tokens + wanted.tokens > most_tokens:
            return (
                f"the budget is reached: {self.tokens:,} tokens of `max_tokens: {most_tokens}` are used, and the next "
                f"request may use {wanted.tokens:,}; raise `budget: {{max_tokens: ...}}` and run the same command again"
            )
        if most_cost is not None and self.cost + self._reserved_cost + wanted.cost > most_cost:
            return (
                f"the budget is reached: {format_dollars(self.cost)} of `max_cost: {most_cost:g}` are spent, and the "
                f"next request may cost {format_dollars(wanted.cost)}; raise `budget: {{max_cost: ...}}` and run the "
                "same command again"
            )
        return None
