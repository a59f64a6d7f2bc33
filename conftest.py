"""What all tests of the repository share: how examples of properties are chosen, and that no plugin's call is slow.

Examples have no time limit of their own: a deadline would measure the machine, not the code. In tox they are the same
each time, so that the gate fails for what was changed. By hand they are others each time, and what fails is kept.

Nor is a call of a plugin found slow because the machine is: it would stand among the notes and findings that are
compared. Tests of slow calls say what is slow.
"""

import math
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from pool_core.plan import judge
from pool_core.registry import registry
from pool_core.watchdog import watchdog

untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
if "TOX_ENV_NAME" in os.environ:
    settings.register_profile("pool", untimed, derandomize=True, database=None)
else:
    settings.register_profile("pool", untimed)
settings.load_profile("pool")


@pytest.fixture(autouse=True, scope="session")
def _no_slow_call() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watchdog, "SLOW_SECONDS", math.inf)
        for module in (judge, registry):
            patch.setattr(module, "perf_counter", lambda: 0.0)
        yield
