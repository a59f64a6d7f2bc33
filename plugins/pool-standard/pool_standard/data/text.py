"""Text that UTF-8 can hold."""

from __future__ import annotations

import re

__all__ = ["replace_surrogates"]

_SURROGATE = re.compile("[\ud800-\udfff]")


def replace_surrogates(text: str) -> str:
    """Put U+FFFD for every half of a surrogate pair, which UTF-8 cannot hold."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)
