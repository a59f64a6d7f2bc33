"""Foreign text made harmless: what a model, a row or a server says must not act on a terminal."""

from __future__ import annotations

import unicodedata

__all__ = ["make_harmless"]

_KEPT = frozenset("\n\t")


def make_harmless(text: str, limit: int | None = None) -> str:
    """``text`` without control, direction and surrogate characters, which become visible escapes.

    ``limit`` is the most characters that are shown.
    """
    if limit is not None:
        text = text[: limit + 1]  # enough to tell whether there is more
    if not (text.isascii() and text.isprintable()):
        text = "".join(_escape(character) for character in text)
    return text if limit is None or len(text) <= limit else text[: max(limit - 1, 0)] + "…"


def _escape(character: str) -> str:
    if character in _KEPT or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp"):
        return character
    return character.encode("unicode_escape").decode()
