"""A cell on its way through a lane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pool_core.interfaces.values import Prompt, Request, Row
from pool_core.store.records import KnownCell

if TYPE_CHECKING:
    from pool_core.engine.work import WorkList

__all__ = ["Cell"]


@dataclass(slots=True)
class Cell:
    """What is known of it, and what it has cost so far."""

    key: int
    row_id: str
    row: Row
    sample: int
    known: KnownCell | None
    #: Where its outcome is recorded, whichever lane runs it.
    home: WorkList
    #: The member's condition cannot be evaluated for the row.
    condition_failed: bool = False
    request: Request | None = None
    request_key: bytes = b""
    #: What is asked, before a prompt format has made it text.
    prompt: Prompt | None = None
    #: Number of the re-ask, 0 for the first request.
    ask: int = 0
    #: Requests that were sent, those to a fallback included.
    attempts: int = 0
    #: Failed calls that count against the member's attempts, and how many of them may have been billed.
    failures: int = 0
    billed: int = 0
    #: How often a server's rate limit has sent it back, and the seconds that it waited for that.
    waits: int = 0
    waited: float = 0.0
    #: Whether the key was read again for it.
    refreshed: bool = False
    #: When its first request was sent, on the loop's clock.
    started: float = 0.0

    def restart(self) -> None:
        """Forget what was asked, for the lane that takes the cell over."""
        self.request = self.prompt = None
        self.ask = self.failures = self.billed = self.waits = 0
        self.waited = 0.0
        self.refreshed = False
