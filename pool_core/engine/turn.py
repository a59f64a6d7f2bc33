"""A turn of the event loop: what is done in it before others have theirs."""

from __future__ import annotations

import asyncio

__all__ = ["Turn"]


class Turn:
    """Says when so much was done in one turn of the event loop that it is time for the next.

    To yield after each piece of work instead would cost as much as a piece may, and delay what follows it.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._done = 0

    def is_over(self) -> bool:
        """Count a piece of work. Whether it is time to let others have their turn."""
        if not self._done:
            asyncio.get_running_loop().call_soon(self._begin)
        self._done += 1
        return self._done >= self._most

    def _begin(self) -> None:
        self._done = 0
