"""The backend ``openai``: chat or text completions of any server that speaks OpenAI's API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pool_core.http.backend import HttpCallBackend
from pool_core.http.failures import Failures
from pool_core.http.reply import HttpReply
from pool_core.interfaces.values import Answer, Capabilities, Offer, Prompt, Request
from pool_openai.config import OpenAIConfig
from pool_openai.finish_reasons import FINISH_REASONS
from pool_openai.heeding import note_ignored
from pool_openai.wire import decode_reply, encode_request

__all__ = ["OpenAI"]

_KNOWN_REASONS = frozenset(FINISH_REASONS.values())


class OpenAI(HttpCallBackend[OpenAIConfig]):
    """Sends each request once, to the configured address only. Retries nothing and follows no redirect."""

    Config = OpenAIConfig
    agent = "pool-openai"

    @classmethod
    def capabilities(cls, config: OpenAIConfig, inner: Mapping[str, Capabilities]) -> Capabilities:
        takes: Literal["chat", "text"] = "chat" if config.api == "chat" else "text"
        offer = Offer(config.model, config.base_url)
        return Capabilities(takes=takes, seed=True, stop=True, schema=config.constrains, offer=offer)

    def encode(self, prompt: Prompt, sampling: Mapping[str, Any]) -> bytes:
        return encode_request(self.config, prompt, sampling)

    def decode(self, reply: HttpReply, request: Request, failures: Failures) -> Answer:
        return note_ignored(self, decode_reply(reply.body, self.config.api, failures), request)

    def note_oddities(self, answer: Answer) -> None:
        reason, several = answer.finish_reason, (answer.extra or {}).get("choices")
        if reason is not None and reason not in _KNOWN_REASONS:
            shown = self._failures.clean(reason, 40)
            self.warn_once("reason", 'the finish_reason "%s" is not known; such answers are taken', shown)
        if several:
            self.warn_once("choices", "one choice was asked for and %d came; the first is taken", several)
