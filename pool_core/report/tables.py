"""What is shown at the end of a run and of a check. All foreign text goes in as text, never as markup."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pool_core.interfaces.types import FieldType
from pool_core.interfaces.values import Finding
from pool_core.plan.model import Plan, PlannedMember
from pool_core.recipe.locate import write_path
from pool_core.report.lines import count, indent_rest
from pool_core.report.summary import MemberSummary, RunSummary
from pool_core.report.text import make_harmless

__all__ = ["print_findings", "print_matrix", "print_summary"]

_MARKS = {"error": ("✗", "bold red"), "warning": ("!", "yellow"), "info": ("i", "cyan")}
#: Characters shown of what a server or a plugin says.
_LONGEST = 1000


def print_summary(console: Console, summary: RunSummary, resume: str) -> None:
    """The figures of a run, then in a few lines how it stands and what to do.

    Args:
        resume: the command that goes on with the run, and asks again for what got no answer.
    """
    console.print(Text(f"{count(summary.rows, 'row')}, {summary.seconds:.1f} s"))
    table = _tabulate_members(summary.members)
    if _fits(console, table):
        console.print(table)
    else:
        for member in summary.members:
            _print_indented(console, Text(_describe_member(member)), hanging=2)
    for member in summary.members:
        if member.stopped:
            _print_whole(console, f"{member.name} was stopped: {indent_rest(member.stopped, _LONGEST)}", "red")
    for note in summary.notes:
        _print_whole(console, f"note: {indent_rest(note, _LONGEST)}", "yellow")
    _print_indented(console, Text(_describe_end(summary)))
    if any(member.pending for member in summary.members):
        _print_whole(console, f"go on with: {resume}")
    elif summary.status != "complete":
        _print_whole(console, f"ask again for what got no answer with: {resume}")
    _print_whole(console, f"run: {summary.folder}")
    if summary.output is not None:
        _print_whole(console, f"output: {summary.output}")


def _tabulate_members(members: Sequence[MemberSummary]) -> Table:
    table = Table(header_style="bold")
    table.add_column("member", no_wrap=True)
    for name in ("cells", "ok", "failed", "pending", "reused", "requests", "tokens in", "tokens out"):
        table.add_column(name, justify="right", no_wrap=True)
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
    return f"{member.name}: {count(member.cells, 'cell')}: " + ", ".join(parts)


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


def print_matrix(console: Console, plan: Plan) -> None:
    """Members x fields, with the type in each cell and a mark where members differ."""
    console.print(Text("output fields"))
    table = Table(header_style="bold")
    table.add_column("field", no_wrap=True)
    for member in plan.members:
        table.add_column(Text(f"{member.name}\n{member.task_name}"), no_wrap=True)
    table.add_column("merged", no_wrap=True)
    for field, merged in plan.schema.items():
        table.add_row(Text(field), *_describe_field(plan, field), Text(str(merged)))
    if _fits(console, table):
        console.print(table)
        return
    for field, merged in plan.schema.items():
        _print_indented(console, Text(f"{field}: {merged}", "bold"), hanging=2)
        for member, cell in zip(plan.members, _describe_field(plan, field), strict=True):
            _print_indented(console, Text(f"{member.name} ({member.task_name}): ") + cell, indent=2, hanging=2)


def _describe_field(plan: Plan, field: str) -> list[Text]:
    """The type that each member gives ``field``."""
    found = [member.signature.outputs.get(field) for member in plan.members]
    differs = len({str(type_) for type_ in found}) > 1
    return [
        Text(_describe_type(member, field, type_), "red" if type_ is None else "yellow" if differs else "green")
        for member, type_ in zip(plan.members, found, strict=True)
    ]


def _describe_type(member: PlannedMember, field: str, type_: FieldType | None) -> str:
    if type_ is None:
        return "✗ missing"
    source = member.signature.sources.get(field, field)
    return f"{type_} (from {source})" if source != field else str(type_)


def print_findings(console: Console, plan: Plan, findings: Sequence[Finding]) -> None:
    """Each finding with its place, its hint and what to paste."""
    for finding in findings:
        mark, style = _MARKS[finding.level]
        head = Text(f"{mark} {finding.level}: ", style)
        body = Text(indent_rest(finding.message)) + Text(f"  [{make_harmless(finding.rule)}]", "dim")
        _print_indented(console, head + body, hanging=4)
        if where := _locate(plan, finding):
            _print_indented(console, Text(f"at {where}", "dim"), indent=4)
        if finding.hint:
            _print_indented(console, Text(make_harmless(finding.hint)), indent=4)
        if finding.fix:
            _print_indented(console, Text(f"write, in {', '.join(finding.members) or 'the pool'}:"), indent=4)
            for line in make_harmless(finding.fix).splitlines():
                _print_whole(console, f"        {line}", "bold")


def _locate(plan: Plan, finding: Finding) -> str:
    places = []
    for member in plan.members:
        if member.name in finding.members:
            path = ("pool", "members", member.index)
            places.append(plan.source.locate(path) if plan.source else write_path(path))
    return ", ".join(places)


def _fits(console: Console, table: Table) -> bool:
    """Whether the console is wide enough to cut nothing of ``table``."""
    natural = console.measure(table, options=console.options.update(width=10_000)).maximum
    return natural <= console.width


def _print_whole(console: Console, text: str, style: str = "") -> None:
    """Print lines that a person may copy: the terminal wraps them, and no line break comes in."""
    console.print(Text(text, style), soft_wrap=True)


def _print_indented(console: Console, text: Text, *, indent: int = 0, hanging: int = 0) -> None:
    """Print ``text`` after ``indent`` columns, its further lines after ``hanging`` more."""
    lines = text.wrap(console, max(10, console.width - indent - hanging))
    for number, line in enumerate(lines):
        line.rstrip()
        console.print(Padding(line, (0, 0, 0, indent + (hanging if number else 0)), expand=False))
