"""vLLM as a backend. The library is imported when a run opens it."""

from __future__ import annotations

from collections.abc import Iterator

from pool_core.api import Contribution, hookimpl


@hookimpl
def pool_backends() -> Iterator[Contribution]:
    yield Contribution(
        "vllm",
        "pool_vllm.backend:Vllm",
        "A model in vLLM's engine, many requests at a time.",
        needs=("vllm",),
        install="pool-vllm[engine]",
    )
