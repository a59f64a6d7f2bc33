"""What a check shows people: members x fields with their types, then every finding."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import TypeVar

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pool_core.interfaces.types import Conflict, FieldType, unify
from pool_core.interfaces.values import Finding
from pool_core.plan.model import Plan, PlannedMember
from pool_core.report.drawing import print_indented, print_table, print_whole
from pool_core.report.lines import count, indent_rest, list_some, make_line
from pool_core.report.places import locate_finding
from pool_core.report.text import make_harmless

__all__ = ["print_finding", "print_findings", "print_matrix", "print_silenced"]

T = TypeVar("T")

#: Members, and fields, that a matrix shows.
_MOST_SHOWN = 50
#: Findings that are shown.
_MOST_FINDINGS = 100
#: Members that a finding names.
_MOST_NAMED = 10
#: How rules begin that are about output fields.
_OUTPUT_RULES = ("output-", "contract-", "field-")
_MARKS = {"error": ("✗", "bold red"), "warning": ("!", "yellow"), "info": ("i", "cyan")}


def print_matrix(console: Console, plan: Plan) -> None:
    """Members x fields, with the type in each cell; what does not fit has a sign, not only a colour.

    Of many members or fields some are shown, those that errors are about first.
    """
    matrix = _Matrix(plan)
    console.print(Text("output fields"))
    table = Table(header_style="bold")
    table.add_column("field", no_wrap=True)
    for member in matrix.members:
        table.add_column(Text(f"{member.name}\n{make_line(member.task_name)}"), no_wrap=True)
    table.add_column("merged", no_wrap=True)
    for field in matrix.fields:
        table.add_row(Text(make_line(field)), *matrix.describe_field(field), Text(str(plan.schema[field])))
    if not print_table(console, table):
        for field in matrix.fields:
            print_indented(console, Text(f"{make_line(field)}: {plan.schema[field]}", "bold"), hanging=2)
            for member, cell in zip(matrix.members, matrix.describe_field(field), strict=True):
                head = Text(f"{member.name} ({make_line(member.task_name)}): ")
                print_indented(console, head + cell, indent=2, hanging=2)
    hidden = [
        count(total - shown, noun)
        for total, shown, noun in (
            (len(plan.members), len(matrix.members), "member"),
            (len(plan.schema), len(matrix.fields), "field"),
        )
        if total > shown
    ]
    if hidden:
        console.print(Text(f"and {' and '.join(hidden)} more; `pool check --json` has all"))


class _Matrix:
    """What is shown of a plan's fields, and how each cell of it stands by the plan's errors."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        errors = [finding for finding in plan.findings if finding.level == "error"]
        about = [finding for finding in errors if finding.rule.startswith(_OUTPUT_RULES)]
        self._wrong = {(name, finding.field) for finding in about for name in finding.members}
        self._conflicting = {finding.field for finding in about if finding.rule == "output-type"}
        self._names_differ = any(finding.rule == "output-names" for finding in about)
        named = {name for name, _ in self._wrong}
        self.members = _choose(plan.members, [member.name in named for member in plan.members])
        concerned = {finding.field for finding in about}
        self.fields = _choose(tuple(plan.schema), [field in concerned for field in plan.schema])

    def describe_field(self, field: str) -> list[Text]:
        """The type that each member gives ``field``, with a mark where it does not fit the others'."""
        found = {m.signature.outputs[field] for m in self._plan.members if field in m.signature.outputs}
        return [self._describe_cell(member, field, found) for member in self.members]

    def _describe_cell(self, member: PlannedMember, field: str, found: AbstractSet[FieldType]) -> Text:
        type_ = member.signature.outputs.get(field)
        if type_ is None:
            return Text("✗ missing", "red") if self._names_differ else Text("- null", "yellow")
        source = member.signature.sources.get(field)
        origin = "" if source == field else " (constant)" if source is None else f" (from {make_line(source)})"
        clashes = field in self._conflicting and any(isinstance(unify(type_, other), Conflict) for other in found)
        if clashes or (member.name, field) in self._wrong:
            return Text(f"✗ {type_}{origin}", "red")
        return Text(f"~ {type_}{origin}", "yellow") if len(found) > 1 else Text(f"{type_}{origin}", "green")


def _choose(items: Sequence[T], urgent: Sequence[bool]) -> Sequence[T]:
    """At most as many as are shown, in their order; the urgent ones before others."""
    if len(items) <= _MOST_SHOWN:
        return items
    places = sorted(range(len(items)), key=lambda place: not urgent[place])[:_MOST_SHOWN]
    return [items[place] for place in sorted(places)]


def print_findings(console: Console, plan: Plan, findings: Sequence[Finding]) -> None:
    """Each finding with its place, its hint and what to paste; of many the first."""
    for finding in findings[:_MOST_FINDINGS]:
        print_finding(console, finding, locate_finding(plan, finding))
        if finding.fix:
            names = list_some(finding.members, _MOST_NAMED) or "the pool"
            print_indented(console, Text(f"write, in {names}:"), indent=4)
            for line in make_harmless(finding.fix).splitlines():
                print_whole(console, f"        {line}", "bold")
    if len(findings) > _MOST_FINDINGS:
        more = count(len(findings) - _MOST_FINDINGS, "finding")
        console.print(Text(f"and {more} more; `pool check --json` has all"))


def print_finding(console: Console, finding: Finding, places: Sequence[str] = (), about: str = "") -> None:
    """One finding with its places and its hint. ``about`` is the plugin that it is about, where none is a place."""
    mark, style = _MARKS[finding.level]
    head = Text(f"{mark} {finding.level}: ", style)
    message = f"{about}: {finding.message}" if about else finding.message
    body = Text(indent_rest(message)) + Text(f"  [{make_harmless(finding.rule)}]", "dim")
    print_indented(console, head + body, hanging=4)
    if places:
        print_indented(console, Text(f"at {list_some(places, _MOST_NAMED)}", "dim"), indent=4)
    if finding.hint:
        print_indented(console, Text(make_harmless(finding.hint)), indent=4)


def print_silenced(console: Console, plan: Plan) -> None:
    """How many findings the recipe silences, and of which rules; nothing where it silences none."""
    if plan.silenced:
        rules = sorted({finding.rule for finding in plan.silenced})
        said = f"{count(len(plan.silenced), 'finding')} silenced ({list_some(rules, _MOST_NAMED)})"
        console.print(Text(said, "dim"))
