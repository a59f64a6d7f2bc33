"""Foreign text of several lines, and counted things, as a person reads them."""

from __future__ import annotations

from pool_core.report.text import make_harmless

__all__ = ["count", "indent_rest"]


def count(number: int, noun: str) -> str:
    """``1 cell``, ``2 cells``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def indent_rest(text: str, limit: int | None = None, indent: str = "  ") -> str:
    """``text`` made harmless, with every line but the first indented: none can pass for one of ours."""
    first, *rest = make_harmless(text, limit).split("\n")
    return "\n".join([first, *(line if line.startswith(indent) else indent + line for line in rest)])
