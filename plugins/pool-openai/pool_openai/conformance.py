"""The conformance classes of the backends, which ``python -m pool_core.testing openai`` runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pool_core.interfaces.values import Cause, Prompt
from pool_core.testing import BackendConformance, Failure, Supports
from pool_core.testing.batches import BatchApi
from pool_core.testing.replies import Reply, make_chat_body, make_error_body
from pool_core.testing.server import ScriptedServer

__all__ = ["TestOpenAI", "TestOpenAIBatch"]

_FAILING = "Fail."


class TestOpenAI(BackendConformance):
    """Asks a scripted server, with a key."""

    use = "openai/openai"
    supports = Supports(http=True, key=True, seed=True, stop=True, schema=True, usage=True, batches=False)

    def make_address(self, base_url: str) -> dict[str, Any]:
        return {"model": "m", "base_url": base_url, "api_key": f"env:{self.key_variable}"}


def _answer(body: Any) -> dict[str, Any] | Reply:
    """What the server of batches answers: an echo that heeds stop strings and schemas, or a failure."""
    asked = str(body["messages"][-1]["content"])
    if asked == _FAILING:
        return Reply(500, make_error_body("It failed."))
    if "response_format" in body:
        return make_chat_body('{"colour": "blue"}')
    text = f"echo: {asked}"
    for word in [body["stop"]] if isinstance(body.get("stop"), str) else body.get("stop") or ():
        text = text.partition(word)[0]
    return make_chat_body(text)


class TestOpenAIBatch(BackendConformance):
    """Makes batches at a server of its own: no request has a reply of its own, as the checks of ``http`` expect."""

    use = "openai/openai-batch"
    supports = Supports(http=False, key=False, seed=True, stop=True, schema=True, usage=True, batches=False)
    slow = {"poll": 60.0}  # noqa: RUF012 - read only
    failures = (Failure({}, Cause.SERVER, Prompt.chat(_FAILING)),)

    @pytest.fixture(autouse=True)
    def _server(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        with ScriptedServer(BatchApi(answer=_answer)) as server:
            config = {"model": "m", "base_url": server.url, "idle": 0.05, "poll": 0.02}
            monkeypatch.setattr(type(self), "config", config)
            yield
