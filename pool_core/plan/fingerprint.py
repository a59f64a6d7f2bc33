"""When stored work still holds without looking at each cell.

A fingerprint is a shortcut and never the proof: where it is equal, a finished cell is left alone;
where it differs or is not known, the cell's request is made again and its key compared.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b

from pool_core.plan.model import MemberParts

__all__ = ["fingerprint_parsing", "fingerprint_requests"]


def fingerprint_requests(parts: MemberParts) -> str | None:
    """Changes with everything that shapes the member's requests; None where that cannot be known."""
    return _digest(parts.request) if parts.request_known else None


def fingerprint_parsing(parts: MemberParts) -> str | None:
    """Changes with everything that shapes how the member's answers are read; None where that cannot be known."""
    return _digest(parts.reading) if parts.reading_known else None


def _digest(parts: Mapping[str, str]) -> str:
    return blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16).hexdigest()
