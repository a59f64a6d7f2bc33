"""The entry module: it names what the plugin offers and imports none of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pool_core.api import Contribution, hookimpl

if TYPE_CHECKING:
    from pool_core.interfaces.values import Finding
    from pool_core.plan.model import Plan


@hookimpl
def pool_tasks() -> Iterator[Contribution]:
    yield Contribution("sentiment", "pool_sentiment.task:Sentiment", "Labels a text as positive, negative or neutral.")


@hookimpl
def pool_policies() -> Iterator[Contribution]:
    yield Contribution("odd-number", "pool_sentiment.policy:OddNumber", "A vote needs an odd number of members.")


@hookimpl
def pool_check_compatibility(plan: Plan) -> Iterator[Finding]:
    """Always on once installed: labels are to be repeatable, so labelling members must not sample."""
    from pool_core.interfaces.values import Finding  # noqa: PLC0415 - only paid when a plan is checked

    for member in plan.members:
        temperature = member.sampling.get("temperature", 0)
        if member.task_name == "sentiment/sentiment" and temperature > 0:
            yield Finding(
                "warning",
                "sentiment-repeatable",
                f"{member.name} labels with temperature {temperature}: the same text can get another label next time",
                (member.name,),
                hint="set its temperature to 0",
                fix="sampling: {temperature: 0}",
                source="sentiment",
            )


@hookimpl
def pool_conformance() -> Iterator[str]:
    """The modules with the conformance classes, for ``python -m pool_core.testing sentiment``."""
    yield "pool_sentiment.conformance"
