"""The interface of a backend that answers several requests at a time."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence

from pool_core.errors import BackendError
from pool_core.interfaces.backend import Backend, ConfigT
from pool_core.interfaces.values import Answer, Cause, Request

__all__ = ["BatchBackend"]


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
        if request.id in self._waiting:  # a hedge sends one request twice, and a batch has each id once
            self._start_batch()
        self._waiting[request.id] = waiting = (request, future)
        if len(self._waiting) >= self.batch_size:
            self._start_batch()
        elif self._timer is None:
            self._timer = loop.call_later(self.max_wait, self._start_batch)
        try:
            return await future
        finally:
            if self._waiting.get(request.id) is waiting:
                del self._waiting[request.id]

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
