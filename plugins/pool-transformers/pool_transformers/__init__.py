"""Hugging Face transformers as a backend. The libraries are imported when a run opens it."""

from __future__ import annotations

from collections.abc import Iterator

from pool_core.api import Contribution, hookimpl


@hookimpl
def pool_backends() -> Iterator[Contribution]:
    yield Contribution(
        "transformers",
        "pool_transformers.backend:Transformers",
        "A model of Hugging Face transformers, in batches.",
        needs=("torch", "transformers"),
        install="pool-transformers[torch]",
    )
