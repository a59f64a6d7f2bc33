"""What a run would do with what is there: which cells it would leave, read again, ask and drop, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pool_core.engine.rehearsal import Asked, Found, Read, Why
from pool_core.interfaces.encoding import decode_json
from pool_core.interfaces.values import Prompt
from pool_core.plan.model import Plan, PlannedMember
from pool_core.plan.parts import describe_plan
from pool_core.report.changes import Change, Changes, compare_parts
from pool_core.report.estimate import RunEstimate, sum_up
from pool_core.report.member_estimate import MemberEstimate, Tally
from pool_core.report.rehearsal import rehearse_run
from pool_core.store.ingest import IngestCount
from pool_core.store.records import CellRecord
from pool_core.store.rehearsal import DropReason

__all__ = ["MemberPreview", "OutputChange", "RunPreview", "preview_run"]

#: Changed outputs of a member that are shown.
_MOST_SHOWN = 3


@dataclass(frozen=True, slots=True)
class OutputChange:
    """An outcome that is another one when its answer is read again."""

    row_id: str
    sample: int
    before: Mapping[str, Any]
    after: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class MemberPreview:
    """What would become of one member's cells."""

    #: What asking would use.
    estimate: MemberEstimate
    #: Cells that stand as they are, and cells whose stored answer is read again.
    reused: int
    reparsed: int
    #: Of the cells that are read again and whose rows stay as they are: how many outcomes would be others, and the
    #: first of them.
    changed: int
    shown: Sequence[OutputChange]
    #: Why cells are asked.
    because: Mapping[Why, int]
    #: Outcomes that go, by the reason.
    dropped: Mapping[DropReason, int]
    #: What differs from the last run; None where that is not known.
    changes: Sequence[Change] | None
    #: Whether its code can change under an equal version, so that nothing of it is left without a look.
    loose: bool
    #: Whether the last run did not have it, and the name that it had there if it was another one.
    is_new: bool
    was: str | None

    @property
    def name(self) -> str:
        return self.estimate.name

    @property
    def asked(self) -> int:
        return self.estimate.requests


@dataclass(frozen=True, slots=True)
class RunPreview:
    """What a whole run would do."""

    estimate: RunEstimate
    rows: IngestCount
    #: Whether rows of the last run stand in another order.
    reordered: bool
    members: Sequence[MemberPreview]
    #: What differs in the pool as a whole; None where that is not known.
    changes: Sequence[Change] | None
    #: Members that are not in the recipe any more: name, outcomes that go, and the name that they have now.
    gone: Sequence[tuple[str, int, str | None]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON. ``version`` is that of this form."""
        estimate = self.estimate.to_dict()
        return {
            "version": 1,
            "run": estimate["run"],
            "rows": {
                "total": self.rows.rows,
                "added": self.rows.added,
                "changed": self.rows.changed,
                "removed": self.rows.removed,
                "reordered": self.reordered,
            },
            "changes": _list(self.changes),
            "members": [_to_dict(member) for member in self.members],
            "gone": [{"name": name, "dropped": dropped, "now": now} for name, dropped, now in self.gone],
            "total": {
                "reused": sum(member.reused for member in self.members),
                "reparsed": sum(member.reparsed for member in self.members),
                "changed_outputs": sum(member.changed for member in self.members),
                "asked": sum(member.asked for member in self.members),
                "failing": sum(member.estimate.failing for member in self.members),
                "dropped": self.dropped,
                **{name: estimate["total"][name] for name in ("input_tokens", "output_tokens", "cost")},
            },
            "seconds": estimate["seconds"],
        }

    @property
    def dropped(self) -> int:
        """Outcomes that go, of members that are gone as well."""
        return sum(sum(member.dropped.values()) for member in self.members) + sum(count for _, count, _ in self.gone)


def _list(changes: Sequence[Change] | None) -> list[dict[str, Any]] | None:
    return None if changes is None else [asdict(change) for change in changes]


def _to_dict(member: MemberPreview) -> dict[str, Any]:
    estimate = member.estimate
    return {
        "name": member.name,
        "loose": member.loose,
        "new": member.is_new,
        "was": member.was,
        "model": estimate.model,
        "cells": estimate.cells,
        "reused": member.reused,
        "reparsed": member.reparsed,
        "changed_outputs": member.changed,
        "shown": [asdict(change) for change in member.shown],
        "asked": member.asked,
        "because": dict(member.because),
        "failing": estimate.failing,
        "problem": estimate.problem,
        "dropped": dict(member.dropped),
        "changes": _list(member.changes),
        "input_tokens": asdict(estimate.input_tokens),
        "output_tokens": asdict(estimate.output_tokens),
        "cost": asdict(estimate.cost) if estimate.cost else None,
    }


def preview_run(plan: Plan, run_dir: Path, *, watch: Callable[[int], None] | None = None) -> RunPreview:
    """What a run of ``plan`` would do in ``run_dir``. Contacts nothing, writes nothing.

    Args:
        watch: called with the number of rows after each.

    Raises:
        RecipeError: the recipe has no rows.
        RowsError, PluginError, StoreError: the rows, a plugin or the run cannot be used.
    """
    accounts: list[_Account] = []

    def open_account(member: PlannedMember) -> _Account:
        accounts.append(_Account(Tally(member)))
        return accounts[-1]

    rehearsed = rehearse_run(plan, run_dir, open_account, watch=watch)
    estimate = sum_up(rehearsed, [account.tally for account in accounts], run_dir)
    changes = compare_parts(rehearsed.parts, describe_plan(plan)) if rehearsed.parts is not None else None
    members = [
        _preview_member(account, figures, changes, rehearsed.dropped)
        for account, figures in zip(accounts, estimate.members, strict=True)
    ]
    return RunPreview(
        estimate,
        rehearsed.rows,
        rehearsed.reordered,
        members,
        changes.pool if changes is not None else None,
        _find_gone({member.name for member in members}, rehearsed.dropped, changes),
    )


def _preview_member(
    account: _Account,
    estimate: MemberEstimate,
    changes: Changes | None,
    dropped: Mapping[tuple[str, DropReason], int],
) -> MemberPreview:
    return MemberPreview(
        estimate,
        account.tally.settled,
        account.tally.read,
        account.changed,
        account.shown,
        account.because,
        {reason: count for (name, reason), count in dropped.items() if name == estimate.name},
        None if changes is None else changes.members.get(estimate.name, ()),
        account.tally.member.request_fingerprint is None or account.tally.member.parse_fingerprint is None,
        changes is not None and estimate.name in changes.added,
        None if changes is None else changes.renamed.get(estimate.name),
    )


def _find_gone(
    names: set[str], dropped: Mapping[tuple[str, DropReason], int], changes: Changes | None
) -> list[tuple[str, int, str | None]]:
    """The members that are not in the plan any more."""
    counts = Counter(dict.fromkeys(changes.removed, 0) if changes is not None else {})
    for (name, _), count in dropped.items():
        if name not in names:
            counts[name] += count
    now = {was: name for name, was in changes.renamed.items()} if changes is not None else {}
    return [(name, count, now.get(name)) for name, count in counts.items()]


@dataclass(slots=True)
class _Account:
    """Takes in what becomes of one member's cells."""

    tally: Tally
    changed: int = 0
    shown: list[OutputChange] = field(default_factory=list)
    because: Counter[Why] = field(default_factory=Counter)

    @property
    def requests(self) -> int:
        return self.tally.requests

    def add(self, found: Found) -> None:
        self.tally.add(found)
        if isinstance(found, Asked):
            self.because[found.why] += 1
        elif isinstance(found, Read) and found.before is not None:
            before, after = _describe(found.before), _describe(found.after)
            if before != after:
                self.changed += 1
                if len(self.shown) < _MOST_SHOWN:
                    self.shown.append(OutputChange(found.row_id, found.sample, before, after))

    def weigh(self, prompt: Prompt, input_tokens: int | None) -> None:
        self.tally.weigh(prompt, input_tokens)


def _describe(record: CellRecord) -> dict[str, Any]:
    outputs = decode_json(record.outputs) if record.outputs is not None else None
    return {"status": record.status, "cause": record.cause or None, "outputs": outputs}
