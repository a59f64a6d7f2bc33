"""How long the API asks to wait before a limit of which nothing is left takes requests again. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["REPLY_HEADERS", "read_exhaustion"]

#: What a limit can be counted in: ``anthropic-ratelimit-requests-remaining``.
_COUNTED = ("requests", "tokens", "input-tokens", "output-tokens")

#: What is read of a reply's headers.
REPLY_HEADERS = (
    "date",
    "request-id",
    "retry-after",
    "retry-after-ms",
    *(f"anthropic-ratelimit-{counted}-{part}" for counted in _COUNTED for part in ("remaining", "reset")),
)


def read_exhaustion(headers: Mapping[str, str], wall_clock: Callable[[], float] = time.time) -> float | None:
    """Seconds until a limit of which nothing is left takes requests again; None where something is left.

    The API gives the moment as RFC 3339 has it. It is held against the reply's own ``date``, and against
    ``wall_clock`` where there is none. The longest wait counts; a moment that cannot be read says nothing.
    """
    sent = _read_date(headers.get("date", ""))
    now = wall_clock() if sent is None else sent
    moments = [
        _read_moment(headers.get(f"anthropic-ratelimit-{counted}-reset", ""))
        for counted in _COUNTED
        if headers.get(f"anthropic-ratelimit-{counted}-remaining", "").strip() == "0"
    ]
    return max((moment - now for moment in moments if moment is not None and moment >= now), default=None)


def _read_moment(text: str) -> float | None:
    """Seconds since 1970 of an RFC 3339 time."""
    try:
        moment = datetime.fromisoformat(text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _read_date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
