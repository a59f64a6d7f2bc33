"""The backend ``transformers``: requests become batches, batches become calls of the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ClassVar

from pydantic import BaseModel

from pool_core.errors import BackendError
from pool_core.interfaces.batch_backend import BatchBackend
from pool_core.interfaces.local_model import make_turns, refuse_unknown
from pool_core.interfaces.values import Answer, Capabilities, Cause, Prompt, Request
from pool_transformers.config import TransformersConfig
from pool_transformers.rows import PARAMETERS, Engine, Job, NoRoomError

__all__ = ["Transformers"]


class Transformers(BatchBackend[TransformersConfig]):
    """A model of Hugging Face transformers, loaded when a run begins.

    Requests that come within `max_wait_ms` are answered together, up to `batch_size` of them. Where a batch does
    not fit the device's memory it is halved, and later ones begin with what fitted. Each request is sampled by a
    generator of its own, so its seed decides it and not its neighbours.
    """

    Config: ClassVar[type[BaseModel]] = TransformersConfig
    isolated = True

    def __init__(self, config: TransformersConfig) -> None:
        super().__init__(config)
        self.batch_size = config.batch_size
        self.max_wait = config.max_wait_ms / 1000
        #: Loads the model; tests give another one.
        self.load: Callable[[TransformersConfig], Engine] = _load
        self._engine: Engine | None = None
        #: The one thread that computes.
        self._thread: ThreadPoolExecutor | None = None

    @classmethod
    def capabilities(cls, config: TransformersConfig, inner: Mapping[str, Capabilities]) -> Capabilities:
        return Capabilities(takes=config.takes, seed=True, stop=True)

    @property
    def model(self) -> str:
        return self.config.known_as

    @property
    def endpoint(self) -> str:
        return f"transformers:{self.config.model}"

    @property
    def identity(self) -> str:
        """The model, its revision and the type of its weights. A folder's content is not looked at."""
        return f"{self.endpoint}@{self.config.revision or ''}#{self.config.dtype}"

    def encode(self, prompt: Prompt, sampling: Mapping[str, Any]) -> bytes:
        refuse_unknown(sampling, PARAMETERS, "transformers")
        make_turns(prompt.messages)  # what it cannot take is told before anything is sent
        return super().encode(prompt, {"max_tokens": self.config.max_tokens, **sampling})

    async def open(self) -> None:
        self._thread = ThreadPoolExecutor(1, "transformers")
        self._engine = await self._compute(partial(self.load, self.config))

    async def generate_batch(self, requests: Sequence[Request]) -> Mapping[int, Answer | BackendError]:
        jobs = [Job.make(request.prompt, request.sampling, self.config.max_tokens) for request in requests]
        results = await self._compute(partial(self._answer, jobs))
        return dict(zip((request.id for request in requests), results, strict=True))

    async def aclose(self) -> None:
        await super().aclose()
        engine, self._engine = self._engine, None
        thread, self._thread = self._thread, None
        if engine is not None:
            engine.stop()
        if thread is not None:
            await asyncio.to_thread(thread.shutdown, cancel_futures=True)

    async def _compute(self, call: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def _answer(self, jobs: Sequence[Job]) -> list[Answer | BackendError]:
        """Answer in pieces that fit the memory. Runs in the thread that computes."""
        engine = self._engine
        if engine is None:
            raise BackendError(Cause.CANCELLED, "the model is not loaded")
        results: list[Answer | BackendError] = []
        while len(results) < len(jobs):
            piece = jobs[len(results) : len(results) + self.batch_size]
            try:
                results += engine.generate(piece)
            except NoRoomError as error:
                if len(piece) > 1:
                    self.batch_size = len(piece) // 2
                else:
                    results.append(
                        BackendError(
                            Cause.CONTEXT_LENGTH,
                            f"the request alone does not fit the device's memory: {error}",
                            hint="shorten the prompt, lower max_tokens, or use a smaller dtype",
                        )
                    )
        return results


def _load(config: TransformersConfig) -> Engine:
    """Import the libraries and load the model. Takes seconds and gigabytes."""
    from pool_transformers.engine import TorchEngine  # noqa: PLC0415 - heavy

    return TorchEngine.load(config)
