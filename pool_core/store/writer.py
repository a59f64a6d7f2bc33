"""The one thread that writes: outcomes are gathered into groups and each group is committed with fsync."""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import TypeAlias

from pool_core.errors import StoreError
from pool_core.store.faults import suggest_cure
from pool_core.store.records import CellRecord, NewAnswer
from pool_core.store.sealing import insert, seal

__all__ = ["Writer"]

#: A group is committed when it has this many records ...
GROUP_SIZE = 16
#: ... or is this old, in seconds. Under load, what has queued up meanwhile joins the group.
GROUP_SECONDS = 0.02
LARGEST_GROUP = 2000

Item: TypeAlias = tuple[CellRecord | None, NewAnswer | None]


class Writer:
    """Commits outcomes in groups. `submit` never blocks; what it took is durable after the next commit."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], where: str) -> None:
        self._connect = connect
        self._where = where
        #: What waits for the thread, and how much it must be for the thread to be woken: who submits must not
        #: pay for a change of threads with each record.
        self._queue: deque[Item] = deque()
        self._wanted: float = inf
        self._wake = threading.Event()
        self._closing = False
        self._error: BaseException | None = None
        self._submitted = 0
        self._finished = 0
        self._on_commit: Callable[[], None] | None = None
        self._thread = threading.Thread(target=self._run, name="pool-writer", daemon=True)
        self._started = False

    def start(self, on_commit: Callable[[], None] | None = None) -> None:
        """Start the thread. ``on_commit`` is called from it after each commit, and when it fails."""
        self._on_commit = on_commit
        self._started = True
        self._thread.start()

    @property
    def pending(self) -> int:
        """Records that were submitted and are not durable yet."""
        return self._submitted - self._finished

    @property
    def taken(self) -> int:
        """Records that were submitted."""
        return self._submitted

    @property
    def failed(self) -> bool:
        """Whether the thread has stopped on an error."""
        return self._error is not None

    def submit(self, cell: CellRecord, answer: NewAnswer | None = None) -> None:
        """Hand an outcome over, with the answer that was paid for it, if any. Raises `StoreError`."""
        self._put((cell, answer))

    def submit_answer(self, answer: NewAnswer) -> None:
        """Hand an answer over that was paid for and ends no cell. Raises `StoreError`."""
        self._put((None, answer))

    def _put(self, item: Item) -> None:
        self.check()
        self._submitted += 1
        self._queue.append(item)
        if len(self._queue) >= self._wanted:
            self._wanted = inf
            self._wake.set()

    def check(self) -> None:
        """Raise `StoreError` if a commit has failed."""
        if self._error is not None:
            raise StoreError(
                f"the run cannot be written: {self._error}; {self.pending} outcomes are unsaved",
                where=self._where,
                hint=suggest_cure(self._error, self._where),
            ) from self._error

    def close(self) -> None:
        """Commit what is left and stop the thread. Raises `StoreError` if anything could not be written."""
        if self._started:
            self._started = False
            self._closing = True
            self._wake.set()
            self._thread.join()
        self.check()

    def _run(self) -> None:
        try:
            connection = self._connect()
            try:
                self._commit_groups(connection)
            finally:
                connection.close()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that submits
            self._error = error
            if self._on_commit is not None:
                self._on_commit()

    def _commit_groups(self, connection: sqlite3.Connection) -> None:
        # keys that damage has made too large or too small do not count
        last = "SELECT coalesce(max(key), 0) FROM answers WHERE key BETWEEN 1 AND 1 << 62"
        next_answer: int = connection.execute(last).fetchone()[0] + 1
        while group := self._gather():
            answers, cells = [], []
            for cell, answer in group:
                key = None if cell is None else cell.answer
                if answer is not None:
                    key = next_answer
                    answers.append(seal("answers", (key, *answer)))
                    next_answer += 1
                if cell is not None:
                    cells.append(seal("cells", (*cell[:3], key, *cell[4:])))
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                insert(connection, "answers", answers)
                insert(connection, "cells", cells)
            self._finished += len(group)
            if self._on_commit is not None:
                self._on_commit()

    def _gather(self) -> list[Item]:
        """The next group; empty at the end."""
        self._wait(1, inf)
        self._wait(GROUP_SIZE, monotonic() + GROUP_SECONDS)
        return [self._queue.popleft() for _ in range(min(len(self._queue), LARGEST_GROUP))]

    def _wait(self, wanted: int, until: float) -> None:
        """Wait until so many records are there, nothing more can come, or the time is over."""
        while not self._closing:
            self._wake.clear()
            self._wanted = wanted  # before the look at what is there: what comes after it wakes
            left = until - monotonic()
            if len(self._queue) >= wanted or self._closing or left <= 0:
                return
            self._wake.wait(None if left == inf else left)
