"""The backend ``openai``: chat or text completions of any server that speaks OpenAI's API."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from pool_core.errors import BackendError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.values import Answer, Capabilities, Cause, Offer, Prompt, Request
from pool_openai.causes import FINISH_REASONS
from pool_openai.config import OpenAIConfig
from pool_openai.failures import Failures, read_steps
from pool_openai.keys import read_key
from pool_openai.waits import REMAINDER_HEADERS, WAIT_HEADERS, read_exhaustion
from pool_openai.wire import decode_reply, encode_request

if TYPE_CHECKING:  # the client is imported when a backend opens: checking a recipe needs none
    from pyreqwest.client import Client
    from pyreqwest.request import RequestBuilder
    from pyreqwest.response import Response

__all__ = ["OpenAI"]

_log = logging.getLogger(__name__)

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

_CA_HINT = "ca_file must be a PEM file of one or more certificates"

_KNOWN_REASONS = frozenset(FINISH_REASONS.values())

#: What is read of a reply's headers.
_HEADERS = (*WAIT_HEADERS, "location")


class OpenAI(Backend[OpenAIConfig]):
    """Sends each request once, to the configured address only. Retries nothing and follows no redirect."""

    Config = OpenAIConfig

    def __init__(self, config: OpenAIConfig) -> None:
        super().__init__(config)
        self._failures = Failures(config)
        self._client: Client | None = None
        self._url = config.url
        self._identity = _describe_identity(config)
        #: The kinds of oddities that were logged.
        self._noted: set[str] = set()

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle has the configuration alone: no key, no connection."""
        return type(self), (self.config,)

    @classmethod
    def capabilities(cls, config: OpenAIConfig, inner: Mapping[str, Capabilities]) -> Capabilities:
        chat = config.api == "chat"
        offer = Offer(config.model, config.base_url)
        return Capabilities(takes="chat" if chat else "text", seed=True, stop=True, schema=chat, offer=offer)

    @property
    def model(self) -> str:
        return self.config.model

    @property
    def endpoint(self) -> str:
        return f"POST {self._url}"

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def quota(self) -> str:
        return f"{self.config.base_url} with {self.config.key_reference or 'no key'}"

    def encode(self, prompt: Prompt, sampling: Mapping[str, Any]) -> bytes:
        return encode_request(self.config, prompt, sampling)

    def describe_headers(self) -> Mapping[str, str]:
        reference = self.config.key_reference
        key = {self.config.key_header: f"*** ({reference})"} if reference else {}
        return {"content-type": "application/json"} | _collect_headers(self.config) | key

    async def open(self) -> None:
        """Read the key and make the client. Called again, it reads the key again and keeps the connections."""
        await self.refresh()
        if self._client is None:
            self._client = _make_client(self.config)

    async def refresh(self) -> bool:
        reference, known = self.config.key_reference, self._failures.key
        key = read_key(reference) if reference else None
        self._failures = Failures(self.config, key)
        return key is not None and (known is None or key.reveal() != known.reveal())

    async def generate(self, request: Request) -> Answer:
        if self._client is None:
            raise BackendError(Cause.PLUGIN, "the backend is not open", where=self.endpoint, hint="call open() first")
        from pyreqwest.exceptions import PyreqwestError  # noqa: PLC0415 - like the client: checking a recipe needs none

        # held for the whole call: its key is the one to mask, whatever open() or aclose() do meanwhile
        failures, limit = self._failures, self.config.max_answer_bytes
        call = self._client.post(self._url).body_bytes(request.body).timeout(timedelta(seconds=request.timeout))
        if failures.key is not None:
            name = self.config.key_header
            prefix = "Bearer " if name == "authorization" else ""
            call = call.header(name, prefix + failures.key.reveal(), is_sensitive=True)
        try:
            if self.config.first_byte_timeout is None:
                async with call.build_streamed() as response:
                    body = bytes(await response.body_reader.read(limit + 1) or b"")
            else:
                response, body = await _read_early(call, self.config.first_byte_timeout, limit + 1)
        except PyreqwestError as error:
            raise failures.of_exception(error, request.timeout) from None
        except TimeoutError:
            raise failures.of_late_reply() from None
        if not 200 <= response.status < 300:  # noqa: PLR2004
            raise failures.of_status(response.status, _read_headers(response), body[:limit], request.body)
        if len(body) > limit:
            raise failures.of_large_body()
        answer = decode_reply(body, self.config.api, failures)
        self._note_oddities(answer)
        if self.pause is not None and any(name in response.headers for name in REMAINDER_HEADERS):
            seconds = read_exhaustion(_read_headers(response))
            if seconds is not None:
                self.pause(seconds)  # nothing is left of the limit: the next request would only be refused
        return answer

    def _note_oddities(self, answer: Answer) -> None:
        """Log what is odd about a reply that is an answer all the same: each kind once."""
        reason, several = answer.finish_reason, (answer.extra or {}).get("choices")
        if reason is not None and reason not in _KNOWN_REASONS and "reason" not in self._noted:
            self._noted.add("reason")
            shown = self._failures.clean(reason, 40)
            _log.warning('%s: the finish_reason "%s" is not known; such answers are taken', self.endpoint, shown)
        if several and "choices" not in self._noted:
            self._noted.add("choices")
            _log.warning("%s: one choice was asked for and %d came; the first is taken", self.endpoint, several)

    async def aclose(self) -> None:
        client, self._client, self._failures = self._client, None, Failures(self.config)
        if client is not None:
            await client.close()


async def _read_early(call: RequestBuilder, seconds: float, most: int) -> tuple[Response, bytes]:
    """Send ``call`` and read ``most`` bytes of the reply. Raises `TimeoutError` where it begins after ``seconds``."""
    import asyncio  # noqa: PLC0415 - like the client: checking a recipe needs none

    call = call.streamed_read_buffer_limit(0)  # else the reply would only begin with the end of a short body
    async with asyncio.timeout(seconds) as begun, call.build_streamed() as response:
        begun.reschedule(None)
        return response, bytes(await response.body_reader.read(most) or b"")


def _make_client(config: OpenAIConfig) -> Client:
    from pyreqwest.client import ClientBuilder  # noqa: PLC0415
    from pyreqwest.exceptions import PyreqwestError  # noqa: PLC0415
    from pyreqwest.http import Url  # noqa: PLC0415

    headers = {"Content-Type": "application/json"} | _collect_headers(config)
    builder = ClientBuilder().follow_redirects(enable=False).referer(enable=False).default_headers(headers)
    builder = builder.user_agent("pool-openai").connect_timeout(timedelta(seconds=config.connect_timeout))
    if not config.trust_env or _is_loopback(Url(config.url).host_str or ""):
        builder = builder.no_proxy()
    for certificate in _read_certificates(config):
        builder = builder.add_root_certificate_pem(certificate)
    try:
        return builder.build()
    except PyreqwestError as error:
        text = f"cannot make a client: {read_steps(error)[-1]}"
        raise BackendError(Cause.BAD_REQUEST, text, hint=_CA_HINT if config.ca_file else "") from None


def _collect_headers(config: OpenAIConfig) -> dict[str, str]:
    """The headers that the recipe sets; no secret is among them."""
    organization = {} if config.organization is None else {"OpenAI-Organization": config.organization}
    return config.headers | organization


def _describe_identity(config: OpenAIConfig) -> str:
    endpoint, headers = f"POST {config.url}", _collect_headers(config)
    return f"{endpoint} {json.dumps(headers, sort_keys=True)}" if headers else endpoint


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _read_certificates(config: OpenAIConfig) -> list[bytes]:
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


def _read_headers(response: Response) -> dict[str, str]:
    """The headers that matter, by name. One that comes twice, or is no text, says nothing."""
    found: dict[str, str] = {}
    for name in _HEADERS:
        try:
            values = response.get_header_all(name)
        except ValueError:
            continue
        if len(values) == 1:
            found[name] = values[0]
    return found
