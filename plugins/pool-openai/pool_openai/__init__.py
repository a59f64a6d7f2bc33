"""Backend for any server that speaks OpenAI's chat or text completions."""

from __future__ import annotations

from collections.abc import Iterator

from pool_core.api import Contribution, hookimpl


@hookimpl
def pool_backends() -> Iterator[Contribution]:
    yield Contribution("openai", "pool_openai.backend:OpenAI", "Any OpenAI-compatible server, chat or text.")


@hookimpl
def pool_conformance() -> Iterator[str]:
    yield "pool_openai.conformance"
