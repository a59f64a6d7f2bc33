"""What is shown at the end of a run. All foreign text goes in as text, never as markup."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pool_core.plan.prices import format_dollars
from pool_core.report.drawing import print_indented, print_table, print_whole
from pool_core.report.lines import count, indent_rest
from pool_core.report.summary import MemberSummary, RunSummary

__all__ = ["print_summary"]

#: Characters shown of what a server or a plugin says.
_LONGEST = 1000


def print_summary(console: Console, summary: RunSummary, resume: str) -> None:
    """The figures of a run, then in a few lines how it stands and what to do.

    Args:
        resume: the command that goes on with the run, and asks again for what got no answer.
    """
    console.print(Text(f"{count(summary.rows, 'row')}, {summary.seconds:.1f} s"))
    if not print_table(console, _tabulate_members(summary.members)):
        for member in summary.members:
            print_indented(console, Text(_describe_member(member)), hanging=2)
    for member in summary.members:
        _print_remarks(console, member)
    for note in summary.notes:
        print_whole(console, f"note: {indent_rest(note, _LONGEST)}", "yellow")
    if summary.limit:
        print_whole(console, indent_rest(summary.limit, _LONGEST), "yellow")
    print_indented(console, Text(_describe_end(summary)))
    if any(member.pending for member in summary.members):
        print_whole(console, f"go on with: {resume}")
    elif summary.status != "complete":
        print_whole(console, f"ask again for what got no answer with: {resume}")
    print_whole(console, f"run: {summary.folder}")
    if summary.output is not None:
        print_whole(console, f"output: {summary.output}")


def _print_remarks(console: Console, member: MemberSummary) -> None:
    """What the table has no column for."""
    if member.stopped:
        print_whole(console, f"{member.name} was stopped: {indent_rest(member.stopped, _LONGEST)}", "red")
    if told := _describe_extras(member):
        print_whole(console, f"{member.name}: {told}")


def _tabulate_members(members: Sequence[MemberSummary]) -> Table:
    table = Table(header_style="bold")
    table.add_column("member", no_wrap=True)
    for name in ("cells", "ok", "failed", "pending", "reused", "requests", "tokens in", "tokens out"):
        table.add_column(name, justify="right", no_wrap=True)
    with_cost = any(member.cost is not None for member in members)
    if with_cost:
        table.add_column("cost", justify="right", no_wrap=True)
    for member in members:
        table.add_row(
            Text(member.name),
            f"{member.cells:,}",
            Text(f"{member.ok:,}", "green" if member.ok == member.cells else ""),
            Text(_count_failed(member), "red" if member.failed else ""),
            f"{member.pending:,}",
            f"{member.reused:,}",
            f"{member.requests:,}",
            f"{member.input_tokens:,}",
            f"{member.output_tokens:,}",
            *([_show_cost(member.cost)] if with_cost else []),
        )
    return table


def _describe_member(member: MemberSummary) -> str:
    """A member's figures as a line, for terminals that the table does not fit."""
    parts = [f"{member.ok:,} ok", *(f"{number:,} failed ({cause})" for cause, number in member.failed.items())]
    if member.pending:
        parts.append(f"{member.pending:,} pending")
    if member.reused:
        parts.append(f"{member.reused:,} reused")
    parts.append(count(member.requests, "request"))
    parts.append(f"{member.input_tokens:,} tokens in, {member.output_tokens:,} out")
    if member.cost is not None:
        parts.append(format_dollars(member.cost))
    return f"{member.name}: {count(member.cells, 'cell')}: " + ", ".join(parts)


def _describe_extras(member: MemberSummary) -> str:
    """What is worth telling of a member's requests beside the table; empty where nothing is."""
    parts = []
    if member.taken_over:
        parts.append(f"{count(member.taken_over, 'cell')} taken over by its fallback")
    if member.reasks:
        parts.append(f"{count(member.reasks, 'request')} asked again after an answer that gave nothing")
    if member.hedges:
        parts.append(f"{count(member.hedges, 'second request')} for slow cells")
    if member.maybe_billed:
        parts.append(f"{count(member.maybe_billed, 'call')} brought no answer and may have been billed")
    return ", ".join(parts)


def _show_cost(cost: float | None) -> str:
    return "unknown" if cost is None else format_dollars(cost)


def _count_failed(member: MemberSummary) -> str:
    return "\n".join(f"{number:,} {cause}" for cause, number in member.failed.items()) or "0"


def _describe_end(summary: RunSummary) -> str:
    if summary.status == "complete":
        return "complete: every cell is ok"
    failed = sum(sum(member.failed.values()) for member in summary.members)
    pending = sum(member.pending for member in summary.members)
    words = []
    if failed:
        place = "`message` in the output" if summary.output else "`message` in what `pool export` writes"
        words.append(f"{count(failed, 'cell')} failed; {place} says why")
    if pending:
        words.append(f"{count(pending, 'cell')} pending")
    return f"{summary.status}: " + ". ".join(words)
