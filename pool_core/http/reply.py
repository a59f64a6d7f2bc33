"""A reply, as far as a backend reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["HttpReply"]


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A reply with status 2xx."""

    body: bytes
    #: Those that were asked for, by names in lower case. One that came twice, or is no text, is not there.
    headers: Mapping[str, str]
