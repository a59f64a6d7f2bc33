"""Foreign text made harmless: what a model, a row or a server says must not act on a terminal."""

from __future__ import annotations

import unicodedata

__all__ = ["make_harmless"]

_KEPT = frozenset("\n\t")


def make_harmless(text: str, limit: int | None = None) -> str:
    """``text`` without control, direction and surrogate characters, which become visible escapes.

    ``limit`` is the most characters that are shown.
    """
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(character) for character in text)


def _escape(character: str) -> str:
    if character in _KEPT or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp"):
        return character
    return character.encode("unicode_escape").decode()
