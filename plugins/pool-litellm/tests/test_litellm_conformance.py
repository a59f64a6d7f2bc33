"""The backend passes the kit, with a stand-in for LiteLLM that answers in the process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pool_core.interfaces.values import Cause, Prompt
from pool_core.registry.discovery import discover_records
from pool_core.testing import BackendConformance, Failure, Supports

pytestmark = pytest.mark.skipif(
    not any(record.name == "litellm" for record in discover_records()), reason="not installed: litellm"
)

STUB = Path(__file__).parent / "stub"


@pytest.fixture(autouse=True)
def _stub_of_litellm(monkeypatch):
    """``import litellm`` finds the stand-in, here and in processes that are started from here."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "litellm"]:
        monkeypatch.delitem(sys.modules, name)  # where LiteLLM itself is there as well
    monkeypatch.syspath_prepend(str(STUB))
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # which the backend sets, and others should not see
    yield
    sys.modules.pop("litellm", None)


class TestLiteLLM(BackendConformance):
    use = "litellm/litellm"
    supports = Supports(http=False, key=False, seed=True, stop=True, schema=True, usage=True, batches=False)
    config = {"model": "stub/m", "json_schema": True}  # noqa: RUF012 - declared as one of the class
    slow = {"extra": {"stub_seconds": 60.0}}  # noqa: RUF012 - as above
    failures = (
        Failure({}, Cause.SERVER, Prompt.chat("fails")),
        Failure({}, Cause.OVERLOADED, Prompt.chat("full")),
        Failure({}, Cause.AUTH, Prompt.chat("locked")),
        Failure({}, Cause.BAD_REQUEST, Prompt.chat("gone"), stops_member=True),
        Failure({}, Cause.RATE_LIMIT, Prompt.chat("too many")),
        Failure({}, Cause.CONTEXT_LENGTH, Prompt.chat("too long")),
    )


class TestLiteLLMWithoutSchema(TestLiteLLM):
    """As it is by default: a schema stands in the prompt."""

    supports = Supports(http=False, key=False, seed=True, stop=True, schema=False, usage=True, batches=False)
    config = {"model": "stub/m"}  # noqa: RUF012 - declared as one of the class
