"""llama.cpp as a backend. The library is imported when a run opens it."""

from __future__ import annotations

from collections.abc import Iterator

from pool_core.api import Contribution, hookimpl


@hookimpl
def pool_backends() -> Iterator[Contribution]:
    yield Contribution(
        "llamacpp",
        "pool_llamacpp.backend:LlamaCpp",
        "A GGUF file in llama.cpp; a schema or grammar constrains what it writes.",
        needs=("llama_cpp",),
        install="pool-llamacpp[engine]",
    )
