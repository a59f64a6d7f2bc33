"""How much memory this process holds."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["read_resident", "read_virtual"]

_STATM = Path("/proc/self/statm")


def read_resident() -> int | None:
    """Bytes of memory that are resident; None where the system does not tell (anything but Linux)."""
    return _read_pages(1)


def read_virtual() -> int | None:
    """Bytes of address space in use; None where the system does not tell (anything but Linux)."""
    return _read_pages(0)


def _read_pages(column: int) -> int | None:
    try:
        return int(_STATM.read_bytes().split()[column]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
