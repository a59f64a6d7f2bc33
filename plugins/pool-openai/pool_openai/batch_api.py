"""The provider's files and batches: uploading, making, finding, polling, downloading.

None of these calls is paid: what is paid are the requests of a batch, once it is made. So a call that fails
in passing is made again here, and a batch is only made again where the provider does not know the first one.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pool_core.errors import BackendError
from pool_core.http.failures import Failures
from pool_core.http.waits import WAIT_HEADERS
from pool_core.interfaces.values import Cause
from pool_openai.batch_files import write_form

if TYPE_CHECKING:
    from pool_core.http.client import HttpClient

__all__ = ["TRANSIENT", "BatchApi"]

#: Causes of calls that may succeed in a while.
TRANSIENT = frozenset(
    {Cause.TRANSPORT, Cause.TIMEOUT, Cause.OVERLOADED, Cause.SERVER, Cause.BAD_REPLY, Cause.RATE_LIMIT}
)

#: Tries of a call before it fails; what waits between them begins with a second and doubles.
_TRIES = 5
#: Seconds that one call may take: a look, and a file.
_CALL_SECONDS, _FILE_SECONDS = 60.0, 900.0
#: Largest file that is read.
_FILE_BYTES = 1024**3
#: Pages of batches that are looked through, the newest first.
_PAGES = 100
#: The key under which the provider keeps our own name of a batch.
_TOKEN = "pool_token"  # noqa: S105 - no secret


@dataclass(slots=True)
class BatchApi:
    """Calls the endpoints of files and batches. Raises `BackendError` where a call fails for good."""

    client: HttpClient
    #: Has the configuration and the key.
    failures: Failures
    #: Seconds that the first wait between two tries takes.
    pause: float = 1.0

    async def make_batch(self, content: bytes, token: str) -> str:
        """Upload ``content`` and make a batch of it. Returns the provider's name for it.

        Where the reply to the last call does not come, the batch may be there all the same: it is looked for by
        ``token`` before it is made again. After an error of a cause of `TRANSIENT`, and after one that says
        `maybe_billed`, it is not known whether it is there.
        """
        form, kind = write_form(content)
        uploaded = await self._call("POST", "files", form, content_type=kind, seconds=_FILE_SECONDS)
        url = self.failures.config.url
        asked = {
            "input_file_id": _read_id(uploaded, "file"),
            "endpoint": "/v1" + url.removeprefix(self.failures.config.base_url),
            "completion_window": "24h",
            "metadata": {_TOKEN: token},
        }
        body = json.dumps(asked).encode()
        async for attempt in _count_tries(self.pause):
            try:
                return _read_id(await self._call("POST", "batches", body, tries=1), "batch")
            except BackendError as error:
                if error.cause not in TRANSIENT:
                    raise
                found = await self._find_made(token)
                if found is not None:
                    return found
                if attempt == _TRIES:
                    raise
        raise AssertionError  # the last try has returned or raised

    async def find_batch(self, token: str) -> str | None:
        """The provider's name of the batch that was made under ``token``, None where it knows none."""
        after = ""
        for _ in range(_PAGES):
            page = await self._call("GET", f"batches?limit=100{after}")
            shown = [one for one in page.get("data") or () if isinstance(one, dict)]
            for one in shown:
                if (one.get("metadata") or {}).get(_TOKEN) == token:
                    return _read_id(one, "batch")
            if not page.get("has_more") or not shown:
                return None
            after = f"&after={_read_id(shown[-1], 'batch')}"
        return None

    async def _find_made(self, token: str) -> str | None:
        """`find_batch` for a batch that may just have been made: where it fails, that is still not known."""
        try:
            return await self.find_batch(token)
        except BackendError as error:
            error.maybe_billed = True
            raise

    async def look(self, batch: str) -> dict[str, Any]:
        """How a batch stands."""
        return await self._call("GET", f"batches/{batch}")

    async def download(self, file: str) -> bytes:
        """The content of a file."""
        return await self._send("GET", f"files/{file}/content", None, seconds=_FILE_SECONDS, most_bytes=_FILE_BYTES)

    async def _call(self, method: str, path: str, body: bytes | None = None, **how: Any) -> dict[str, Any]:
        """Call, and read the reply as an object."""
        content = await self._send(method, path, body, **how)
        try:
            value = json.loads(content)
        except (ValueError, RecursionError):
            raise self.failures.of_unreadable_body(content) from None
        if not isinstance(value, dict):
            raise self.failures.of_unreadable_body(content)
        return value

    async def _send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        *,
        content_type: str = "application/json",
        seconds: float = _CALL_SECONDS,
        most_bytes: int | None = None,
        tries: int = _TRIES,
    ) -> bytes:
        url = f"{self.failures.config.base_url}/{path}"
        async for attempt in _count_tries(self.pause):
            try:
                reply = await self.client.send(
                    self.failures,
                    body,
                    seconds,
                    method=method,
                    url=url,
                    content_type=content_type,
                    headers=(*WAIT_HEADERS, "location", "x-request-id"),
                    most_bytes=most_bytes,
                )
            except BackendError as error:
                if error.cause not in TRANSIENT or attempt >= tries:
                    raise
            else:
                _pass_on_cancellation()
                return reply.body
        raise AssertionError  # the last try has returned or raised


async def _count_tries(pause: float) -> AsyncIterator[int]:
    """The numbers of the tries, from 1, with a wait before each but the first."""
    import asyncio  # noqa: PLC0415 - checking a recipe needs none

    yield 1
    for number in range(2, _TRIES + 1):
        await asyncio.sleep(pause * 2.0 ** (number - 2))
        yield number


def _pass_on_cancellation() -> None:
    """Raise the cancellation of this task that the client did not, since the reply was there in the same moment.

    A paid answer is better returned. Here nothing is paid, and the task would go on and wait for hours.
    """
    import asyncio  # noqa: PLC0415 - checking a recipe needs none

    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _read_id(shown: dict[str, Any], what: str) -> str:
    found = shown.get("id")
    if not isinstance(found, str) or not found.replace("-", "").replace("_", "").isalnum():
        raise BackendError(Cause.BAD_REQUEST, f"the provider names the {what} {str(found)[:40]!r}", stops_member=True)
    return found
