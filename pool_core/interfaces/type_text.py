"""Types as text, the way messages show them and contracts and adapters write them.

::

    type    := choice ["?"]                     a trailing ? makes it nullable
    choice  := null | bool | int | float | str | any
             | "list[" type "]" | "map[" type "]"
             | "{" [name ":" type ("," name ":" type)*] "}"
             | literal ("|" literal)*           with literal a quoted string
"""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from typing import NoReturn, get_args

from pool_core.interfaces.types import ANY, NULL, FieldType, Kind

__all__ = ["parse_type"]

_TOKEN = re.compile(
    r"""\s*(?:(?P<word>[A-Za-z_]\w*)|(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?P<sign>[][{}:,|?]))"""
)
_SCALARS = frozenset(get_args(Kind)) - {"literal", "list", "struct", "map"}
_MOST_CHARACTERS = 100_000
_MOST_DEPTH = 50


def parse_type(text: str) -> FieldType:
    """The type that ``text`` writes; ``parse_type(str(type_)) == type_`` for every type.

    Raises:
        ValueError: it writes none; the message says where.
    """
    if len(text) > _MOST_CHARACTERS:
        raise ValueError(f"a type has at most {_MOST_CHARACTERS:,} characters")
    parser = _Parser(text)
    found = parser.read_type(0)
    if parser.text:
        parser.refuse("the end")
    return found


class _Parser:
    """Reads one token ahead."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._start = 0
        self.text = ""
        self._kind: str | None = None
        self._advance()

    def read_type(self, depth: int) -> FieldType:
        if depth > _MOST_DEPTH:
            raise ValueError(f"the type is nested more than {_MOST_DEPTH} levels deep")
        found = self._read_choice(depth)
        if self.text == "?" and self._kind == "sign":
            self._advance()
            found = replace(found, nullable=True)
        return {"null": NULL, "any": ANY}.get(found.kind, found)

    def _read_choice(self, depth: int) -> FieldType:
        if self._kind == "quoted":
            return self._read_literals()
        if self._kind == "word":
            word = self._take()
            if word == "list":
                return FieldType("list", items=self._read_items(depth))
            if word == "map":
                return FieldType("map", items=self._read_items(depth))
            if word in _SCALARS:
                return FieldType(word)  # type: ignore[arg-type]
            known = ", ".join(sorted(_SCALARS))
            raise ValueError(f"{word!r} is no type; known are {known}, list[...], map[...], {{...}}")
        if self.text != "{":
            self.refuse("a type")
        return self._read_struct(depth)

    def _read_items(self, depth: int) -> FieldType:
        self._expect("[")
        found = self.read_type(depth + 1)
        self._expect("]")
        return found

    def _read_struct(self, depth: int) -> FieldType:
        self._expect("{")
        fields: dict[str, FieldType] = {}
        while self.text != "}" or self._kind != "sign":
            if fields:
                self._expect(",")
            if self._kind not in ("word", "quoted"):
                self.refuse("the name of a field")
            name = ast.literal_eval(self._take()) if self._kind == "quoted" else self._take()
            if name in fields:
                raise ValueError(f"the field {name!r} stands twice in the type")
            self._expect(":")
            fields[name] = self.read_type(depth + 1)
        self._advance()
        return FieldType("struct", fields=tuple(sorted(fields.items())))

    def _read_literals(self) -> FieldType:
        values = {ast.literal_eval(self._take())}
        while self.text == "|" and self._kind == "sign":
            self._advance()
            if self._kind != "quoted":
                self.refuse("a quoted value")
            values.add(ast.literal_eval(self._take()))
        return FieldType("literal", values=tuple(sorted(values)))

    def _take(self) -> str:
        token = self.text
        self._advance()
        return token

    def _expect(self, sign: str) -> None:
        if self.text != sign or self._kind != "sign":
            self.refuse(repr(sign))
        self._advance()

    def _advance(self) -> None:
        rest = self._text[self._position :]
        found = _TOKEN.match(self._text, self._position)
        if found is None:
            if rest.strip():
                raise ValueError(f"{rest.strip()[:20]!r} cannot stand in a type")
            self._start, self.text, self._kind = len(self._text), "", None
            return
        self._start, self._position = found.start(found.lastgroup or 0), found.end()
        self.text, self._kind = found[found.lastgroup or 0], found.lastgroup

    def refuse(self, wanted: str) -> NoReturn:
        found = repr(self.text) if self.text else "the end"
        raise ValueError(f"expected {wanted} at character {self._start + 1} of the type, found {found}")
