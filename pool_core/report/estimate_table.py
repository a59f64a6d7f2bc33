"""An estimate as people read it. All foreign text goes in as text, never as markup."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pool_core.plan.prices import format_dollars
from pool_core.report.drawing import print_indented, print_table, print_whole
from pool_core.report.duration import Span
from pool_core.report.estimate import RunEstimate
from pool_core.report.lines import count, indent_rest
from pool_core.report.member_estimate import MemberEstimate

__all__ = ["format_cost", "format_seconds", "format_span", "print_estimate"]

#: Characters shown of what a server, a row or a plugin says.
_LONGEST = 1000


def print_estimate(console: Console, estimate: RunEstimate, run_dir: Path) -> None:
    """What each member would use, then the sums, and what the figures rest on.

    Args:
        run_dir: where a run would be kept.
    """
    console.print(Text(f"{count(estimate.rows, 'row')}; nothing is sent"))
    if not print_table(console, _tabulate(estimate.members)):
        for member in estimate.members:
            print_indented(console, Text(_describe(member)), hanging=2)
    requests = sum(member.requests for member in estimate.members)
    print_indented(console, Text(f"total: {count(requests, 'request')}, cost {format_cost(estimate.cost)}"))
    print_indented(console, Text(f"time: {_describe_time(estimate)}"), hanging=2)
    for note in _list_notes(estimate, run_dir):
        print_whole(console, f"note: {indent_rest(note, _LONGEST)}", "yellow")


def _tabulate(members: Sequence[MemberEstimate]) -> Table:
    table = Table(header_style="bold")
    table.add_column("member", no_wrap=True)
    for name in ("cells", "reused", "failing", "requests", "tokens in", "tokens out", "cost"):
        table.add_column(name, justify="right", no_wrap=True)
    for member in members:
        table.add_row(
            Text(member.name),
            f"{member.cells:,}",
            f"{member.reused:,}",
            Text(f"{member.failing:,}", "red" if member.failing else ""),
            f"{member.requests:,}",
            format_span(member.input_tokens, _format_tokens),
            format_span(member.output_tokens, _format_tokens),
            format_cost(member.cost),
        )
    return table


def _describe(member: MemberEstimate) -> str:
    """A member's figures as a line, for terminals that the table does not fit."""
    parts = [count(member.requests, "request")]
    parts += [f"{member.reused:,} reused"] if member.reused else []
    parts += [f"{member.failing:,} failing"] if member.failing else []
    parts.append(f"tokens in {format_span(member.input_tokens, _format_tokens)}")
    parts.append(f"tokens out {format_span(member.output_tokens, _format_tokens)}")
    parts.append(f"cost {format_cost(member.cost)}")
    return f"{member.name}: {count(member.cells, 'cell')}: " + ", ".join(parts)


def format_span(span: Span, write: Callable[[float], str]) -> str:
    """``5``, ``5 to 7``, ``at least 5``; ``unknown`` where there is nothing to say."""
    low = write(span.low) if span.low is not None else ""
    if span.high is None:
        return f"at least {low}" if span.low else "unknown"
    high = write(span.high)
    return high if low in (high, "") else f"{low} to {high}"


def _format_tokens(tokens: float) -> str:
    return f"{tokens:,.0f}"


def format_cost(cost: Span | None) -> str:
    """Dollars, as `format_span` writes them; ``unknown`` without a price."""
    return "unknown" if cost is None else format_span(cost, format_dollars)


def format_seconds(seconds: float) -> str:
    """``0.4 s``, ``42 s``, ``3 min 20 s``, ``2 h 5 min``, ``3 d 4 h``: the two units that matter."""
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    whole = round(seconds)
    units = [("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)]
    first = next(number for number, (_, size) in enumerate(units) if whole >= size)
    parts = []
    for name, size in units[first : first + 2]:
        number, whole = divmod(whole, size)
        parts += [f"{number} {name}"] if number else []
    return " ".join(parts)


def _describe_time(estimate: RunEstimate) -> str:
    said = format_span(estimate.seconds, format_seconds)
    seen = [
        f"{member.name} {format_seconds(member.latency)}"
        for member in estimate.members
        if member.requests and member.latency is not None
    ]
    blind = _name(member for member in estimate.members if member.requests and member.latency is None)
    words = [f"{said} at the recipe's limits"]
    if seen:
        words.append(f"a call is taken to last, as stored answers did: {', '.join(seen)}")
    if blind:
        words.append(f"how long a call of {blind} lasts is not known before some are answered")
    return "; ".join(words)


def _list_notes(estimate: RunEstimate, run_dir: Path) -> Iterator[str]:
    """What the figures leave out, and what would make them better."""
    if estimate.run is None:
        yield f"the whole recipe is counted: there is no run in {run_dir}"
    for member in estimate.members:
        if member.failing:
            yield f"{count(member.failing, 'cell')} of {member.name} cannot be asked; the first: {member.problem}"
    asked = [member for member in estimate.members if member.requests]
    if names := _name(member for member in asked if member.price is None):
        yield f"no price is known for {names}: write `price: {{input: ..., output: ...}}`, dollars per million tokens"
    if names := _name(member for member in asked if member.output_tokens.high is None):
        yield f"nothing bounds the answers of {names}: write `sampling: {{max_tokens: ...}}`"
    if names := _name(member for member in asked if member.input_tokens.high is None):
        yield f"{names}: prompts hold more than text, whose tokens are not known"


def _name(members: Iterable[MemberEstimate]) -> str:
    return ", ".join(member.name for member in members)
