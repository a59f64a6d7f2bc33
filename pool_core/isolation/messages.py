"""What a backend's process and its owner say to each other.

MessagePack of typed structures: nothing is unpickled on either side, and a frame that is not one of these
is an error. Requests and answers travel inside as the JSON that the store writes as well, which knows all text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from pydantic import BaseModel

from pool_core.errors import BackendError, PluginError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.encoding import decode_json, encode_json
from pool_core.interfaces.values import Cause, Request
from pool_core.watchdog import describe_error

__all__ = [
    "Ask",
    "Beat",
    "Cancel",
    "Close",
    "Closed",
    "Durable",
    "Failure",
    "FromChild",
    "Load",
    "Loaded",
    "Pause",
    "Refresh",
    "Refreshed",
    "Reply",
    "SentBackend",
    "ToChild",
    "decode_request",
    "describe_backend",
    "encode_request",
    "make_failure",
]

#: Characters of an error's text that are worth sending.
_LONGEST_TEXT = 10_000


class _Message(msgspec.Struct, frozen=True, tag=True):
    """Base of all messages; the class's name says which it is."""


class SentBackend(msgspec.Struct, frozen=True):
    """A backend on its way: where its class is, its configuration as JSON, and the backends inside of it."""

    name: str
    module: str
    attribute: str
    config: bytes
    inner: dict[str, SentBackend]


class Failure(msgspec.Struct, frozen=True):
    """An exception as text. One that is no `BackendError` has no cause."""

    message: str
    cause: str = ""
    where: str = ""
    hint: str = ""
    retry_after: float | None = None
    stops_member: bool = False
    maybe_billed: bool = False


class Load(_Message, frozen=True):
    """Make the backend and open it."""

    backend: SentBackend
    #: Seconds between two signs of life.
    beat: float
    #: The run's folder for what must outlive a kill; empty outside of a run.
    folder: str = ""


class Ask(_Message, frozen=True):
    """Answer a request."""

    id: int
    request: bytes


class Cancel(_Message, frozen=True):
    """Give a request up. Its `Reply` still follows: that is how the owner knows that the process reacts."""

    id: int


class Refresh(_Message, frozen=True):
    """Read the key's source again."""

    id: int


class Durable(_Message, frozen=True):
    """All that was answered so far is durable."""


class Close(_Message, frozen=True):
    """Close the backend and end."""


class Beat(_Message, frozen=True):
    """A sign of life."""


class Loaded(_Message, frozen=True):
    """The backend is open, or why it is not."""

    failure: Failure | None = None


class Reply(_Message, frozen=True):
    """The answer to a request, or why there is none; neither where it was given up."""

    id: int
    answer: bytes = b""
    failure: Failure | None = None


class Refreshed(_Message, frozen=True):
    """Whether the key is another one now."""

    id: int
    changed: bool = False
    failure: Failure | None = None


class Pause(_Message, frozen=True):
    """The backend's quota takes no request for so many seconds."""

    seconds: float


class Closed(_Message, frozen=True):
    """The backend is closed, or why it is not; the process ends."""

    failure: Failure | None = None


ToChild = Load | Ask | Cancel | Refresh | Durable | Close
FromChild = Beat | Loaded | Reply | Refreshed | Pause | Closed


def describe_backend(
    name: str, factory: type[Backend[Any]], config: BaseModel, inner: Mapping[str, SentBackend]
) -> SentBackend:
    """What makes a backend again in another process.

    Raises:
        PluginError: its class cannot be imported there, or its configuration is another one after a way as JSON.
    """
    problem = ""
    if factory.__module__ == "__main__" or "<locals>" in factory.__qualname__:
        problem = f"its class {factory.__qualname__} cannot be imported there"
    sent = b""
    if not problem:
        try:
            sent = config.model_dump_json().encode()
            if type(config).model_validate_json(sent) != config:
                problem = "its configuration is not the same after it was written as JSON"
        except Exception as error:  # noqa: BLE001 - serializers and validators are the plugin's code
            problem = f"its configuration cannot be written as JSON and read again: {describe_error(error)}"
    if problem:
        raise PluginError(
            f"the backend {name} cannot run in a process of its own: {problem}",
            hint="define its class in a module, with a configuration of plain values, or write `isolate: false`",
        )
    return SentBackend(name, factory.__module__, factory.__qualname__, sent, dict(inner))


def encode_request(request: Request) -> bytes:
    """A request as JSON, complete. Raises `TypeError` where the prompt or a parameter is no plain value."""
    return encode_json(request)


def decode_request(data: bytes) -> Request:
    """The request of what `encode_request` wrote."""
    return msgspec.convert(decode_json(data), Request)


def make_failure(error: BaseException) -> Failure:
    """An exception as it is sent, whatever it is: it need not be picklable, nor its text be makeable."""
    if isinstance(error, TimeoutError):  # means the same here as in the engine's own process
        return Failure(_clean(describe_error(error)), Cause.TIMEOUT)
    if not isinstance(error, BackendError) or not isinstance(error.cause, Cause):
        return Failure(_clean(describe_error(error)))
    return Failure(
        _clean(error.message),
        error.cause,
        _clean(error.where),
        _clean(error.hint),
        error.retry_after if isinstance(error.retry_after, int | float) else None,
        bool(error.stops_member),
        bool(error.maybe_billed),
    )


def _clean(text: object) -> str:
    """``text`` as UTF-8 can carry it: a lone surrogate is written out."""
    return str(text)[:_LONGEST_TEXT].encode("utf-8", "backslashreplace").decode()
