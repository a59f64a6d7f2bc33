"""How a run stands, read from its store alone: also while it goes on, and without its recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pool_core.errors import StoreError
from pool_core.plan.assign import WHEN_FAILED
from pool_core.store.lock import find_owner
from pool_core.store.opening import FILE
from pool_core.store.records import Spent
from pool_core.store.store import Store

__all__ = ["MemberState", "RunState", "StateName", "find_runs", "read_state"]

StateName: TypeAlias = Literal["running", "complete", "partial", "unfinished", "unreadable"]


@dataclass(frozen=True, slots=True)
class MemberState:
    """How the cells of a member stand."""

    name: str
    cells: int
    ok: int
    #: Failed cells by cause.
    failed: Mapping[str, int]
    pending: int


@dataclass(frozen=True, slots=True)
class RunState:
    """How a run stands."""

    folder: Path
    #: ``partial``: every cell was done and some failed. ``unfinished``: nobody works on it and cells are pending.
    state: StateName
    #: The process that works on it; empty where none does.
    owner: str = ""
    rows: int = 0
    members: Sequence[MemberState] = ()
    #: What every answer has cost since the run was first started, those of members that are gone included.
    spent: Spent = field(default_factory=Spent)
    #: When the last answer came, in seconds since 1970.
    last_answer: float | None = None
    #: Bytes of the file and its log.
    size: int = 0
    #: Why it cannot be read.
    problem: str = ""

    @property
    def pending(self) -> int:
        """Cells that no run has finished yet."""
        return sum(member.pending for member in self.members)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON. ``version`` is that of this form."""
        return {"version": 1, **asdict(self), "folder": str(self.folder)}


def read_state(folder: Path) -> RunState:
    """How the run in ``folder`` stands. Raises `StoreError` where there is none, or one that cannot be read."""
    owner = find_owner(folder) or ""
    with Store.read(folder) as store, store.freeze():
        members = _read_members(store)
        state: StateName = "complete"
        if owner:
            state = "running"
        elif any(member.pending for member in members) or not members:
            state = "unfinished"
        elif any(member.failed for member in members):
            state = "partial"
        return RunState(
            folder=folder,
            state=state,
            owner=owner,
            rows=sum(rows for _, rows in store.count_assigned()),
            members=members,
            spent=sum(store.read_spent().values(), Spent()),
            last_answer=store.read_last_time(),
            size=sum(file.stat().st_size for file in folder.glob(f"{FILE}*")),
        )


def _read_members(store: Store) -> tuple[MemberState, ...]:
    known = store.read_members()
    cells = [0] * len(known)
    for assigned, rows in store.count_assigned():
        for place, samples in enumerate(assigned):
            cells[place] += rows * (1 if samples == WHEN_FAILED else samples)
    counts = store.count_cells()
    members = []
    for (key, name), number in zip(known, cells, strict=True):
        ok = sum(count for member, status, _, count in counts if member == key and status == "ok")
        failed = {cause: count for member, status, cause, count in counts if member == key and status == "failed"}
        members.append(MemberState(name, number, ok, failed, max(0, number - ok - sum(failed.values()))))
    return tuple(members)


def find_runs(folder: Path) -> list[RunState]:
    """The runs in the directories of ``folder``, by name. One that cannot be read says why."""
    found = []
    for path in sorted(folder.glob(f"*/{FILE}")):
        try:
            found.append(read_state(path.parent))
        except StoreError as error:
            found.append(RunState(path.parent, "unreadable", problem=error.message))
    return found
