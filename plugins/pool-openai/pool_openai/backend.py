"""The backend ``openai``: chat or text completions of any server that speaks OpenAI's API."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from pool_core.errors import BackendError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.values import Answer, Capabilities, Cause, Prompt, Request
from pool_openai.config import OpenAIConfig
from pool_openai.failures import Failures, read_steps
from pool_openai.keys import read_key
from pool_openai.wire import decode_reply, encode_request

if TYPE_CHECKING:  # the client is imported when a backend opens: checking a recipe needs none
    from pyreqwest.client import Client
    from pyreqwest.response import Response

__all__ = ["OpenAI"]

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

_CA_HINT = "ca_file must be a PEM file of one or more certificates"

#: What is read of a reply's headers.
_HEADERS = ("retry-after", "retry-after-ms", "date", "location")


class OpenAI(Backend[OpenAIConfig]):
    """Sends each request once, to the configured address only. Retries nothing and follows no redirect."""

    Config = OpenAIConfig

    def __init__(self, config: OpenAIConfig) -> None:
        super().__init__(config)
        self._failures = Failures(config)
        self._client: Client | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle has the configuration alone: no key, no connection."""
        return type(self), (self.config,)

    @classmethod
    def capabilities(cls, config: OpenAIConfig, inner: Mapping[str, Capabilities]) -> Capabilities:
        chat = config.api == "chat"
        return Capabilities(takes="chat" if chat else "text", seed=True, stop=True, schema=chat)

    @property
    def model(self) -> str:
        return self.config.model

    @property
    def endpoint(self) -> str:
        return f"POST {self.config.url}"

    @property
    def identity(self) -> str:
        headers = _collect_headers(self.config)
        return f"{self.endpoint} {json.dumps(headers, sort_keys=True)}" if headers else self.endpoint

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
        reference = self.config.key_reference
        self._failures = Failures(self.config, read_key(reference) if reference else None)
        if self._client is None:
            self._client = _make_client(self.config)

    async def generate(self, request: Request) -> Answer:
        if self._client is None:
            raise BackendError(Cause.PLUGIN, "the backend is not open", where=self.endpoint, hint="call open() first")
        from pyreqwest.exceptions import PyreqwestError  # noqa: PLC0415

        # held for the whole call: its key is the one to mask, whatever open() or aclose() do meanwhile
        failures, limit = self._failures, self.config.max_answer_bytes
        call = self._client.post(self.config.url).body_bytes(request.body).timeout(timedelta(seconds=request.timeout))
        if failures.key is not None:
            name = self.config.key_header
            prefix = "Bearer " if name == "authorization" else ""
            call = call.header(name, prefix + failures.key.reveal(), is_sensitive=True)
        try:
            async with call.build_streamed() as response:
                body = bytes(await response.body_reader.read(limit + 1) or b"")
        except PyreqwestError as error:
            raise failures.of_exception(error, request.timeout) from None
        if not 200 <= response.status < 300:  # noqa: PLR2004
            raise failures.of_status(response.status, _read_headers(response), body[:limit])
        if len(body) > limit:
            raise failures.of_large_body()
        return decode_reply(body, self.config.api, failures)

    async def aclose(self) -> None:
        client, self._client, self._failures = self._client, None, Failures(self.config)
        if client is not None:
            await client.close()


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
