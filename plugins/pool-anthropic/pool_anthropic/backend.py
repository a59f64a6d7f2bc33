"""The backend ``anthropic``: Anthropic's Messages API, and servers that speak it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pool_anthropic.config import AnthropicConfig
from pool_anthropic.replies import STOP_REASONS, decode_reply
from pool_anthropic.requests import encode_request
from pool_anthropic.waits import REPLY_HEADERS, read_exhaustion
from pool_core.http.backend import HttpCallBackend, note_schema
from pool_core.http.failures import Failures
from pool_core.http.reply import HttpReply
from pool_core.interfaces.values import Answer, Capabilities, Offer, Prompt, Request

__all__ = ["Anthropic"]

_KNOWN_REASONS = frozenset(STOP_REASONS.values())


class Anthropic(HttpCallBackend[AnthropicConfig]):
    """Sends each request once, to the configured address only. Retries nothing and follows no redirect."""

    Config = AnthropicConfig
    agent = "pool-anthropic"
    reply_headers = REPLY_HEADERS

    @classmethod
    def capabilities(cls, config: AnthropicConfig, inner: Mapping[str, Capabilities]) -> Capabilities:
        offer = Offer(config.model, config.base_url)
        return Capabilities(takes="chat", seed=False, stop=True, schema=True, offer=offer)

    def encode(self, prompt: Prompt, sampling: Mapping[str, Any]) -> bytes:
        return encode_request(self.config, prompt, sampling)

    def decode(self, reply: HttpReply, request: Request, failures: Failures) -> Answer:
        answer = decode_reply(reply.body, reply.headers, failures)
        return note_schema(self, answer, request.prompt.schema)

    def read_wait(self, headers: Mapping[str, str]) -> float | None:
        return read_exhaustion(headers)

    def note_oddities(self, answer: Answer) -> None:
        reason = answer.finish_reason
        if reason is not None and reason not in _KNOWN_REASONS:
            shown = self._failures.clean(reason, 40)
            self.warn_once("reason", 'the stop_reason "%s" is not known; such answers are taken', shown)
