"""The task passes the kit."""

from __future__ import annotations

from pool_standard.conformance.structured import TestStructuredGeneration

__all__ = ["TestStructuredGeneration"]
