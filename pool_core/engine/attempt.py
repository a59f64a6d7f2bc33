"""One attempt: a request goes to the backend, and whatever comes of it keeps the contract."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pool_core.engine.quota import Place
from pool_core.errors import BackendError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.values import Answer, Cause, Request

__all__ = ["Hedged", "send", "send_hedged"]


async def send(backend: Backend[Any], name: str, request: Request) -> Answer:
    """Send ``request`` once, within its timeout.

    Args:
        name: what messages call the backend.

    Raises:
        BackendError: no answer; whatever the backend raised has become one that can be acted on.
    """
    try:
        async with asyncio.timeout(request.timeout):
            answer = await backend.generate(request)
    except BackendError as error:
        _check_error(error, name)
        raise
    except KeyboardInterrupt:
        raise
    except TimeoutError as error:
        text = str(error) or f"no answer within {request.timeout:g} s"
        raise BackendError(Cause.TIMEOUT, text, maybe_billed=not str(error)) from error
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError) and _is_cancelled():
            raise
        raise BackendError(Cause.PLUGIN, f"the backend {name} broke: {type(error).__name__}: {error}") from error
    if not isinstance(answer, Answer):
        raise BackendError(Cause.PLUGIN, f"the backend {name} returned {type(answer).__name__} instead of Answer")
    return answer


@dataclass(slots=True)
class Hedged:
    """What came of a request that may have been sent twice."""

    result: Answer | BackendError
    #: The place of the second request, None where none was sent.
    place: Place | None = None
    #: Requests that were cancelled, which the server may bill.
    cancelled: int = 0
    #: Further answers to the request, each with its seconds.
    spare: list[tuple[Answer, float]] = field(default_factory=list)


async def send_hedged(
    backend: Backend[Any],
    name: str,
    request: Request,
    threshold: float | None,
    take_place: Callable[[], Place | None],
) -> Hedged:
    """Send ``request``; where it is slow, send it a second time. The first answer counts.

    Args:
        threshold: seconds after which it is slow; None for never.
        take_place: gives a place for the second request, if it may be sent.
    """
    loop = asyncio.get_running_loop()
    first = asyncio.ensure_future(send(backend, name, request))
    calls = {first: loop.time()}
    place: Place | None = None
    pending: set[asyncio.Task[Answer]] = {first}
    try:
        if threshold is not None:
            _, pending = await asyncio.wait(pending, timeout=threshold)
            if pending and (place := take_place()) is not None:
                second = asyncio.ensure_future(send(backend, name, request))
                calls[second] = loop.time()
                pending.add(second)
        ended: list[asyncio.Task[Answer]] = [] if pending else [first]
        while pending and not any(call.exception() is None for call in ended):
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            ended += done
    finally:
        for call in pending:
            call.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
    answers = [call for call in ended if call.exception() is None]
    spare = [(call.result(), loop.time() - calls[call]) for call in answers[1:]]
    if answers:
        return Hedged(answers[0].result(), place, len(pending), spare)
    error = ended[-1].exception()
    if not isinstance(error, BackendError):
        assert error is not None
        raise error
    return Hedged(error, place)


def _check_error(error: BackendError, name: str) -> None:
    """Raise another `BackendError` in the place of one that cannot be acted on."""
    if not isinstance(error.cause, Cause):
        raise BackendError(
            Cause.PLUGIN, f"the backend {name} failed with {error.cause!r}, which is no cause: {error}"
        ) from error
    if not isinstance(error.retry_after, int | float | None):
        raise BackendError(
            Cause.PLUGIN, f"the backend {name} asked to wait {error.retry_after!r}, not seconds: {error}"
        ) from error


def _is_cancelled() -> bool:
    """Whether the running task was asked to end; a backend may raise `CancelledError` of its own accord."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
