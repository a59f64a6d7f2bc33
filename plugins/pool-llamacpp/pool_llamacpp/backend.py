"""The backend ``llamacpp``: one request after the other, each in the thread that computes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel

from pool_core.errors import BackendError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.local_model import make_turns, refuse_unknown
from pool_core.interfaces.values import Answer, Capabilities, Cause, Prompt, Request
from pool_llamacpp.config import LlamaCppConfig

__all__ = ["PARAMETERS", "Engine", "LlamaCpp"]

#: Sampling parameters that are honoured, and what llama-cpp-python calls them.
PARAMETERS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "typical_p": "typical_p",
    "max_tokens": "max_tokens",
    "stop": "stop",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "repeat_penalty": "repeat_penalty",
}


class Engine(Protocol):
    """A model that is loaded."""

    def answer(self, prompt: Prompt, options: Mapping[str, Any]) -> Answer:
        """Answer a prompt. Blocks. Raises `BackendError`."""

    def stop(self) -> None:
        """Let `answer` end soon. May be called by another thread."""

    def close(self) -> None:
        """Free the memory, when nothing is answered any more."""


class LlamaCpp(Backend[LlamaCppConfig]):
    """A GGUF file in llama.cpp, loaded when a run begins.

    A prompt's schema, or the configured grammar, constrains what the model can write. Requests are answered one
    after the other: several at a time are what a server of llama.cpp is for.
    """

    Config: ClassVar[type[BaseModel]] = LlamaCppConfig
    isolated = True

    def __init__(self, config: LlamaCppConfig) -> None:
        super().__init__(config)
        #: Loads the model; tests give another one.
        self.load: Callable[[LlamaCppConfig], Engine] = _load
        self._engine: Engine | None = None
        #: The one thread that computes.
        self._thread: ThreadPoolExecutor | None = None

    @classmethod
    def capabilities(cls, config: LlamaCppConfig, inner: Mapping[str, Capabilities]) -> Capabilities:
        return Capabilities(takes=config.takes, seed=True, stop=True, schema=True)

    @property
    def model(self) -> str:
        return self.config.name or self.config.path.name

    @property
    def endpoint(self) -> str:
        return f"llamacpp:{self.config.path.absolute()}"

    @property
    def identity(self) -> str:
        """The file, by name and size: two folders may hold one model. Where it is missing, by name alone."""
        path = self.config.path
        size = path.stat().st_size if path.is_file() else "missing"
        return f"llamacpp:{path.name}#{size}#{self.config.context}"

    def encode(self, prompt: Prompt, sampling: Mapping[str, Any]) -> bytes:
        refuse_unknown(sampling, PARAMETERS, "llama.cpp")
        make_turns(prompt.messages)  # what it cannot take is told before anything is sent
        grammar = {} if prompt.schema is not None or self.config.grammar is None else {"grammar": self.config.grammar}
        return super().encode(prompt, {"max_tokens": self.config.max_tokens, **grammar, **sampling})

    async def open(self) -> None:
        self._thread = ThreadPoolExecutor(1, "llamacpp")
        self._engine = await self._compute(partial(self.load, self.config))

    async def generate(self, request: Request) -> Answer:
        engine = self._engine
        if engine is None:
            raise BackendError(Cause.CANCELLED, "the model is not loaded")
        named = {PARAMETERS[name]: value for name, value in request.sampling.items() if name in PARAMETERS}
        options = {"max_tokens": self.config.max_tokens, **named}
        answer: Answer = await self._compute(partial(engine.answer, request.prompt, options))
        return answer

    async def aclose(self) -> None:
        engine, self._engine = self._engine, None
        thread, self._thread = self._thread, None
        if engine is not None:
            engine.stop()
        if thread is not None:
            await asyncio.to_thread(thread.shutdown, cancel_futures=True)
        if engine is not None:
            engine.close()

    async def _compute(self, call: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


def _load(config: LlamaCppConfig) -> Engine:
    """Import the library and load the model."""
    from pool_llamacpp.engine import LlamaEngine  # noqa: PLC0415 - heavy

    return LlamaEngine.load(config)
