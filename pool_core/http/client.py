"""The client of one backend: requests to the configured server, each sent once; redirects are never followed.

Imports pyreqwest, so it is imported when a backend opens: checking a recipe needs no client.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Sequence
from datetime import timedelta
from ipaddress import ip_address
from types import FrameType

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError
from pyreqwest.http import Url
from pyreqwest.request import RequestBuilder
from pyreqwest.response import Response

from pool_core.errors import BackendError
from pool_core.http.config import HttpConfig
from pool_core.http.failures import Failures, read_steps
from pool_core.http.reply import HttpReply
from pool_core.interfaces.values import Cause

__all__ = ["HttpClient"]

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

#: Looks at the client's threads, a millisecond apart, until they are let be.
_MOST_LOOKS = 1000

_CA_HINT = "ca_file must be a PEM file of one or more certificates"


class HttpClient:
    """Keeps the connections to one server."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @classmethod
    def make(cls, config: HttpConfig, agent: str) -> HttpClient:
        """Make the client of a backend. ``agent`` is what it calls itself.

        Raises:
            BackendError: the certificates cannot be read.
        """
        builder = ClientBuilder().follow_redirects(enable=False).referer(enable=False)
        builder = builder.default_headers(config.collect_headers())
        builder = builder.user_agent(agent).connect_timeout(timedelta(seconds=config.connect_timeout))
        if not config.trust_env or _is_loopback(Url(config.url).host_str or ""):
            builder = builder.no_proxy()
        for certificate in _read_certificates(config):
            builder = builder.add_root_certificate_pem(certificate)
        try:
            return cls(builder.build())
        except PyreqwestError as error:
            text = f"cannot make a client: {read_steps(error)[-1]}"
            raise BackendError(Cause.BAD_REQUEST, text, hint=_CA_HINT if config.ca_file else "") from None

    async def close(self) -> None:
        """Close the connections, and see the client's threads leave the interpreter.

        One that still wakes the event loop when the interpreter ends, since its machine is busy, aborts the process.
        """
        await self._client.close()
        for _ in range(_MOST_LOOKS):  # a thread of the client's tells nobody that it is done
            if not _is_being_woken():
                break
            await asyncio.sleep(0.001)

    async def send(
        self,
        failures: Failures,
        body: bytes | None,
        seconds: float,
        *,
        method: str = "POST",
        url: str = "",
        content_type: str = "application/json",
        headers: Sequence[str] = (),
        most_bytes: int | None = None,
    ) -> HttpReply:
        """Send one request, once, with the key of ``failures``.

        A cancellation in the moment in which the reply arrives is not raised, as pyreqwest has it: the reply, which
        may be paid, is returned, and only the task's `cancelling` tells. Who goes on to wait must look.

        Args:
            seconds: the limit for all of it, the connection included.
            url: by default the one that the configuration names.
            headers: those of the reply that are wanted, in lower case.
            most_bytes: the largest reply that is read; by default what the configuration says.

        Raises:
            BackendError: no reply, or one that is not of status 2xx.
        """
        config, limit = failures.config, most_bytes or failures.config.max_answer_bytes
        call = self._client.request(method, url or config.url).timeout(timedelta(seconds=seconds))
        if body is not None:
            call = call.header("Content-Type", content_type).body_bytes(body)
        if failures.key is not None:
            prefix = "Bearer " if config.key_header == "authorization" else ""
            call = call.header(config.key_header, prefix + failures.key.reveal(), is_sensitive=True)
        try:
            if config.first_byte_timeout is None:
                async with call.build_streamed() as response:
                    found = bytes(await response.body_reader.read(limit + 1) or b"")
            else:
                response, found = await _read_early(call, config.first_byte_timeout, limit + 1)
        except PyreqwestError as error:
            raise failures.of_exception(error, seconds) from None
        except TimeoutError:
            raise failures.of_late_reply() from None
        wanted = _read_headers(response, headers)
        if not 200 <= response.status < 300:  # noqa: PLR2004
            raise failures.of_status(response.status, wanted, found[:limit], body or b"")
        if len(found) > limit:
            raise failures.of_large_body(limit)
        return HttpReply(found, wanted)


async def _read_early(call: RequestBuilder, seconds: float, most: int) -> tuple[Response, bytes]:
    """Send ``call`` and read ``most`` bytes of the reply. Raises `TimeoutError` where it begins after ``seconds``."""
    call = call.streamed_read_buffer_limit(0)  # else the reply would only begin with the end of a short body
    async with asyncio.timeout(seconds) as begun, call.build_streamed() as response:
        begun.reschedule(None)
        return response, bytes(await response.body_reader.read(most) or b"")


def _is_being_woken() -> bool:
    """Whether some thread hands something over to an event loop at this moment."""
    frames: list[FrameType | None] = list(sys._current_frames().values())  # noqa: SLF001 - documented for such uses
    while frames:
        frame = frames.pop()
        if frame is not None:
            if frame.f_code.co_name == "call_soon_threadsafe":
                return True
            frames.append(frame.f_back)
    return False


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _read_certificates(config: HttpConfig) -> list[bytes]:
    if config.ca_file is None:
        return []
    try:
        content = config.ca_file.read_bytes()
    except OSError as error:
        text = f"cannot read the ca_file {config.ca_file}: {error.strerror}"
        raise BackendError(Cause.BAD_REQUEST, text, hint=_CA_HINT) from None
    found = _CERTIFICATE.findall(content)
    if not found:
        raise BackendError(Cause.BAD_REQUEST, f"there is no certificate in the ca_file {config.ca_file}", hint=_CA_HINT)
    return found


def _read_headers(response: Response, names: Sequence[str]) -> dict[str, str]:
    """The headers that matter, by name. One that comes twice, or is no text, says nothing."""
    found: dict[str, str] = {}
    present = response.headers
    for name in names:
        if name not in present:
            continue
        try:
            values = response.get_header_all(name)
        except ValueError:
            continue
        if len(values) == 1:
            found[name] = values[0]
    return found
