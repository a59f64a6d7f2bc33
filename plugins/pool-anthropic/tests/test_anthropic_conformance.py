"""The backend passes the kit."""

from __future__ import annotations

from pool_anthropic.conformance import TestAnthropic

__all__ = ["TestAnthropic"]
