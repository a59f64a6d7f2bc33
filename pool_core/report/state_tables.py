"""How runs stand, as a person reads it. All foreign text goes in as text, never as markup."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pool_core.report.drawing import print_indented, print_table, print_whole
from pool_core.report.lines import count, indent_rest
from pool_core.report.state import MemberState, RunState
from pool_core.report.text import make_harmless
from pool_core.store.records import Spent

__all__ = ["print_runs", "print_state", "write_size"]

_STYLES = {"complete": "green", "running": "bold", "partial": "red", "unreadable": "red", "unfinished": "yellow"}
_LONGEST = 1000
_KILO = 1000


def print_state(console: Console, run: RunState) -> None:
    """One run: a line per member, what it has cost, and how it stands."""
    console.print(Text(count(run.rows, "row")))
    if not print_table(console, _tabulate_members(run.members)):
        for member in run.members:
            print_indented(console, Text(_describe_member(member)), hanging=2)
    print_indented(console, Text(_describe_spent(run.spent)), hanging=2)
    if run.last_answer is not None:
        print_indented(console, Text(f"last answer: {_write_time(run.last_answer)}"))
    print_indented(console, Text(_describe_state(run), _STYLES[run.state]))
    print_whole(console, f"run: {make_harmless(str(run.folder))}, {write_size(run.size)}")


def print_runs(console: Console, runs: Sequence[RunState]) -> None:
    """A line per run."""
    table = Table(header_style="bold")
    table.add_column("run", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for name in ("rows", "cells", "ok", "failed", "pending", "answers", "size"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("last answer", no_wrap=True)
    for run in runs:
        table.add_row(*_list_cells(run))
    if not print_table(console, table):
        for run in runs:
            print_indented(console, Text(f"{make_harmless(run.folder.name)}: {_describe_state(run)}"), hanging=2)
    for run in runs:
        if run.problem:
            name = make_harmless(run.folder.name)
            print_whole(console, f"{name} cannot be read: {indent_rest(run.problem, _LONGEST)}", "red")


def write_size(size: int) -> str:
    """Bytes as a person reads them."""
    if size < _KILO:
        return count(size, "byte")
    value = size / _KILO
    for unit in ("kB", "MB"):
        if value < _KILO:
            return f"{value:.1f} {unit}"
        value /= _KILO
    return f"{value:,.1f} GB"


def _list_cells(run: RunState) -> list[Text]:
    name, state = Text(make_harmless(run.folder.name)), Text(run.state, _STYLES[run.state])
    if run.problem:
        return [name, state, *[Text("")] * 8]
    failed = sum(sum(member.failed.values()) for member in run.members)
    numbers = (
        run.rows,
        sum(member.cells for member in run.members),
        sum(member.ok for member in run.members),
        failed,
        run.pending,
        run.spent.answers,
    )
    last = _write_time(run.last_answer) if run.last_answer is not None else ""
    return [name, state, *(Text(f"{number:,}") for number in numbers), Text(write_size(run.size)), Text(last)]


def _tabulate_members(members: Sequence[MemberState]) -> Table:
    table = Table(header_style="bold")
    table.add_column("member", no_wrap=True)
    for name in ("cells", "ok", "failed", "pending"):
        table.add_column(name, justify="right", no_wrap=True)
    for member in members:
        failed = "\n".join(f"{number:,} {make_harmless(cause)}" for cause, number in member.failed.items()) or "0"
        table.add_row(
            Text(make_harmless(member.name)),
            f"{member.cells:,}",
            Text(f"{member.ok:,}", "green" if member.ok == member.cells else ""),
            Text(failed, "red" if member.failed else ""),
            f"{member.pending:,}",
        )
    return table


def _describe_member(member: MemberState) -> str:
    failed = [f"{number:,} failed ({make_harmless(cause)})" for cause, number in member.failed.items()]
    parts = [f"{member.ok:,} ok", *failed, f"{member.pending:,} pending"]
    return f"{make_harmless(member.name)}: {count(member.cells, 'cell')}: " + ", ".join(parts)


def _describe_spent(spent: Spent) -> str:
    parts = [count(spent.answers, "answer"), f"{spent.input_tokens:,} tokens in", f"{spent.output_tokens:,} out"]
    if spent.unknown_tokens:
        parts.append(f"{spent.unknown_tokens:,} of them without a count of tokens")
    if spent.cost:
        parts.append(f"${spent.cost:,.4f}")
    if spent.cost and spent.unknown_cost:
        parts.append(f"{spent.unknown_cost:,} of them of unknown cost")
    return "paid for: " + ", ".join(parts)


def _describe_state(run: RunState) -> str:
    if run.owner:
        return f"running: {make_harmless(run.owner)} works on it"
    failed = sum(sum(member.failed.values()) for member in run.members)
    words = {
        "complete": "complete: every cell is ok",
        "partial": f"partial: {count(failed, 'cell')} failed",
        "unreadable": "unreadable",
    }
    return words.get(run.state) or f"unfinished: {count(run.pending, 'cell')} pending"


def _write_time(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    except (OverflowError, ValueError, OSError):  # a clock, or a disk, that was far off
        return f"{seconds:.0f} s after 1970"
