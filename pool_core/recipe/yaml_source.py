"""Reading YAML as plain data, with the line of everything.

A strict subset: no aliases, no tags, no duplicate keys, one document, bounded size and depth. Plain
scalars follow YAML 1.2's core schema, so ``no`` and ``on`` are strings and not booleans; numbers that
JSON cannot hold are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from yaml.reader import ReaderError

from pool_core.errors import RecipeError

__all__ = ["MAX_CHARACTERS", "KeyPath", "Source", "read_yaml"]

#: Where something stands in a document: keys and list positions from the root.
KeyPath: TypeAlias = tuple[str | int, ...]

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 32
MAX_DIGITS = 1000

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_CONSTANTS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
#: What libyaml says of a depth that is far beyond ours, before it hands out an event.
_LIBRARY_DEPTH = "exceeded maximum nesting depth"
#: What libraries say of a flow collection that goes on with something else.
_FLOW_PROBLEM = "expected ',' or"
_BRACKETED = re.compile(r"\w[\[{]")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Source:
    """A recipe file and the line of everything in it."""

    path: Path
    lines: dict[KeyPath, int] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The folder that the recipe's relative paths start from."""
        return self.path.resolve().parent

    def locate(self, path: KeyPath) -> str:
        """``file:line`` of ``path``, or of the nearest thing around it that stands in the file."""
        line = self.find_line(path)
        return f"{self.path}:{line}" if line else str(self.path)

    def find_line(self, path: KeyPath) -> int:
        """The line of ``path``, or of the nearest thing around it; 0 where nothing of it stands in the file."""
        return next((self.lines[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self.lines), 0)


def read_yaml(text: str, path: Path) -> tuple[Any, Source]:
    """Read one YAML document.

    Raises:
        RecipeError: not YAML, or not of the subset; with the line.
    """
    if len(text) > MAX_CHARACTERS:
        raise RecipeError(f"the file has more than {MAX_CHARACTERS:,} characters", where=str(path))
    source = Source(path)
    try:
        builder = _Builder(yaml.parse(text, Loader=_LOADER), source)
        return builder.build_document(), source
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = str(path) if mark is None else f"{path}:{mark.line + 1}"
        if error.problem == _LIBRARY_DEPTH:
            raise RecipeError(f"nested more than {MAX_DEPTH} levels deep", where=place) from error
        hint = _suggest(text, mark.line, error.problem or "") if mark is not None else ""
        context = f" {error.context}" if error.context else ""
        raise RecipeError(f"this is no YAML: {error.problem}{context}", where=place, hint=hint) from error
    except ReaderError as error:
        line = text.count("\n", 0, text.find(chr(error.character))) + 1
        raise RecipeError(
            f"this is no YAML: the character U+{error.character:04X} is not allowed", where=f"{path}:{line}"
        ) from error


def _suggest(text: str, number: int, problem: str) -> str:
    """What to do about a line that is no YAML, where that can be told."""
    shown = "".join(text.splitlines()[number : number + 1])
    if "\t" in shown[: len(shown) - len(shown.lstrip())]:
        return "tabs may not indent; use spaces"
    if _FLOW_PROBLEM in problem and _BRACKETED.search(shown):
        return 'inside of braces quote what has brackets, as in {x: "list[int]"}'
    return ""


class _Builder:
    """Builds plain data from parse events and notes the line of each key and item."""

    def __init__(self, events: Iterator[Any], source: Source) -> None:
        self._events = events
        self._source = source

    def build_document(self) -> Any:
        value = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._refuse(event, "a recipe is one YAML document", "remove the second `---`")
                value = self._build(next(self._events), (), 0)
        return value

    def _build(self, event: Any, path: KeyPath, depth: int) -> Any:
        self._source.lines.setdefault(path, _count_line(event))
        if depth > MAX_DEPTH:
            raise self._refuse(event, f"nested more than {MAX_DEPTH} levels deep")
        if isinstance(event, yaml.AliasEvent):
            raise self._refuse(event, f"the alias *{event.anchor} is not allowed", "write the value out")
        self._check_tag(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._build_sequence(path, depth)
        if isinstance(event, yaml.MappingStartEvent):
            return self._build_mapping(path, depth)
        try:
            return _read_scalar(event.value) if event.implicit[0] else event.value
        except ValueError as error:
            raise self._refuse(
                event, "this number is not finite or has too many digits", "quote it if text is meant"
            ) from error

    def _build_sequence(self, path: KeyPath, depth: int) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._build(event, (*path, len(items)), depth + 1))
        return items

    def _build_mapping(self, path: KeyPath, depth: int) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise self._refuse(event, "a key must be plain text")
            self._check_tag(event)
            if event.value in items:
                first = self._source.lines[(*path, event.value)]
                raise self._refuse(event, f"the key {event.value!r} stands here again", f"it stands in line {first}")
            self._source.lines[(*path, event.value)] = _count_line(event)
            items[event.value] = self._build(next(self._events), (*path, event.value), depth + 1)
        return items

    def _check_tag(self, event: Any) -> None:
        if event.tag is not None:
            raise self._refuse(event, f"the tag {event.tag} is not allowed", "quote the value if a string is meant")

    def _refuse(self, event: Any, message: str, hint: str = "") -> RecipeError:
        return RecipeError(message, where=f"{self._source.path}:{_count_line(event)}", hint=hint)


def _count_line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _read_scalar(text: str) -> Any:
    """The value of a plain scalar. Raises `ValueError` for a number that JSON cannot hold."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INT.fullmatch(text):
        if len(text) > MAX_DIGITS:
            raise ValueError(text)
        return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
    if _FLOAT.fullmatch(text) and isfinite(value := float(text)):
        return value
    if _FLOAT.fullmatch(text) or _NOT_FINITE.fullmatch(text):
        raise ValueError(text)
    return text
