"""What a run would use: every prompt is made, and nothing is sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pool_core.plan.model import Plan, PlannedMember
from pool_core.report.duration import Load, Span, estimate_seconds
from pool_core.report.member_estimate import MemberEstimate, Tally
from pool_core.report.rehearsal import Rehearsed, rehearse_run

__all__ = ["RunEstimate", "estimate_run", "sum_up"]


@dataclass(frozen=True, slots=True)
class RunEstimate:
    """What a whole run would use."""

    rows: int
    members: Sequence[MemberEstimate]
    #: From the first request to the last answer, at the limits that the recipe sets.
    seconds: Span
    #: The run directory whose answers count as there; None: there is no run, so the whole recipe is counted.
    run: Path | None

    @property
    def input_tokens(self) -> Span:
        return _add([member.input_tokens for member in self.members])

    @property
    def output_tokens(self) -> Span:
        return _add([member.output_tokens for member in self.members])

    @property
    def cost(self) -> Span | None:
        """Dollars. Where the price of some members is not known, those of the others are the least."""
        known = [member.cost for member in self.members if member.cost is not None]
        total = _add(known)
        if len(known) == len(self.members):
            return total
        return Span(total.low, None) if total.low else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON. ``version`` is that of this form."""
        return {
            "version": 1,
            "rows": self.rows,
            "run": str(self.run) if self.run else None,
            "members": [asdict(member) for member in self.members],
            "total": {
                "requests": sum(member.requests for member in self.members),
                "input_tokens": asdict(self.input_tokens),
                "output_tokens": asdict(self.output_tokens),
                "cost": asdict(self.cost) if self.cost else None,
            },
            "seconds": asdict(self.seconds),
        }


def estimate_run(plan: Plan, run_dir: Path, *, watch: Callable[[int], None] | None = None) -> RunEstimate:
    """Make every prompt of ``plan`` and sum up what asking them would use. Contacts nothing, writes nothing.

    Args:
        run_dir: answers of a run in this directory are not counted again, and tell how long answers are.
        watch: called with the number of rows after each.

    Raises:
        RecipeError: the recipe has no rows.
        RowsError, PluginError, StoreError: the rows, a backend or the run cannot be used.
    """
    tallies: list[Tally] = []

    def open_account(member: PlannedMember) -> Tally:
        tallies.append(Tally(member))
        return tallies[-1]

    rehearsed = rehearse_run(plan, run_dir, open_account, watch=watch)
    return sum_up(rehearsed, tallies, run_dir)


def sum_up(rehearsed: Rehearsed, tallies: Sequence[Tally], run_dir: Path) -> RunEstimate:
    """The estimate of a run that was rehearsed."""
    members = [
        tally.summarize(backend.model, rehearsed.measured.get(tally.member.name))
        for tally, backend in zip(tallies, rehearsed.backends, strict=True)
    ]
    loads = [
        Load(
            backend.quota,
            tally.member.limits,
            member.requests,
            _add([member.input_tokens, member.output_tokens]),
            member.latency,
        )
        for tally, member, backend in zip(tallies, members, rehearsed.backends, strict=True)
    ]
    return RunEstimate(rehearsed.rows.rows, members, estimate_seconds(loads), run_dir if rehearsed.found else None)


def _add(spans: Sequence[Span]) -> Span:
    highs = [span.high for span in spans if span.high is not None]
    return Span(sum(span.low or 0 for span in spans), sum(highs) if len(highs) == len(spans) else None)
