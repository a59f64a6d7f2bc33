"""The interface of a backend: prompts become answers."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from pool_core.errors import BackendError
from pool_core.interfaces.encoding import encode_json
from pool_core.interfaces.values import Answer, Capabilities, Cause, Prompt, Request

__all__ = ["Backend", "BackendSpec", "BatchBackend"]

ConfigT = TypeVar("ConfigT", bound=BaseModel)


class BackendSpec(BaseModel):
    """A backend named inside another one's configuration: ``{use: name, ...its configuration}``.

    A backend that wraps others declares fields of this type. The plan resolves and validates each,
    and hands the built backends to `Backend.build` by field name.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    use: str


class Backend(ABC, Generic[ConfigT]):
    """Turns requests into answers: an HTTP endpoint, an engine in the process, a recording.

    The constructor must not contact, load or read anything slow: that is for `open`. The engine
    calls `open` once, then `generate` for many requests at a time from one event loop, then `aclose`.
    """

    Config: ClassVar[type[BaseModel]]

    #: Set by the engine before `open`, None outside of a run. A backend calls it with the seconds in which
    #: its quota takes no request, where a reply that succeeded says so: nothing is sent until they are over.
    #: A call that failed says the same by `BackendError.retry_after`.
    pause: Callable[[float], None] | None = None

    def __init__(self, config: ConfigT) -> None:
        self.config = config

    @classmethod
    def build(cls, config: ConfigT, inner: Mapping[str, Backend[Any]]) -> Self:
        """Make the backend. ``inner`` has the backends of the configuration's `BackendSpec` fields."""
        return cls(config)

    @classmethod
    def capabilities(cls, config: ConfigT, inner: Mapping[str, Capabilities]) -> Capabilities:
        """What a backend with this configuration can do. Pure: called when a recipe is checked."""
        return Capabilities()

    @property
    @abstractmethod
    def model(self) -> str:
        """Name of the model, as outputs show it."""

    @property
    @abstractmethod
    def endpoint(self) -> str:
        """What answers, such as ``POST https://host/v1/chat/completions``; without any secret."""

    @property
    def identity(self) -> str:
        """What beside the body decides the answer; part of every request's key, and never a secret.

        Two backends with one identity and one body share stored answers.
        """
        return self.endpoint

    @property
    def quota(self) -> str:
        """Identity of the real limit that calls count against; members with equal ones share it.

        An endpoint with the reference to its key, or a device. Never the key itself.
        """
        return self.endpoint

    def encode(self, prompt: Prompt, sampling: Mapping[str, Any]) -> bytes:
        """Write exactly what is to be sent. Pure and deterministic: it is hashed into the request's key.

        Raises:
            BackendError: the prompt or a parameter cannot be sent; the cell fails with its cause.
        """
        value = {
            "model": self.model,
            "messages": [{"role": m.role, "content": m.content} for m in prompt.messages],
            "text": prompt.text,
            "schema": prompt.schema,
            **sampling,
        }
        return encode_json({name: v for name, v in value.items() if v not in (None, [])})

    def describe_headers(self) -> Mapping[str, str]:
        """What is sent beside the body, for people to look at. Secrets are redacted."""
        return {}

    async def open(self) -> None:
        """Get ready: load the model, open the client, read the key.

        Raises:
            BackendError: not possible; the member is stopped with this message, others go on.
        """

    async def refresh(self) -> bool:
        """Read the key's source again. Returns whether it now holds another key.

        The engine calls it when a server that has answered refuses the key, and asks again if this
        returns True: a key may be rotated while a run works. Without a key, or where a key cannot
        change, there is nothing to do.

        Raises:
            BackendError: the key is no longer there; the member is stopped with this message.
        """
        return False

    @abstractmethod
    async def generate(self, request: Request) -> Answer:
        """Answer one request. May be cancelled at any await. Must not retry: the engine does.

        Raises:
            BackendError: no answer; its cause decides what happens next.
        """

    async def aclose(self) -> None:
        """Release everything. May be called twice, and without `open`."""


class BatchBackend(Backend[ConfigT]):
    """A backend that answers several requests at a time.

    Collects up to `batch_size` requests, or those of `max_wait` seconds, and joins results to
    requests by id: a missing result fails its own request and shifts no other.
    """

    #: Most requests per batch.
    batch_size: int = 8
    #: Longest that the first request of a batch waits for others, in seconds.
    max_wait: float = 0.01

    def __init__(self, config: ConfigT) -> None:
        super().__init__(config)
        self._waiting: dict[int, tuple[Request, asyncio.Future[Answer]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._batches: set[asyncio.Task[None]] = set()

    @abstractmethod
    async def generate_batch(self, requests: Sequence[Request]) -> Mapping[int, Answer | BackendError]:
        """Answer ``requests``. Returns one result per request, by `Request.id`.

        Raises:
            BackendError: the whole batch failed.
        """

    async def generate(self, request: Request) -> Answer:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting[request.id] = (request, future)
        if len(self._waiting) >= self.batch_size:
            self._start_batch()
        elif self._timer is None:
            self._timer = loop.call_later(self.max_wait, self._start_batch)
        try:
            return await future
        finally:
            self._waiting.pop(request.id, None)

    def _start_batch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, self._waiting = self._waiting, {}
        if batch:
            task = asyncio.ensure_future(self._run_batch(batch))
            self._batches.add(task)
            task.add_done_callback(self._batches.discard)

    async def aclose(self) -> None:
        """Stop what is under way. A backend that has more to release does so after ``await super().aclose()``."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, {}
        _end_waiting(waiting.values())
        batches = list(self._batches)
        for batch in batches:
            batch.cancel()
        await asyncio.gather(*batches, return_exceptions=True)

    async def _run_batch(self, batch: dict[int, tuple[Request, asyncio.Future[Answer]]]) -> None:
        results: object
        try:
            results = await self.generate_batch([request for request, _ in batch.values()])
        except BackendError as error:
            results = dict.fromkeys(batch, error)
        except asyncio.CancelledError:
            _end_waiting(batch.values())
            raise
        except Exception as error:  # noqa: BLE001 - every request of the batch is told
            broken = BackendError(Cause.PLUGIN, f"the batch failed: {type(error).__name__}: {error}")
            results = dict.fromkeys(batch, broken)
        for id_, (_, future) in batch.items():
            if future.done():
                continue
            result = _find_result(results, id_)
            if isinstance(result, BackendError):
                future.set_exception(result)
            else:
                future.set_result(result)


def _find_result(results: object, id_: int) -> Answer | BackendError:
    """The result of one request in what `BatchBackend.generate_batch` returned, which may be anything."""
    if not isinstance(results, Mapping):
        return BackendError(Cause.PLUGIN, f"the batch returned {type(results).__name__} instead of results by id")
    result = results.get(id_)
    if result is None:
        return BackendError(Cause.PLUGIN, "the batch returned no result for this request")
    if not isinstance(result, Answer | BackendError):
        return BackendError(Cause.PLUGIN, f"the batch returned {type(result).__name__} instead of an answer")
    return result


def _end_waiting(waiting: Iterable[tuple[Request, asyncio.Future[Answer]]]) -> None:
    """Tell requests that no batch will answer: nothing may wait for ever."""
    for _, future in waiting:
        if not future.done():
            future.set_exception(BackendError(Cause.CANCELLED, "the batch was stopped before it ended"))
