"""What backends that ask a server have in common."""

from __future__ import annotations

import json
import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pool_core.errors import BackendError
from pool_core.http.config import HttpConfig
from pool_core.http.failures import Failures
from pool_core.http.keys import read_key
from pool_core.http.reply import HttpReply
from pool_core.http.waits import WAIT_HEADERS, read_exhaustion
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.structured import honours_schema
from pool_core.interfaces.values import Answer, Cause, Request

if TYPE_CHECKING:
    from pool_core.http.client import HttpClient

__all__ = ["HttpBackend", "HttpCallBackend", "HttpConfigT", "note_schema"]

HttpConfigT = TypeVar("HttpConfigT", bound=HttpConfig)

_log = logging.getLogger(__name__)


class HttpBackend(Backend[HttpConfigT]):
    """Has a key and a client, and sends to the configured address only. Follows no redirect.

    A subclass says how it answers; `HttpCallBackend` is for those where each request has its own reply.
    """

    #: What it calls itself.
    agent: ClassVar[str] = "pool-core"
    #: What is read of a reply's headers beside the redirect's goal: how long to wait, and the request's identifier.
    reply_headers: ClassVar[Sequence[str]] = (*WAIT_HEADERS, "x-request-id")

    def __init__(self, config: HttpConfigT) -> None:
        super().__init__(config)
        self._failures = self._make_failures()
        self._client: HttpClient | None = None
        self._endpoint = f"POST {config.url}"
        self._identity = _describe_identity(self._endpoint, config)
        self._wanted_headers = (*self.reply_headers, "location")
        #: The kinds of oddities that were logged.
        self._noted: set[str] = set()

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle has the configuration alone: no key, no connection."""
        return type(self), (self.config,)

    @property
    def model(self) -> str:
        return self.config.model

    @property
    def endpoint(self) -> str:
        return self._endpoint

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def quota(self) -> str:
        return f"{self.config.base_url} with {self.config.key_reference or 'no key'}"

    def describe_headers(self) -> Mapping[str, str]:
        reference = self.config.key_reference
        key = {self.config.key_header: f"*** ({reference})"} if reference else {}
        return {"content-type": "application/json"} | self.config.collect_headers() | key

    async def open(self) -> None:
        """Read the key and make the client. Called again, it reads the key again and keeps the connections."""
        await self.refresh()
        if self._client is None:
            from pool_core.http.client import HttpClient  # noqa: PLC0415 - heavy: checking a recipe needs none

            self._client = HttpClient.make(self.config, self.agent)

    async def refresh(self) -> bool:
        reference, known = self.config.key_reference, self._failures.key
        key = read_key(reference) if reference else None
        self._failures = self._make_failures()
        if key is not None:
            self._failures = Failures(self.config, key, self._failures.read_exhaustion)
        return key is not None and (known is None or key.reveal() != known.reveal())

    def warn_once(self, kind: str, message: str, *values: object) -> None:
        """Log a warning, unless one of its ``kind`` was logged."""
        if kind not in self._noted:
            self._noted.add(kind)
            _log.warning("%s: " + message, self.endpoint, *values)

    def read_wait(self, headers: Mapping[str, str]) -> float | None:
        """Seconds until a limit of which nothing is left takes requests again; None where something is left."""
        return read_exhaustion(headers)

    async def aclose(self) -> None:
        client, self._client, self._failures = self._client, None, self._make_failures()
        if client is not None:
            await client.close()

    def _make_failures(self) -> Failures:
        return Failures(self.config, read_exhaustion=self.read_wait)

    def _get_client(self) -> HttpClient:
        """The client. Raises `BackendError` before `open`."""
        if self._client is None:
            raise BackendError(Cause.PLUGIN, "the backend is not open", where=self.endpoint, hint="call open() first")
        return self._client


class HttpCallBackend(HttpBackend[HttpConfigT]):
    """Sends each request once, and reads its reply. Retries nothing.

    A subclass says how requests are written (`encode`) and replies read (`decode`).
    """

    async def generate(self, request: Request) -> Answer:
        failures = self._failures  # held for the whole call: its key is the one to mask, whatever open() does meanwhile
        client = self._get_client()
        reply = await client.send(failures, request.body, request.timeout, headers=self._wanted_headers)
        answer = self.decode(reply, request, failures)
        self.note_oddities(answer)
        seconds = failures.read_exhaustion(reply.headers) if reply.headers else None
        if seconds is not None and self.pause is not None:
            self.pause(seconds)  # nothing is left of the limit: the next request would only be refused
        return answer

    @abstractmethod
    def decode(self, reply: HttpReply, request: Request, failures: Failures) -> Answer:
        """Read a reply with status 2xx. ``failures`` writes the errors.

        Raises:
            BackendError: there is no answer in it; nothing else is ever raised.
        """

    def note_oddities(self, answer: Answer) -> None:
        """Log what is odd about a reply that is an answer all the same, each kind once: see `warn_once`."""


def _describe_identity(endpoint: str, config: HttpConfig) -> str:
    headers = config.collect_headers()
    return f"{endpoint} {json.dumps(headers, sort_keys=True)}" if headers else endpoint


def note_schema(backend: HttpBackend[Any], answer: Answer, schema: Mapping[str, Any] | None) -> Answer:
    """``answer``, with ``schema: ignored`` in its ``extra`` where it was to be constrained and does not look like it.

    Many servers take a schema and do not act on it, with status 200: the answer is the only sign.
    """
    if schema is None or not answer.text or answer.finish_reason != "stop" or honours_schema(answer.text, schema):
        return answer
    backend.warn_once(
        "schema",
        "a JSON Schema was sent with the request, and the answer does not look as if the server had heeded it%s",
        f"; {hint}" if (hint := backend.config.option_hints.get("response_format", "")) else "",
    )
    return replace(answer, extra={**(answer.extra or {}), "schema": "ignored"})
