"""Whether the run's budget can be kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pool_core.interfaces.values import Finding
from pool_core.plan.model import PlannedMember
from pool_core.plan.prices import knows_prices
from pool_core.recipe.models import Budget

__all__ = ["check_budget"]


def check_budget(budget: Budget, members: Sequence[PlannedMember]) -> Iterator[Finding]:
    """Each member whose price is not known although the budget is one of money."""
    if budget.max_cost is None:
        return
    hint = (
        "write its dollars per million tokens, as in `price: {input: 0.5, output: 1.5}`, or 0 for a server of your own"
    )
    if not knows_prices():
        hint += '; `pip install "pool-core[prices]"` knows the prices of many providers'
    for member in members:
        if member.price is None:
            yield Finding(
                "error",
                "price-unknown",
                f"the budget has a `max_cost`, and the price of {member.name} is not known",
                (member.name,),
                hint=hint,
                key="backend",
            )
