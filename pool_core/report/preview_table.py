"""A preview of a run as people read it. All foreign text goes in as text, never as markup."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pool_core.report.changes import Change
from pool_core.report.drawing import print_indented, print_table, print_whole
from pool_core.report.estimate_table import format_cost
from pool_core.report.lines import count, indent_rest, list_some, make_line
from pool_core.report.preview import MemberPreview, RunPreview
from pool_core.report.text import make_harmless

__all__ = ["print_preview"]

#: Characters shown of an outcome, and of what a row or a plugin says.
_LONGEST_OUTPUT = 200
_LONGEST = 1000
_MOST_CHANGES = 8

_WHY = {
    "new": "without an outcome",
    "unanswered": "failed without an answer that can be used",
    "changed": "with another request than the stored answer's",
}
_DROPPED = {"row": "row is gone", "member": "member is gone", "sample": "sample is not assigned"}


def print_preview(console: Console, preview: RunPreview, run_dir: Path) -> None:
    """What would become of each member's cells, why, and what it would cost.

    Args:
        run_dir: where the run is kept.
    """
    console.print(Text(f"{_describe_rows(preview)}; nothing is sent, nothing is written"))
    if not print_table(console, _tabulate(preview.members)):
        for member in preview.members:
            print_indented(console, Text(f"{member.name}: {_describe(member)}"), hanging=2)
    cost = format_cost(preview.estimate.cost)
    total = f"total: {count(sum(member.asked for member in preview.members), 'request')}, cost {cost}"
    print_indented(console, Text(total), hanging=2)
    for line in _explain(preview):
        print_indented(console, Text(line), hanging=2)
    for member in preview.members:
        _print_outputs(console, member)
    for note in _list_notes(preview, run_dir):
        print_whole(console, f"note: {indent_rest(note, _LONGEST)}", "yellow")


def _describe_rows(preview: RunPreview) -> str:
    rows = preview.rows
    if preview.estimate.run is None:
        return count(rows.rows, "row")
    parts = [
        f"{number:,} {word}"
        for word, number in (("added", rows.added), ("edited", rows.changed), ("removed", rows.removed))
        if number
    ]
    parts += ["reordered"] if preview.reordered else []
    return f"{count(rows.rows, 'row')}: {', '.join(parts) or 'the same'}"


def _tabulate(members: Sequence[MemberPreview]) -> Table:
    table = Table(header_style="bold")
    table.add_column("member", no_wrap=True)
    for name in ("cells", "reused", "re-parsed", "asked", "failing", "dropped", "cost"):
        table.add_column(name, justify="right", no_wrap=True)
    for member in members:
        failing = member.estimate.failing
        table.add_row(
            Text(member.name),
            f"{member.estimate.cells:,}",
            f"{member.reused:,}",
            f"{member.reparsed:,}",
            f"{member.asked:,}",
            Text(f"{failing:,}", "red" if failing else ""),
            f"{sum(member.dropped.values()):,}",
            format_cost(member.estimate.cost),
        )
    return table


def _describe(member: MemberPreview) -> str:
    """A member's figures as a line, for terminals that the table does not fit."""
    parts = [f"{member.reused:,} reused", f"{member.reparsed:,} re-parsed", f"{member.asked:,} asked"]
    parts += [f"{member.estimate.failing:,} failing"] if member.estimate.failing else []
    parts += [f"{sum(member.dropped.values()):,} dropped"] if member.dropped else []
    parts.append(f"cost {format_cost(member.estimate.cost)}")
    return f"{count(member.estimate.cells, 'cell')}: " + ", ".join(parts)


def _explain(preview: RunPreview) -> Iterator[str]:
    """Why, member by member."""
    if preview.changes:
        yield f"the pool: {_name(preview.changes)}"
    for member in preview.members:
        parts = [_describe_origin(member, preview)]
        parts.append(_name(member.changes) if member.changes else "")
        parts += [f"asked: {number:,} {_WHY[why]}" for why, number in member.because.items()]
        parts += [_describe_same(member)]
        parts += [f"dropped: {number:,} whose {_DROPPED[reason]}" for reason, number in member.dropped.items()]
        if said := "; ".join(filter(None, parts)):
            yield f"{member.name}: {said}"
    for name, dropped, now in preview.gone:
        became = f"named {now} now" if now is not None else "not in the recipe any more"
        yield f"{make_line(name)}: {became}; dropped: {count(dropped, 'outcome')}, whose answers stay stored"


def _describe_origin(member: MemberPreview, preview: RunPreview) -> str:
    if member.was is not None:
        return f"it was named {make_line(member.was)}"
    return "new in the recipe" if member.is_new and preview.estimate.run is not None else ""


def _describe_same(member: MemberPreview) -> str:
    """Said where something of the requests may have changed and stored answers are used all the same."""
    if not member.reparsed:
        return ""
    outcomes = f"{count(member.changed, 'outcome')} changed" if member.changed else "no outcome changed"
    looked = ", as code of an editable install or an object may have changed" if member.loose else ""
    return f"{count(member.reparsed, 'stored answer')} read again{looked}, asked nothing: {outcomes}"


def _name(changes: Sequence[Change]) -> str:
    return list_some([str(change) for change in changes], _MOST_CHANGES)


def _print_outputs(console: Console, member: MemberPreview) -> None:
    for change in member.shown:
        console.print(Text(f"{member.name}, row {make_line(change.row_id)!r}, sample {change.sample}"))
        for sign, outcome, style in (("-", change.before, "red"), ("+", change.after, "green")):
            print_whole(console, f"  {sign} {_write(outcome)}", style)
    if member.changed > len(member.shown):
        console.print(Text(f"{member.name}: and {member.changed - len(member.shown):,} more"))


def _write(outcome: Mapping[str, Any]) -> str:
    if outcome["status"] != "ok":
        return f"failed: {outcome['cause']}"
    return make_harmless(json.dumps(outcome["outputs"], ensure_ascii=False), _LONGEST_OUTPUT)


def _list_notes(preview: RunPreview, run_dir: Path) -> Iterator[str]:
    if preview.estimate.run is None:
        yield f"everything is asked: there is no run in {run_dir}"
    elif preview.changes is None:
        yield "what has changed cannot be named: the last run did not note what it was made of"
    for member in preview.members:
        if member.estimate.failing:
            failing = count(member.estimate.failing, "cell")
            yield f"{failing} of {member.name} cannot be asked; the first: {member.estimate.problem}"
        if member.asked and member.estimate.price is None:
            yield f"no price is known for {member.name}: write `price: {{input: ..., output: ...}}`"
