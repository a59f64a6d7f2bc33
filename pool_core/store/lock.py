"""One process owns a run directory at a time."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from pathlib import Path
from time import monotonic

from filelock import FileLock, Timeout

from pool_core.errors import RunLockedError
from pool_core.store.files import write_file

__all__ = ["RunLock", "find_owner"]

#: Seconds that a lock is tried for, and for which one that is only shared is tried again: who looks whether it is
#: taken holds it for a moment, on a machine that may stand still meanwhile.
_PATIENCE = 0.2
_MOST_PATIENCE = 10.0


class RunLock:
    """The lock of a run directory. It ends with the process, however that ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._owner = folder / "owner.json"
        self._lock = FileLock(folder / "lock", timeout=_PATIENCE, mode=0o600, thread_local=False)
        #: Of the lock's file, where it is shared.
        self._shared: int | None = None

    def acquire(self) -> None:
        """Take the lock. Raises `RunLockedError`, which says who holds it."""
        until = monotonic() + _MOST_PATIENCE
        while not self._lock.is_locked:
            try:
                self._lock.acquire(poll_interval=_PATIENCE / 10)
            except Timeout as error:
                if monotonic() < until and self._is_only_shared():
                    continue
                owner = _describe_owner(self._owner)
                raise RunLockedError(
                    f"another process works on this run{f': {owner}' if owner else ''}",
                    where=str(self._folder),
                    hint="wait until it ends, stop it, or give this run another directory: --run-dir DIR",
                ) from error
        write_file(self._owner, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())

    def share(self) -> bool:
        """Keep others from taking the lock, in a directory that need not be writable.

        Returns:
            False where another process has taken it.
        """
        try:
            descriptor = os.open(self._folder / "lock", os.O_RDONLY)
        except FileNotFoundError:
            return True  # nobody ever worked here, or only a copy is left
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._shared = descriptor
        return True

    def _is_only_shared(self) -> bool:
        """Whether those who hold the lock only look."""
        looking = RunLock(self._folder)
        try:
            return looking.share()
        finally:
            looking.release()

    @property
    def is_owner(self) -> bool:
        """Whether it was acquired, not only shared."""
        return self._lock.is_locked

    def release(self) -> None:
        """Give the lock back. May be called twice."""
        if self._shared is not None:
            os.close(self._shared)
            self._shared = None
        if self._lock.is_locked:
            self._owner.unlink(missing_ok=True)
            self._lock.release()


def find_owner(folder: Path) -> str | None:
    """The process that works on the run in ``folder``, as text; None where there is none."""
    owner = folder / "owner.json"
    if not owner.exists():  # it is there while the lock is taken, and after a process was killed
        return None
    lock = RunLock(folder)
    try:
        return None if lock.share() else _describe_owner(owner) or "another process"
    finally:
        lock.release()


def _describe_owner(path: Path) -> str:
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
        return f"process {owner['pid']} on {owner['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
