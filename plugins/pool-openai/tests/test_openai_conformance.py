"""The backend passes the kit, as chat and as text completions."""

from __future__ import annotations

from pool_openai.conformance import TestOpenAI

from pool_core.testing import BackendConformance, Supports

__all__ = ["TestOpenAI"]


class TestOpenAICompletions(BackendConformance):
    use = "openai/openai"
    supports = Supports(http=True, key=True, seed=True, stop=True, schema=False, usage=True, batches=False)
    inapplicable = dict.fromkeys(("null-content", "refusal", "tool-call"), "a text completion has no message")

    def make_address(self, base_url):
        return {"model": "m", "api": "completions", "base_url": base_url, "api_key": f"env:{self.key_variable}"}
