"""What the generators of pages share: docstrings and cells as Markdown."""

from __future__ import annotations

import html
import inspect
import re
from collections.abc import Iterable
from typing import Any

__all__ = ["NOTE", "escape_cell", "finish_page", "read_doc"]

NOTE = "<!-- Made by docs/gen_reference.py. Change the code that it reads, then run it again. -->"


def read_doc(thing: Any) -> str:
    """A docstring as Markdown."""
    text = inspect.cleandoc(thing.__doc__ or "").split("\n::")[0].rstrip()
    return re.sub(r"``(.+?)``", r"`\1`", text)


def escape_cell(cell: str) -> str:
    """A cell without what would end it: a bar is an entity, which code spans do not know."""
    spans = re.sub(r"`([^`]*\|[^`]*)`", lambda span: f"<code>{html.escape(span[1])}</code>", cell)
    return spans.replace("|", "&#124;").replace("\n", " ")


def finish_page(lines: Iterable[str]) -> str:
    """The page, with the note that it is made."""
    text = "\n".join(lines)
    return f"{NOTE}\n\n{text}\n"
