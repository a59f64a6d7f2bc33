"""The breaker of a member: when its server fails call after call, only probes are sent."""

from __future__ import annotations

import asyncio
from collections import deque
from random import Random

__all__ = ["Breaker"]

#: Failures in a row that open it while no call has ever been answered.
FIRST_FAILURES = 4
#: Afterwards it opens when, of this many calls in a row, at least so many have failed.
WINDOW = 20
MOST_FAILURES = 16
#: Seconds until the first probe, doubled by each probe that fails.
FIRST_SECONDS = 1.0
MOST_SECONDS = 30.0


class Breaker:
    """Closed, all calls pass. Open, none does; after a while one probe passes, and decides.

    The states are those of Nygard, "Release It!" (2007). Waits only on the running event loop.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        #: The last calls: whether each failed.
        self._recent: deque[bool] = deque(maxlen=WINDOW)
        self._failed = 0
        self._answered = False
        self._open = False
        self._probing = False
        #: Probes that have failed since it opened.
        self.failed_probes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def closed(self) -> bool:
        """Whether calls pass freely."""
        return not self._open

    async def wait(self) -> bool:
        """Wait until a call may be sent: at once where it is closed, else until a probe is due or one has helped.

        Returns:
            Whether the call is the probe; then how it ends must be told, with ``probe=True``.
        """
        while self._open:
            if self._timer is None and not self._probing:
                self._probing = True
                return True
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            try:
                await future
            except asyncio.CancelledError:
                if future.done() and not future.cancelled():
                    self._wake_one()
                raise
        return False

    def note_success(self) -> None:
        """A call was answered, whatever the answer says."""
        self._answered = True
        if self._open:
            self._open = self._probing = False
            self.failed_probes = 0
            self._recent.clear()
            self._failed = 0
            self.close()
        else:
            self._note(failed=False)

    def note_failure(self, *, probe: bool) -> None:
        """The server failed a call."""
        if self._open:
            if probe:
                self._probing = False
                self.failed_probes += 1
                self._set_timer()
            return
        self._note(failed=True)
        most = MOST_FAILURES if self._answered else FIRST_FAILURES
        if self._failed >= most:
            self._open = True
            self._set_timer()

    def note_neutral(self, *, probe: bool) -> None:
        """A call ended in a way that says nothing of the server's health; another probe may pass."""
        if self._open and probe:
            self._probing = False
            self._wake_one()

    def close(self) -> None:
        """Let everybody pass who waits, and set no timer any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            self._wake_one()

    def _note(self, *, failed: bool) -> None:
        if len(self._recent) == WINDOW:
            self._failed -= self._recent[0]
        self._recent.append(failed)
        self._failed += failed

    def _set_timer(self) -> None:
        bound = min(MOST_SECONDS, FIRST_SECONDS * 2.0 ** min(self.failed_probes, 16))
        seconds = bound * self._random.uniform(0.75, 1)  # members of one server do not probe in one moment
        self._timer = asyncio.get_running_loop().call_later(seconds, self._end_wait)

    def _end_wait(self) -> None:
        self._timer = None
        self._wake_one()

    def _wake_one(self) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                return
