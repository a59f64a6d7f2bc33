"""How much memory this process holds."""

from __future__ import annotations

import os

__all__ = ["read_resident", "read_virtual"]

_STATM = "/proc/self/statm"


def read_resident() -> int | None:
    """Bytes of memory that are resident; None where the system does not tell (anything but Linux)."""
    return _read_pages(1)


def read_virtual() -> int | None:
    """Bytes of address space in use; None where the system does not tell (anything but Linux)."""
    return _read_pages(0)


def _read_pages(column: int) -> int | None:
    try:
        descriptor = os.open(_STATM, os.O_RDONLY)  # no file object: a person's interrupt may come at any point here
    except OSError:
        return None
    try:
        return int(os.read(descriptor, 256).split()[column]) * os.sysconf("SC_PAGE_SIZE")
    finally:
        os.close(descriptor)
