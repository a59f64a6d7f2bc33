"""The backends pass the kit."""

from __future__ import annotations

from pool_replay.conformance import TestRecord, TestReplay, TestSimulate

__all__ = ["TestRecord", "TestReplay", "TestSimulate"]
