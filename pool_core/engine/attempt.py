"""One attempt: a request goes to the backend, and whatever comes of it keeps the contract."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from pool_core.errors import BackendError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.values import Answer, Cause, Request

__all__ = ["send", "send_hedged"]


#: A backend that keeps the limit itself knows better what to say of it, so it is given the time.
GRACE_SECONDS = 0.25


async def send(backend: Backend[Any], name: str, request: Request) -> Answer:
    """Send ``request`` once, within its timeout.

    Args:
        name: what messages call the backend.

    Raises:
        BackendError: no answer; whatever the backend raised has become one that can be acted on.
    """
    try:
        async with asyncio.timeout(request.timeout + GRACE_SECONDS):
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


async def send_hedged(
    first: Coroutine[Any, Any, Answer],
    second: Callable[[], Coroutine[Any, Any, Answer] | None],
    threshold: float | None,
) -> tuple[Answer, list[Answer]]:
    """Send a request, and where it is slow, a second time. The first answer counts; a loser is cancelled.

    Args:
        first: sends the request.
        second: sends it again, or None where that may not be.
        threshold: seconds after which it is slow; None for never.

    Returns:
        The answer, and any that came in the same moment.

    Raises:
        BackendError: neither brought an answer; the error is that of the last to end.
    """
    calls = {asyncio.ensure_future(first)}
    ended: list[asyncio.Task[Answer]] = []
    try:
        if threshold is not None:
            _, slow = await asyncio.wait(calls, timeout=threshold)
            if slow and (again := second()) is not None:
                calls.add(asyncio.ensure_future(again))
        while calls and not any(call.exception() is None for call in ended):
            done, calls = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            ended += done
    finally:
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    answers = [call.result() for call in ended if call.exception() is None]
    return (answers[0], answers[1:]) if answers else (ended[-1].result(), [])


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
