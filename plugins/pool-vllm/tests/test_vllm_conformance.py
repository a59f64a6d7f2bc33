"""The backend passes the kit, in a process of its own, with a stand-in for vLLM's engine."""

from __future__ import annotations

import pytest

from pool_core.interfaces.values import Cause, Prompt
from pool_core.registry.discovery import discover_records
from pool_core.testing import BackendConformance, Failure, Supports

pytestmark = pytest.mark.skipif(
    not any(record.name == "vllm" for record in discover_records()), reason="not installed: vllm"
)


class TestVllm(BackendConformance):
    use = "vllm/vllm"
    supports = Supports(http=False, key=False, seed=True, stop=True, schema=True, usage=True, batches=False)
    config = {"model": "m"}  # noqa: RUF012 - declared as one of the class
    sampling = {"seed": 11}  # noqa: RUF012 - as above
    slow = {"engine": {"stub_seconds": 60.0}}  # noqa: RUF012 - as above
    failures = (
        Failure({}, Cause.SERVER, Prompt.chat("fails")),
        Failure({}, Cause.SERVER, Prompt.chat("dead"), stops_member=True),
        Failure({}, Cause.OVERLOADED, Prompt.chat("full")),
        Failure({}, Cause.BAD_REQUEST, Prompt.chat("wrong")),
        Failure({}, Cause.CONTEXT_LENGTH, Prompt.chat("x" * 500)),
    )
