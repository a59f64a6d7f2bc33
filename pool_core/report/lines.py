"""Foreign text of several lines, and counted things, as a person reads them."""

from __future__ import annotations

from collections.abc import Sequence

from pool_core.report.text import make_harmless

__all__ = ["count", "indent_rest", "list_some", "make_line"]


def count(number: int, noun: str) -> str:
    """``1 cell``, ``2 cells``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def indent_rest(text: str, limit: int | None = None, indent: str = "  ") -> str:
    """``text`` made harmless, with every line but the first indented: none can pass for one of ours."""
    first, *rest = make_harmless(text, limit).split("\n")
    return "\n".join([first, *(line if line.startswith(indent) else indent + line for line in rest)])


def make_line(text: str) -> str:
    """``text`` made harmless, on one line."""
    return make_harmless(text).replace("\n", "\\n").replace("\t", "\\t")


def list_some(texts: Sequence[str], most: int) -> str:
    """``texts`` on one line, of many the first ones: ``a, b and 7 more``."""
    more = len(texts) - most
    shown = ", ".join(map(make_line, texts[:most]))
    return f"{shown} and {more:,} more" if more > 0 else shown
