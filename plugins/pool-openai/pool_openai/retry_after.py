"""How long a server asks to wait, in all the forms that servers write it."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

__all__ = ["read_retry_after"]

_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+")


def read_retry_after(headers: Mapping[str, str], wall_clock: Callable[[], float] = time.time) -> float | None:
    """Seconds to wait, or None where the server does not say or says nonsense.

    ``headers`` has names in lower case. ``retry-after-ms`` comes first, then ``retry-after`` in seconds or as
    a date. A date is held against the reply's own ``date``, and against ``wall_clock`` where there is none.
    """
    milliseconds = _read_number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    seconds = _read_number(text)
    if seconds is not None:
        return seconds
    until = _read_date(text)
    if until is None:
        return None
    sent = _read_date(headers.get("date"))
    wait = until - (wall_clock() if sent is None else sent)
    return wait if wait >= 0 else None


def _read_number(text: str | None) -> float | None:
    """A plain number that is finite and not negative."""
    if text is None or not _NUMBER.fullmatch(text.strip()):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def _read_date(text: str | None) -> float | None:
    """Seconds since 1970 of an HTTP date."""
    try:
        date = parsedate_to_datetime(text or "")
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
