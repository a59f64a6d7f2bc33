"""The backend ``vllm``: each request is a call of vLLM's asynchronous engine, which makes the batches."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from pool_core.errors import BackendError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.encoding import encode_json
from pool_core.interfaces.local_model import make_turns, refuse_unknown
from pool_core.interfaces.values import Answer, Capabilities, Cause, Prompt, Request
from pool_vllm.config import VllmConfig

if TYPE_CHECKING:
    from pool_vllm.engine import VllmEngine

__all__ = ["PARAMETERS", "Vllm"]

#: Sampling parameters that are honoured; vLLM's names are the same.
PARAMETERS = frozenset(
    {
        "frequency_penalty",
        "max_tokens",
        "min_p",
        "min_tokens",
        "presence_penalty",
        "repetition_penalty",
        "seed",
        "stop",
        "temperature",
        "top_k",
        "top_p",
    }
)


class Vllm(Backend[VllmConfig]):
    """A model in vLLM's engine, loaded when a run begins. The engine batches continuously.

    A prompt's schema constrains what the model can write.
    """

    Config: ClassVar[type[BaseModel]] = VllmConfig
    isolated = True

    def __init__(self, config: VllmConfig) -> None:
        super().__init__(config)
        self._engine: VllmEngine | None = None

    @classmethod
    def capabilities(cls, config: VllmConfig, inner: Mapping[str, Capabilities]) -> Capabilities:
        return Capabilities(takes=config.takes, seed=True, stop=True, schema=True)

    @property
    def model(self) -> str:
        return self.config.known_as

    @property
    def endpoint(self) -> str:
        return f"vllm:{self.config.model}"

    @property
    def identity(self) -> str:
        """The model, its revision, the type of its weights, the engine's arguments. A folder's content is not seen."""
        engine = encode_json(dict(sorted(self.config.engine.items()))).decode()
        return f"{self.endpoint}@{self.config.revision or ''}#{self.config.dtype}#{engine}"

    def encode(self, prompt: Prompt, sampling: Mapping[str, Any]) -> bytes:
        refuse_unknown(sampling, PARAMETERS, "vllm")
        make_turns(prompt.messages)  # what it cannot take is told before anything is sent
        return super().encode(prompt, {"max_tokens": self.config.max_tokens, **sampling})

    async def open(self) -> None:
        from pool_vllm.engine import VllmEngine  # noqa: PLC0415 - heavy

        self._engine = VllmEngine.load(self.config)

    async def generate(self, request: Request) -> Answer:
        if self._engine is None:
            raise BackendError(Cause.CANCELLED, "the model is not loaded")
        sampling = {"max_tokens": self.config.max_tokens, **request.sampling}
        return await self._engine.answer(str(request.id), request.prompt, sampling)

    async def aclose(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            await asyncio.to_thread(engine.close)
