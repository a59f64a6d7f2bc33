"""The figures of a run, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pool_core.engine.events import MemberProgress

__all__ = ["EXIT_CODES", "MemberSummary", "RunStatus", "RunSummary", "summarize_run"]

RunStatus: TypeAlias = Literal["complete", "partial", "limited", "interrupted"]

EXIT_CODES: Mapping[RunStatus, int] = {"complete": 0, "partial": 3, "limited": 5, "interrupted": 130}


@dataclass(frozen=True, slots=True)
class MemberSummary:
    """How a member's cells stand."""

    name: str
    cells: int
    ok: int
    #: Failed cells by cause.
    failed: Mapping[str, int]
    #: Cells that no run has finished yet.
    pending: int
    #: Finished cells whose answer was in the store already.
    reused: int
    #: Requests sent in this run, and how many of them were not a cell's first.
    requests: int
    retries: int
    #: Tokens of this run's answers.
    input_tokens: int
    output_tokens: int
    #: Why the member was stopped; empty if it was not.
    stopped: str = ""
    #: Dollars of this run's answers, as far as they say what they used; None where the price is not known.
    cost: float | None = None
    #: Requests among them that asked again because an answer gave nothing, and second ones for slow cells.
    reasks: int = 0
    hedges: int = 0
    #: Calls that brought no answer and may have been billed.
    maybe_billed: int = 0
    #: Finished cells that another member has taken over.
    taken_over: int = 0


@dataclass(frozen=True, slots=True)
class RunSummary:
    """How a run stands."""

    status: RunStatus
    rows: int
    #: Seconds that this run took.
    seconds: float
    members: Sequence[MemberSummary]
    folder: Path
    #: The merged file, None where none was written.
    output: Path | None = None
    #: What is worth knowing beside the figures: plugins whose hooks failed, rows that changed.
    notes: Sequence[str] = field(default_factory=tuple)
    #: Which limit of the recipe stopped the run, and what to do; empty if none did.
    limit: str = ""

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.status]

    @property
    def requests(self) -> int:
        return sum(member.requests for member in self.members)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON. ``version`` is that of this form."""
        values = asdict(self)
        values["folder"] = str(self.folder)
        values["output"] = str(self.output) if self.output else None
        return {"version": 1, "exit_code": self.exit_code, **values}


def summarize_run(
    progress: Sequence[MemberProgress],
    *,
    interrupted: bool,
    rows: int,
    seconds: float,
    folder: Path,
    output: Path | None,
    notes: Sequence[str],
    limit: str = "",
    outcomes: Mapping[str, Mapping[tuple[str, str], int]] | None = None,
) -> RunSummary:
    """The summary of what the engine counted. A run that was stopped and left nothing over is neither limited nor
    interrupted.

    Args:
        outcomes: by member, how many cells the store holds by status and cause. They count where the run did not
            come to all cells: those that earlier runs have finished stand all the same.
        limit: which limit of the recipe stopped the run, and what to do.
    """
    left = any(member.done < member.total for member in progress)
    members = tuple(
        MemberSummary(
            name=member.name,
            cells=member.total,
            **_count_outcomes(member, (outcomes or {}).get(member.name)),
            reused=member.reused,
            requests=member.requests,
            retries=member.retries,
            input_tokens=member.input_tokens,
            output_tokens=member.output_tokens,
            stopped=member.stopped,
            cost=member.cost,
            reasks=member.reasks,
            hedges=member.hedges,
            maybe_billed=member.maybe_billed,
            taken_over=member.taken_over,
        )
        for member in progress
    )
    status: RunStatus = "complete"
    if left and (limit or interrupted):
        status = "limited" if limit else "interrupted"
    elif left or any(member.ok < member.cells for member in members):
        status = "partial"
    return RunSummary(status, rows, seconds, members, folder, output, tuple(notes), limit)


def _count_outcomes(member: MemberProgress, stored: Mapping[tuple[str, str], int] | None) -> dict[str, Any]:
    """How a member's cells stand: as the engine counted, or as the store has it where the engine did not see all."""
    if stored is None or member.done >= member.total:
        return {"ok": member.ok, "failed": dict(sorted(member.failed.items())), "pending": member.total - member.done}
    failed = {cause: number for (status, cause), number in sorted(stored.items()) if status != "ok"}
    ok = sum(number for (status, _), number in stored.items() if status == "ok")
    return {"ok": ok, "failed": failed, "pending": max(0, member.total - ok - sum(failed.values()))}
