"""The project's pages, and the fenced blocks in them.

A comment on the line before a block says what it is, where its language alone does not:

- ``<!-- shows: COMMAND -->``: what the command prints;
- ``<!-- prints -->``: what the block before it prints;
- ``<!-- part of: FILE -->``: lines that stand so in a file of the project;
- ``<!-- gate: NAME -->``: a command that `.ci/run` runs;
- ``<!-- not run: REASON -->``: nobody runs or compares it, and why.

A ``title="FILE"`` behind the language makes a block a file, which later blocks use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PAGES", "ROOT", "Block", "read_blocks"]

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "plugins/*/README.md", "examples/*/README.md")
    for path in ROOT.glob(pattern)
)
_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,})(?P<info>[^`]*)$")
_NOTE = re.compile(r"^ *<!-- (.+) -->$")
_TITLE = re.compile(r'\btitle="([^"]+)"')


@dataclass(frozen=True)
class Block:
    """One fenced block: where it begins, its language, the comment before it, the file that it is."""

    page: str
    line: int
    kind: str
    note: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}, line {self.line}"


def read_blocks(page, text=None):
    """All fenced blocks of a page, in order. A fence without an end is an error."""
    lines = (text if text is not None else (ROOT / page).read_text(encoding="utf-8")).splitlines()
    blocks = []
    position = 0
    while position < len(lines):
        opening = _FENCE.match(lines[position])
        position += 1
        if not opening:
            continue
        start, indent = position, len(opening["indent"])
        while position < len(lines) and lines[position].strip() != opening["fence"]:
            position += 1
        assert position < len(lines), f"{page}, line {start}: the block does not end"
        words = opening["info"].split(maxsplit=1)
        note = _NOTE.match(lines[start - 2]) if start > 1 else None
        title = _TITLE.search(opening["info"])
        inside = "".join(f"{line[indent:]}\n" for line in lines[start:position])
        position += 1
        kind = words[0] if words else ""
        blocks.append(Block(page, start, kind, note[1] if note else "", title[1] if title else "", inside))
    return blocks
