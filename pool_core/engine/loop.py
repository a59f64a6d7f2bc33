"""The event loop of a run."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["run_in_loop"]

T = TypeVar("T")


def run_in_loop(job: Coroutine[Any, Any, T]) -> T:
    """Run ``job`` to its end as `asyncio.run` does, in uvloop's event loop where that is installed.

    A reply that comes from another thread wakes asyncio's own loop by a system call of its own, and uvloop's not.
    """
    try:
        from uvloop import new_event_loop  # noqa: PLC0415 - not on every machine, nor on every platform
    except ImportError:
        return asyncio.run(job)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(job)
