"""References to keys, and keys that cannot be printed, pickled or logged by mistake."""

from __future__ import annotations

import base64
import html
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn, Self
from urllib.parse import quote

from pool_core.errors import BackendError
from pool_core.interfaces.values import Cause

__all__ = ["Key", "KeyReference", "read_key"]

#: More than any key has. A file above it is something else.
_LARGEST = 16 * 1024

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class KeyReference:
    """Where a key is kept: a variable of the environment, or a file."""

    kind: Literal["env", "file"]
    #: Name of the variable, or path of the file.
    place: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``env:NAME`` or ``file:PATH``.

        Raises:
            ValueError: it is neither. The message does not repeat the text, which may be a key.
        """
        kind, _, place = text.partition(":")
        if kind == "env" and _ENV_NAME.fullmatch(place):
            return cls("env", place)
        if kind == "file" and place and place.isprintable():
            return cls("file", place)
        raise ValueError("api_key must say where the key is, env:NAME or file:PATH, and never be the key itself")

    def __str__(self) -> str:
        return f"{self.kind}:{self.place}"


class Key:
    """A key. Only `reveal` shows it."""

    __slots__ = ("_spellings", "_value")

    def __init__(self, value: str) -> None:
        self._value = value
        self._spellings = sorted(_spell(value), key=len, reverse=True)

    def __repr__(self) -> str:
        return "Key(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is never pickled or copied")

    def reveal(self) -> str:
        """The key itself, for the one header that carries it."""
        return self._value

    def mask(self, text: str) -> str:
        """``text`` without the key: each of its usual spellings becomes ``***``."""
        for spelling in self._spellings:
            text = text.replace(spelling, "***")
        return text


def _spell(value: str) -> set[str]:
    """The forms in which servers repeat what they were sent: as it is, in JSON, HTML, addresses and base64."""
    encoded = [encode(value.encode()).decode() for encode in (base64.b64encode, base64.urlsafe_b64encode)]
    quoted = [quote(value, safe=""), quote(value)]
    return {
        value,
        value.replace("/", "\\/"),
        html.escape(value),
        *quoted,
        *(re.sub(r"%..", lambda found: found[0].lower(), one) for one in quoted),
        *encoded,
        *(one.rstrip("=") for one in encoded),
    }


def read_key(reference: KeyReference) -> Key:
    """Read the key that ``reference`` points to.

    Raises:
        BackendError: there is none, or it cannot be a key. The message never has what was read.
    """
    if reference.kind == "env":
        where = f"the environment variable {reference.place}"
        hint = f"set {reference.place}, or point api_key to another env:NAME or file:PATH"
        content = os.environ.get(reference.place)
        if content is None:
            raise BackendError(Cause.AUTH, f"{where} is not set", hint=hint)
    else:
        where = f"the key file {reference.place}"
        hint = "it must hold the key and nothing else; or point api_key to another env:NAME or file:PATH"
        content = _read_file(reference.place, where, hint)
    value = content.strip()
    if not value:
        raise BackendError(Cause.AUTH, f"{where} is empty", hint=hint)
    if not re.fullmatch(r"[!-~]+", value):
        text = f"{where} holds no key: there is a line break, a space or a character outside ASCII in it"
        raise BackendError(Cause.AUTH, text, hint=hint)
    return Key(value)


def _read_file(place: str, where: str, hint: str) -> str:
    try:
        with Path(place).open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise BackendError(Cause.AUTH, f"cannot read {where}: {error.strerror}", hint=hint) from None
    if len(content) > _LARGEST:
        raise BackendError(Cause.AUTH, f"{where} holds no key: it has more than {_LARGEST} bytes", hint=hint)
    return content.decode("latin-1")  # what is not ASCII is refused above all encodings
