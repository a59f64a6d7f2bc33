"""Folders and files of a run: for nobody else's eyes, and there after a power cut."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from pool_core.errors import StoreError

__all__ = ["make_folder", "sync", "write_file"]


def make_folder(folder: Path) -> None:
    """Make a folder that only its owner can enter, and what is missing above it, durably."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in missing:
        sync(path.parent)


def write_file(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read: all of it or nothing, durably. Raises `StoreError`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        raise StoreError(
            f"{path.name} cannot be written: {error.strerror or error}",
            where=str(path.parent),
            hint="make room or mend the disk, then run the same command again: what was committed is kept",
        ) from error
    finally:
        with suppress(OSError):  # where there is nothing to remove, that is not what went wrong
            temporary.unlink()


def sync(path: Path) -> None:
    """Make a file or folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
