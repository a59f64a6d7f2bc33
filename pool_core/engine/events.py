"""What the engine tells while it runs: counters to look at, and events for plugins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pool_core.interfaces.values import Outcome

__all__ = ["CellFinished", "MemberProgress", "RunFinished", "RunStarted"]


@dataclass(slots=True)
class MemberProgress:
    """How far a member is. Written by the engine, read by whoever shows it."""

    name: str
    total: int = 0
    ok: int = 0
    #: Failed cells by cause.
    failed: Counter[str] = field(default_factory=Counter)
    #: Cells among the finished ones whose answer was in the store already.
    reused: int = 0
    #: Requests that were sent in this run, and how many of them were not a cell's first.
    requests: int = 0
    retries: int = 0
    #: Requests among them that asked again because an answer gave nothing, and second ones for slow cells.
    reasks: int = 0
    hedges: int = 0
    #: Calls that brought no answer and may have been billed.
    maybe_billed: int = 0
    #: Finished cells that another member has taken over.
    taken_over: int = 0
    in_flight: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    #: Dollars of this run's answers, as far as they say what they used; None where the price is not known.
    cost: float | None = None
    #: Why the member was stopped; empty while it was not.
    stopped: str = ""

    @property
    def done(self) -> int:
        """Finished cells."""
        return self.ok + self.failed.total()


@dataclass(frozen=True, slots=True)
class RunStarted:
    """Payload of ``pool_run_started``."""

    folder: Path
    members: Sequence[str]
    rows: int


@dataclass(frozen=True, slots=True)
class CellFinished:
    """Payload of ``pool_cell_finished``."""

    row_id: str
    member: str
    sample: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class RunFinished:
    """Payload of ``pool_run_finished``."""

    folder: Path
    #: ``complete``, ``partial``, ``limited`` (the recipe's budget was reached) or ``interrupted``.
    status: str
    ok: Mapping[str, int]
    failed: Mapping[str, int]
