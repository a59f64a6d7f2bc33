"""What all tests of the repository share: how examples of properties are chosen, and that no check is slow.

Examples have no time limit of their own: a deadline would measure the machine, not the code. In tox they are the same
each time, so that the gate fails for what was changed. By hand they are others each time, and what fails is kept.

Nor is a policy or a hook found slow because the machine is: a warning would stand among the findings that are compared.
"""

import os

from hypothesis import HealthCheck, settings

from pool_core.plan import judge
from pool_core.registry import registry

untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
if "TOX_ENV_NAME" in os.environ:
    settings.register_profile("pool", untimed, derandomize=True, database=None)
else:
    settings.register_profile("pool", untimed)
settings.load_profile("pool")

judge.perf_counter = registry.perf_counter = lambda: 0.0
