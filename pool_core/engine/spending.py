"""What a member's calls may use and have used: tokens for its quota, tokens and dollars for the run's budget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pool_core.engine.budget import Account, Reservation
from pool_core.interfaces.values import Usage
from pool_core.plan.model import PlannedMember
from pool_core.plan.prices import compute_cost
from pool_core.plan.tokens import Forecast, find_max_tokens

__all__ = ["Spending", "guess_unknown"]


class Spending:
    """Guesses what a call of one member will use, and keeps the run's account told. One per member."""

    def __init__(self, member: PlannedMember, account: Account | None, stop_run: Callable[[str], None]) -> None:
        """Make it.

        Args:
            account: the run's budget, None where the recipe has none.
            stop_run: told why, when nothing more may be sent.
        """
        self._price = member.price
        self._account = account
        self._stop_run = stop_run
        self._forecast = Forecast(find_max_tokens(member.sampling))

    @property
    def limited(self) -> bool:
        """Whether calls count against a budget."""
        return self._account is not None

    @property
    def overdrawn(self) -> bool:
        """Whether calls have used more than was thought, so that one that was counted before may not fit any more."""
        return self._account is not None and self._account.overdrawn

    def guess_tokens(self, body: bytes) -> int:
        """The tokens that a call with this body will probably use, prompt and answer together."""
        return _sum(self._forecast.guess(body))

    async def reserve(self, body: bytes) -> Reservation | None:
        """Count a call before it leaves, when the budget has room. None: it has none any more; the run stops."""
        assert self._account is not None
        guess = self._forecast.guess(body)
        reservation = await self._account.acquire(_sum(guess), compute_cost(guess, self._price))
        if reservation is None:
            self._stop_run(self._account.exhausted)
        return reservation

    def try_reserve(self, body: bytes) -> Reservation | None:
        """Count a call before it leaves, when the budget has room now. None: it has none, or there is no budget."""
        if self._account is None:
            return None
        guess = self._forecast.guess(body)
        now = asyncio.get_running_loop().time()
        return self._account.reserve(_sum(guess), compute_cost(guess, self._price), now)

    def settle(self, reservation: Reservation | None, body: bytes, usage: Usage) -> None:
        """Note what a call has used; nothing in ``usage`` stands for a call that may have been billed."""
        self._forecast.learn(body, usage)
        if reservation is not None and self._account is not None:
            self._account.settle(reservation, usage, compute_cost(usage, self._price))

    def release(self, reservation: Reservation | None) -> None:
        """Count nothing for a call that brought no answer."""
        if reservation is not None and self._account is not None:
            self._account.release(reservation)


def guess_unknown(member: PlannedMember) -> Usage:
    """The tokens of a call of which nothing is known but its member."""
    return Forecast(find_max_tokens(member.sampling)).guess(b"")


def _sum(usage: Usage) -> int:
    return (usage.input_tokens or 0) + (usage.output_tokens or 0)
