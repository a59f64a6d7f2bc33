"""Backend for the providers that LiteLLM knows."""

from __future__ import annotations

from collections.abc import Iterator

from pool_core.api import Contribution, hookimpl


@hookimpl
def pool_backends() -> Iterator[Contribution]:
    yield Contribution("litellm", "pool_litellm.backend:LiteLLM", "A hundred providers, through LiteLLM.")
