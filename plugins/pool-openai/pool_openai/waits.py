"""How long a server asks to wait, in all the forms that servers write it. Pure."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

__all__ = ["REMAINDER_HEADERS", "WAIT_HEADERS", "read_exhaustion", "read_retry_after"]

#: What a limit can be counted in. ``x-ratelimit-remaining-requests: 0`` says that nothing is left of it, and
#: ``x-ratelimit-reset-requests: 6m0s`` when there is some again.
COUNTED = ("requests", "tokens")

#: The headers without which `read_exhaustion` says nothing.
REMAINDER_HEADERS = tuple(f"x-ratelimit-remaining-{counted}" for counted in COUNTED)

#: The headers that are read here.
WAIT_HEADERS = (
    "date",
    "retry-after",
    "retry-after-ms",
    *(f"x-ratelimit-{part}-{counted}" for counted in COUNTED for part in ("remaining", "reset")),
)

_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_STEP = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ms|us|µs|ns|h|m|s)")


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


def read_exhaustion(headers: Mapping[str, str]) -> float | None:
    """Seconds until a limit of which nothing is left takes requests again; None where something is left.

    The longest counts where there are several. A time that is not written as Go writes durations
    (``6m0s``, ``1s``, ``20ms``) says nothing: a bare number may be seconds, or a moment since 1970.
    """
    waits = [
        _read_duration(headers.get(f"x-ratelimit-reset-{counted}", ""))
        for counted in COUNTED
        if _read_number(headers.get(f"x-ratelimit-remaining-{counted}")) == 0
    ]
    return max((wait for wait in waits if wait is not None), default=None)


def _read_duration(text: str) -> float | None:
    """Seconds of a duration as Go writes it."""
    steps = _STEP.findall(text)
    if not steps or "".join(number + unit for number, unit in steps) != text.strip():
        return None
    seconds = sum(float(number) * _UNITS[unit] for number, unit in steps)
    return seconds if math.isfinite(seconds) else None


def _read_number(text: str | None) -> float | None:
    """A plain number that is finite and not negative."""
    found = None if text is None else _NUMBER.fullmatch(text.strip())  # strip knows more spaces than float does
    if found is None:
        return None
    value = float(found[0])
    return value if math.isfinite(value) else None


def _read_date(text: str | None) -> float | None:
    """Seconds since 1970 of an HTTP date."""
    try:
        date = parsedate_to_datetime(text or "")
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
