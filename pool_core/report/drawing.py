"""Drawing that cuts nothing, however narrow the terminal is."""

from __future__ import annotations

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

__all__ = ["print_indented", "print_table", "print_whole"]


def print_table(console: Console, table: Table) -> bool:
    """Print ``table`` if the console is wide enough to cut nothing of it; returns whether it is."""
    natural = console.measure(table, options=console.options.update(width=10_000)).maximum
    if natural > console.width:
        return False
    console.print(table)
    return True


def print_whole(console: Console, text: str, style: str = "") -> None:
    """Print lines that a person may copy: the terminal wraps them, and no line break comes in."""
    console.print(Text(text, style), soft_wrap=True)


def print_indented(console: Console, text: Text, *, indent: int = 0, hanging: int = 0) -> None:
    """Print ``text`` after ``indent`` columns, its further lines after ``hanging`` more."""
    lines = text.wrap(console, max(10, console.width - indent - hanging))
    for number, line in enumerate(lines):
        line.rstrip()
        console.print(Padding(line, (0, 0, 0, indent + (hanging if number else 0)), expand=False))
