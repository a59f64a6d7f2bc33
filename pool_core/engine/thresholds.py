"""`stop_when`: how many failed cells are too many."""

from __future__ import annotations

from pool_core.interfaces.values import Cause
from pool_core.recipe.models import StopWhen

__all__ = ["FailureCount"]


class FailureCount:
    """Counts the cells that end, and says when their failures reach a threshold."""

    def __init__(self, stop_when: StopWhen) -> None:
        self._stop_when = stop_when
        self._finished = 0
        self._failed = 0

    def note(self, cause: Cause | None) -> str:
        """Note a cell that has ended, with its cause if it failed. Returns why to stop; empty to go on."""
        limit = self._stop_when
        self._finished += 1
        if cause is None or (limit.causes and cause not in limit.causes):
            return ""
        self._failed += 1
        counted = f"cells failed ({', '.join(limit.causes)})" if limit.causes else "cells failed"
        if limit.failed is not None and self._failed >= limit.failed:
            return f"{self._failed:,} {counted}: `stop_when: {{failed: {limit.failed}}}`"
        if limit.share is not None and self._finished >= limit.least and self._failed >= limit.share * self._finished:
            return f"{self._failed:,} of {self._finished:,} {counted}: `stop_when: {{share: {limit.share:g}}}`"
        return ""
