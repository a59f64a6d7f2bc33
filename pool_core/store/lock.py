"""One process owns a run directory at a time."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

from filelock import FileLock, Timeout

from pool_core.errors import RunLockedError

__all__ = ["RunLock"]


class RunLock:
    """The lock of a run directory. It ends with the process, however that ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._owner = folder / "owner.json"
        self._lock = FileLock(folder / "lock", timeout=0, mode=0o600, thread_local=False)

    def acquire(self) -> None:
        """Take the lock. Raises `RunLockedError`, which says who holds it."""
        try:
            self._lock.acquire()
        except Timeout as error:
            raise RunLockedError(
                f"another process works on this run{self._describe_owner()}",
                where=str(self._folder),
                hint="wait until it ends, stop it, or give this run another directory: --run-dir DIR",
            ) from error
        self._owner.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}), encoding="utf-8")

    def release(self) -> None:
        """Give the lock back. May be called twice."""
        if self._lock.is_locked:
            self._owner.unlink(missing_ok=True)
            self._lock.release()

    def _describe_owner(self) -> str:
        try:
            owner = json.loads(self._owner.read_text(encoding="utf-8"))
            return f": process {owner['pid']} on {owner['host']}"
        except (OSError, ValueError, KeyError, TypeError):
            return ""
