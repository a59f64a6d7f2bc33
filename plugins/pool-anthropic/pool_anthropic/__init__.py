"""Backend for Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import Iterator

from pool_core.api import Contribution, hookimpl


@hookimpl
def pool_backends() -> Iterator[Contribution]:
    yield Contribution("anthropic", "pool_anthropic.backend:Anthropic", "Anthropic's Messages API.")


@hookimpl
def pool_conformance() -> Iterator[str]:
    yield "pool_anthropic.conformance"
