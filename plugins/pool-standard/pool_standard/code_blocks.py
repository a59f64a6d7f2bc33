"""Fenced code blocks in a text, read as CommonMark does: total over any text, in linear time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["CodeBlock", "extract_code", "find_code_blocks"]

_LINE: Final = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_FENCE: Final = re.compile(r"( {0,3})(`{3,}|~{3,})([^\r\n]*)")
_LANGUAGE: Final = re.compile(r"[^\s{},]+")

#: What info strings write for a language, besides its name.
_ALIASES: Final = {
    "c++": "cpp",
    "cs": "csharp",
    "c#": "csharp",
    "golang": "go",
    "js": "javascript",
    "py": "python",
    "python3": "python",
    "rb": "ruby",
    "rs": "rust",
    "sh": "bash",
    "shell": "bash",
    "ts": "typescript",
    "yml": "yaml",
}


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """One fenced block."""

    #: What stands behind the opening fence, without blanks around it.
    info: str
    #: The lines between the fences, without the last line's end.
    code: str

    @property
    def language(self) -> str:
        """The language that the info string names, in one spelling; empty where it names none."""
        found = _LANGUAGE.search(self.info)
        return _normalize(found[0]) if found else ""


@dataclass(frozen=True, slots=True)
class _Fence:
    """An opening fence."""

    indent: int
    mark: str
    length: int
    info: str


def extract_code(text: str, language: str, which: Literal["first", "longest", "all"]) -> str | None:
    """Take code out of ``text``: the first block, the longest, or all of them joined by a blank line.

    Where blocks are marked as ``language``, the others are left aside. Blank blocks always are: a
    lone fence at an answer's end opens one.

    Returns:
        The code, or None where there is no block.
    """
    blocks = [block for block in find_code_blocks(text) if block.code.strip()]
    wanted = _normalize(language)
    codes = [block.code for block in blocks if block.language == wanted] or [block.code for block in blocks]
    if not codes:
        return None
    if which == "all":
        return "\n\n".join(codes)
    return codes[0] if which == "first" else max(codes, key=len)


def find_code_blocks(text: str) -> list[CodeBlock]:
    """All fenced code blocks of ``text``, in order; one that is not closed ends with the text."""
    blocks: list[CodeBlock] = []
    fence: _Fence | None = None
    lines: list[str] = []
    for line in _split_lines(text):
        if fence is None:
            fence = _read_opening(line)
            lines = []
        elif _is_closing(line, fence):
            blocks.append(_make_block(fence, lines))
            fence = None
        else:
            lines.append(_strip_indent(line, fence.indent))
    if fence is not None:
        blocks.append(_make_block(fence, lines))
    return blocks


def _split_lines(text: str) -> Iterator[str]:
    """Lines with their ends, as CommonMark knows them: ``str.splitlines`` splits at other characters too."""
    return (found[0] for found in _LINE.finditer(text) if found[0])


def _read_opening(line: str) -> _Fence | None:
    found = _FENCE.match(line)
    if found is None:
        return None
    indent, marks, info = found.groups()
    if marks[0] == "`" and "`" in info:
        return None
    return _Fence(len(indent), marks[0], len(marks), info.strip(" \t"))


def _is_closing(line: str, fence: _Fence) -> bool:
    found = _FENCE.match(line)
    if found is None:
        return False
    _, marks, rest = found.groups()
    return marks[0] == fence.mark and len(marks) >= fence.length and not rest.strip(" \t")


def _strip_indent(line: str, most: int) -> str:
    """Take up to ``most`` blanks away from the line's start."""
    blanks = len(line) - len(line.lstrip(" "))
    return line[min(blanks, most) :]


def _make_block(fence: _Fence, lines: list[str]) -> CodeBlock:
    code = "".join(lines)
    for end in ("\r\n", "\n", "\r"):
        if code.endswith(end):
            return CodeBlock(fence.info, code.removesuffix(end))
    return CodeBlock(fence.info, code)


def _normalize(language: str) -> str:
    name = language.casefold().removeprefix(".")
    return _ALIASES.get(name, name)
