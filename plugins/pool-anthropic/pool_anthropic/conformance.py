"""The conformance class of the backend, which ``python -m pool_core.testing anthropic`` runs."""

from __future__ import annotations

from typing import Any

from pool_core.testing import BackendConformance, Supports
from pool_core.testing.faults import FAULTS
from pool_core.testing.message_faults import MESSAGE_FAULTS
from pool_core.testing.messages import make_message_body
from pool_core.testing.replies import ReceivedRequest, Reply

__all__ = ["TestAnthropic"]

_FORM = "an answer of the Messages API has content blocks, and no choices or messages"
_WORDS = "the API tells it by a status and a type of its own, which are among its faults"
_WAITS = "the API writes waits in whole seconds, and what is left of a limit in headers of its own"
_REASONS = {
    **dict.fromkeys(("no-choices", "null-choices", "empty-choices", "more-choices", "double-choice"), _FORM),
    **dict.fromkeys(("null-content", "content-filter", "tool-call"), _FORM),
    **dict.fromkeys(("status-408", "status-422", "status-425"), "the API does not answer with it"),
    **dict.fromkeys(("too-long-text", "filtered-prompt", "no-model", "bad-option", "no-quota", "inner-limit"), _WORDS),
    **dict.fromkeys((name for name in FAULTS if name.startswith(("wait-", "used-up-"))), _WAITS),
}
_INAPPLICABLE = {name: reason for name, reason in _REASONS.items() if name not in MESSAGE_FAULTS}


class TestAnthropic(BackendConformance):
    """Asks a scripted server that speaks the Messages API, with a key."""

    use = "anthropic/anthropic"
    supports = Supports(http=True, key=True, seed=False, stop=True, schema=True, usage=True, batches=False)
    faults = MESSAGE_FAULTS
    inapplicable = _INAPPLICABLE

    def make_address(self, base_url: str) -> dict[str, Any]:
        return {"model": "m", "base_url": base_url.removesuffix("/v1"), "api_key": f"env:{self.key_variable}"}

    def make_reply(self, request: ReceivedRequest, text: str) -> Reply:
        return Reply(body=make_message_body(text))
