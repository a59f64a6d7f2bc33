"""Ends calls of plugins that run for ever or eat memory, in the thread that made them.

A watchdog is made for one thread and watches one call at a time. Knows nothing of the pool.
"""

from pool_core.watchdog.describing import describe_error
from pool_core.watchdog.watchdog import CALL_MEMORY, CALL_SECONDS, CallStoppedError, Watchdog

__all__ = ["CALL_MEMORY", "CALL_SECONDS", "CallStoppedError", "Watchdog", "describe_error"]
