"""Whether a member is worth asking further: was its server ever reached, does it ever answer?"""

from __future__ import annotations

from pool_core.engine.retry import TROUBLES
from pool_core.errors import BackendError
from pool_core.interfaces.values import Cause
from pool_core.recipe.models import Limits

__all__ = ["Health"]

#: Failed connections of one cell, or failed probes, after which a server that never said anything is not there.
UNREACHED_ATTEMPTS = 4
UNREACHED_PROBES = 3
#: Unreadable replies to one cell after which a server that never answered is no model's.
UNREADABLE_ATTEMPTS = 2
#: Refused requests in a row, from the first on, after which the recipe is wrong and not the rows.
REFUSED_REQUESTS = 20

#: Causes of failures in which the member's server may have had no part.
_WITHOUT_SERVER = frozenset({Cause.TRANSPORT, Cause.PLUGIN})


class Health:
    """Notes how the calls of a member end, and says when to stop it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        #: Whether the server was ever heard of, and whether it ever answered.
        self._reached = False
        self.answered = False
        self._refused = 0
        #: Since when calls fail without an answer between, on the loop's clock.
        self._failing_since: float | None = None

    def note_answer(self) -> None:
        """A call was answered."""
        self._reached = self.answered = True
        self._failing_since = None

    def note_failure(self, error: BackendError, failures: int, probes: int, now: float) -> str:
        """Note a call that failed. Returns why the member is to be stopped; empty to go on.

        Args:
            failures: failed calls of its cell so far, this one included.
            probes: failed probes since the breaker opened.
            now: seconds on the loop's clock.
        """
        silent = error.cause is Cause.TIMEOUT and not error.maybe_billed  # no connection came about
        self._reached = self._reached or (error.cause not in _WITHOUT_SERVER and not silent)
        if error.cause not in TROUBLES and error.cause is not Cause.RATE_LIMIT:
            self._failing_since = None
        elif self._failing_since is None:
            self._failing_since = now
        if not self._reached and (
            failures >= min(UNREACHED_ATTEMPTS, self._limits.attempts) or probes >= UNREACHED_PROBES
        ):
            return f"its server was never reached: {error}"
        if self.answered:
            return self._judge_stall(error, now)
        if error.cause is Cause.BAD_REPLY and (failures >= UNREADABLE_ATTEMPTS or probes):
            return f"its server never gave a readable reply: {error}"
        self._refused = self._refused + 1 if error.cause is Cause.BAD_REQUEST else 0
        if self._refused >= REFUSED_REQUESTS:
            return f"its first {REFUSED_REQUESTS} requests were all refused: {error}"
        return self._judge_stall(error, now)

    def _judge_stall(self, error: BackendError, now: float) -> str:
        most = self._limits.max_stall
        if self._failing_since is not None and now - self._failing_since >= most:
            return f"nothing was answered for {most:g} s (`limits: {{max_stall: {most:g}}}`); the last failure: {error}"
        return ""
