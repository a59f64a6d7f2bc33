"""The checks of a backend: what it is before it is open, what it answers, how it fails, and where its key goes."""

from __future__ import annotations

from pool_core.testing.conformance.backend_answers import AnswerChecks
from pool_core.testing.conformance.backend_calls import CallChecks
from pool_core.testing.conformance.backend_failures import FailureChecks
from pool_core.testing.conformance.backend_keys import KeyChecks
from pool_core.testing.conformance.backend_made import MadeChecks

__all__ = ["BackendConformance"]


class BackendConformance(MadeChecks, AnswerChecks, CallChecks, FailureChecks, KeyChecks):
    """A backend that is what `Backend` promises.

    ::

        class TestMine(BackendConformance):
            use = "mine/mine"
            supports = Supports(http=True, key=True, seed=True, stop=True, schema=True, usage=True, batches=False)

            def make_address(self, base_url):
                return {"model": "m", "base_url": base_url, "api_key": f"env:{self.key_variable}"}

    One that works in the process has ``http=False`` and gives ``config``, ``prompts`` that it answers,
    ``failures``, and in ``slow`` a configuration with which it takes longer than a second.
    """
