"""Templates and expressions over a row's columns, in a sandbox with limits on size and work."""

from __future__ import annotations

from pool_core.templates._template import Expression, Template

__all__ = ["Expression", "Template"]
