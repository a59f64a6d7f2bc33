"""What is shown at the end of a run and of a check. All foreign text goes in as text, never as markup."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pool_core.interfaces.values import Finding
from pool_core.plan.model import Plan
from pool_core.recipe.locate import write_path
from pool_core.report.summary import MemberSummary, RunSummary
from pool_core.report.text import make_harmless

__all__ = ["print_findings", "print_matrix", "print_summary"]

_MARKS = {"error": ("✗", "bold red"), "warning": ("!", "yellow"), "info": ("i", "cyan")}


def print_summary(console: Console, summary: RunSummary, resume: str) -> None:
    """The figures of a run, then in one or two lines how it stands and what to do."""
    table = Table(title=f"{summary.rows:,} rows, {summary.seconds:.1f} s", title_justify="left", header_style="bold")
    table.add_column("member")
    for name in ("cells", "ok", "failed", "pending", "reused", "requests", "tokens in", "tokens out"):
        table.add_column(name, justify="right")
    for member in summary.members:
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
    console.print(table)
    for member in summary.members:
        if member.stopped:
            console.print(Text(f"{member.name} was stopped: {make_harmless(member.stopped, 1000)}", "red"))
    for note in summary.notes:
        console.print(Text(f"note: {make_harmless(note, 1000)}", "yellow"))
    console.print(Text(_describe_end(summary, resume)))
    console.print(Text(f"run: {summary.folder}"))
    if summary.output is not None:
        console.print(Text(f"output: {summary.output}"))


def _count_failed(member: MemberSummary) -> str:
    if not member.failed:
        return "0"
    return "\n".join(f"{count:,} {cause}" for cause, count in member.failed.items())


def _describe_end(summary: RunSummary, resume: str) -> str:
    failed = sum(sum(member.failed.values()) for member in summary.members)
    pending = sum(member.pending for member in summary.members)
    if summary.status == "complete":
        return "complete: every cell is ok"
    words = []
    if failed:
        words.append(f"{failed:,} cells failed; `message` in the output says why")
    if pending:
        words.append(f"{pending:,} cells were not asked; go on with: {resume}")
    return f"{summary.status}: " + ". ".join(words)


def print_matrix(console: Console, plan: Plan) -> None:
    """Members x fields, with the type in each cell and a mark where members differ."""
    table = Table(header_style="bold", title="output fields", title_justify="left")
    table.add_column("field")
    for member in plan.members:
        table.add_column(Text(f"{member.name}\n{member.task_name}"))
    table.add_column("merged")
    for field, merged in plan.schema.items():
        found = [member.signature.outputs.get(field) for member in plan.members]
        differs = len({str(type_) for type_ in found}) > 1
        cells = []
        for member, type_ in zip(plan.members, found, strict=True):
            source = member.signature.sources.get(field, field)
            label = "✗ missing" if type_ is None else f"{type_}" + (f" (from {source})" if source != field else "")
            cells.append(Text(label, "red" if type_ is None else "yellow" if differs else "green"))
        table.add_row(Text(field), *cells, Text(str(merged)))
    console.print(table)


def print_findings(console: Console, plan: Plan, findings: Sequence[Finding]) -> None:
    """Each finding with its place, its hint and what to paste."""
    for finding in findings:
        mark, style = _MARKS[finding.level]
        where = _locate(plan, finding)
        head = Text(f"{mark} {finding.level}: ", style)
        console.print(head + Text(make_harmless(finding.message)) + Text(f"  [{finding.rule}]", "dim"))
        if where:
            console.print(Text(f"    at {where}", "dim"))
        if finding.hint:
            console.print(Text(f"    {make_harmless(finding.hint)}"))
        if finding.fix:
            console.print(Text(f"    write, in {', '.join(finding.members) or 'the pool'}:"))
            for line in finding.fix.splitlines():
                console.print(Text(f"        {make_harmless(line)}", "bold"))


def _locate(plan: Plan, finding: Finding) -> str:
    places = []
    for member in plan.members:
        if member.name in finding.members:
            path = ("pool", "members", member.index)
            places.append(plan.source.locate(path) if plan.source else write_path(path))
    return ", ".join(places)
