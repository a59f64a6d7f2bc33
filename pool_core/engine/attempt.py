"""One attempt: a request goes to the backend, and whatever comes of it keeps the contract."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from pool_core.engine.deadline import Deadline
from pool_core.errors import BackendError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.values import Answer, Cause, Request
from pool_core.watchdog import describe_error

__all__ = ["GRACE_SECONDS", "Second", "is_cancelled", "refresh", "send", "send_hedged"]


#: Seconds beyond the threshold: a call that takes as long as its like is not slow.
MOMENT = 0.001
#: A backend that keeps the limit itself knows better what to say of it, so it is given the time.
GRACE_SECONDS = 0.25


async def send(backend: Backend[Any], name: str, request: Request, deadline: Deadline) -> Answer:
    """Send ``request`` once, within its timeout.

    Args:
        name: what messages call the backend.
        deadline: that of all requests with this timeout, and `GRACE_SECONDS` more.

    Raises:
        BackendError: no answer; whatever the backend raised has become one that can be acted on.
    """
    try:
        with deadline.watch():
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
        if isinstance(error, asyncio.CancelledError) and is_cancelled():
            raise
        raise BackendError(Cause.PLUGIN, f"the backend {name} broke: {type(error).__name__}: {error}") from error
    if not isinstance(answer, Answer):
        raise BackendError(Cause.PLUGIN, f"the backend {name} returned {type(answer).__name__} instead of Answer")
    return answer


@dataclass(slots=True)
class Second:
    """A second request. Until it is sent it may be given up at no cost."""

    first: asyncio.Task[Any]
    sent: bool = False

    @property
    def needed(self) -> bool:
        """Whether the first request still has not ended; it may while this one waits for its place."""
        return not self.first.done()


async def send_hedged(
    first: Coroutine[Any, Any, Answer],
    second: Callable[[Second], Coroutine[Any, Any, Answer | None]],
    threshold: float,
    keep: Callable[[Answer], None],
) -> Answer:
    """Send a request, and where it is slow, a second time. The first answer counts; a loser is cancelled.

    A second request that waits to be sent is given up when the first one has ended: a failure is the
    retry loop's, and waiting on might be for a place that the first one still holds.

    Args:
        first: sends the request.
        second: sends it again; gives None where that may not be.
        threshold: seconds after which it is slow.
        keep: called with each answer beside the one that counts, and with all when this is cancelled.

    Raises:
        BackendError: neither brought an answer; the error is that of the last to end.
    """
    calls: list[asyncio.Task[Any]] = [asyncio.ensure_future(first)]
    last = calls[0]
    try:
        await asyncio.wait(calls, timeout=threshold + MOMENT)
        if not last.done():
            again = Second(last)
            calls.append(asyncio.ensure_future(second(again)))
            while not _is_decided(calls, again):
                ended, _ = await asyncio.wait([c for c in calls if not c.done()], return_when=asyncio.FIRST_COMPLETED)
                last = next((call for call in reversed(calls) if call in ended and call.exception()), last)
        answers = await _end(calls)
    except asyncio.CancelledError:
        for answer in await _end(calls):
            keep(answer)
        raise
    for answer in answers[1:]:
        keep(answer)
    return answers[0] if answers else last.result()


def _is_decided(calls: Sequence[asyncio.Task[Any]], again: Second) -> bool:
    """Whether an answer is here, or none can come any more."""
    first, second = calls
    if first.done():
        return first.exception() is None or second.done() or not again.sent
    return second.done() and second.exception() is None and second.result() is not None


async def _end(calls: Sequence[asyncio.Task[Any]]) -> list[Answer]:
    """Cancel what still runs, wait for its end, and return the answers that have come."""
    for call in calls:
        call.cancel()
    ends = await asyncio.gather(*calls, return_exceptions=True)
    return [end for end in ends if isinstance(end, Answer)]


async def refresh(backend: Backend[Any], seconds: float) -> bool:
    """Have ``backend`` read its key again. Returns whether it is another one. Raises `BackendError` alone."""
    try:
        async with asyncio.timeout(seconds):
            return bool(await backend.refresh())
    except (BackendError, KeyboardInterrupt):
        raise
    except TimeoutError as error:
        raise BackendError(Cause.TIMEOUT, str(error) or f"not within {seconds:g} s") from error
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError) and is_cancelled():
            raise
        raise BackendError(Cause.PLUGIN, describe_error(error)) from error


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


def is_cancelled() -> bool:
    """Whether the running task was asked to end; a backend may raise `CancelledError` of its own accord."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
