"""What a check shows people: members x fields with their types, then every finding."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pool_core.interfaces.types import Conflict, FieldType, unify
from pool_core.interfaces.values import Finding
from pool_core.plan.model import Plan, PlannedMember
from pool_core.report.drawing import print_indented, print_table, print_whole
from pool_core.report.lines import indent_rest
from pool_core.report.places import locate_finding
from pool_core.report.text import make_harmless

__all__ = ["print_findings", "print_matrix"]

_MARKS = {"error": ("✗", "bold red"), "warning": ("!", "yellow"), "info": ("i", "cyan")}


def print_matrix(console: Console, plan: Plan) -> None:
    """Members x fields, with the type in each cell; what conflicts has a sign, not only a colour."""
    console.print(Text("output fields"))
    table = Table(header_style="bold")
    table.add_column("field", no_wrap=True)
    for member in plan.members:
        table.add_column(Text(f"{member.name}\n{member.task_name}"), no_wrap=True)
    table.add_column("merged", no_wrap=True)
    for field, merged in plan.schema.items():
        table.add_row(Text(field), *_describe_field(plan, field), Text(str(merged)))
    if print_table(console, table):
        return
    for field, merged in plan.schema.items():
        print_indented(console, Text(f"{field}: {merged}", "bold"), hanging=2)
        for member, cell in zip(plan.members, _describe_field(plan, field), strict=True):
            print_indented(console, Text(f"{member.name} ({member.task_name}): ") + cell, indent=2, hanging=2)


def _describe_field(plan: Plan, field: str) -> list[Text]:
    """The type that each member gives ``field``, with a mark where it does not fit the others'."""
    found = [member.signature.outputs.get(field) for member in plan.members]
    missing = Text("- null", "yellow") if plan.compatible else Text("✗ missing", "red")
    return [
        missing if type_ is None else _describe_cell(member, field, type_, found)
        for member, type_ in zip(plan.members, found, strict=True)
    ]


def _describe_cell(member: PlannedMember, field: str, type_: FieldType, others: Sequence[FieldType | None]) -> Text:
    source = member.signature.sources.get(field)
    label = str(type_) if source == field else f"{type_} (constant)" if source is None else f"{type_} (from {source})"
    known = [other for other in others if other is not None]
    if any(isinstance(unify(type_, other, open_structs=True), Conflict) for other in known):
        return Text(f"✗ {label}", "red")
    if len({str(other) for other in known}) > 1:
        return Text(f"~ {label}", "yellow")
    return Text(label, "green")


def print_findings(console: Console, plan: Plan, findings: Sequence[Finding]) -> None:
    """Each finding with its place, its hint and what to paste."""
    for finding in findings:
        mark, style = _MARKS[finding.level]
        head = Text(f"{mark} {finding.level}: ", style)
        body = Text(indent_rest(finding.message)) + Text(f"  [{make_harmless(finding.rule)}]", "dim")
        print_indented(console, head + body, hanging=4)
        if places := locate_finding(plan, finding):
            print_indented(console, Text(f"at {', '.join(places)}", "dim"), indent=4)
        if finding.hint:
            print_indented(console, Text(make_harmless(finding.hint)), indent=4)
        if finding.fix:
            print_indented(console, Text(f"write, in {', '.join(finding.members) or 'the pool'}:"), indent=4)
            for line in make_harmless(finding.fix).splitlines():
                print_whole(console, f"        {line}", "bold")
