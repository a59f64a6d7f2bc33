"""The conformance class of the backend, which ``python -m pool_core.testing openai`` runs."""

from __future__ import annotations

from typing import Any

from pool_core.testing import BackendConformance, Supports

__all__ = ["TestOpenAI"]


class TestOpenAI(BackendConformance):
    """Asks a scripted server, with a key."""

    use = "openai/openai"
    supports = Supports(http=True, key=True, seed=True, stop=True, schema=True, usage=True, batches=False)

    def make_address(self, base_url: str) -> dict[str, Any]:
        return {"model": "m", "base_url": base_url, "api_key": f"env:{self.key_variable}"}
