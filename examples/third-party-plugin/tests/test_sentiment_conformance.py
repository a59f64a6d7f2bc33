"""The plugin passes the kit."""

from __future__ import annotations

from pool_sentiment.conformance import TestOddNumber, TestSentiment

__all__ = ["TestOddNumber", "TestSentiment"]
