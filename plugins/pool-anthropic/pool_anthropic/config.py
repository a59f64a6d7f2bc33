"""The configuration of the backend ``anthropic``."""

from __future__ import annotations

import re
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from pool_core.http.config import HttpConfig
from pool_core.http.keys import KeyReference

__all__ = ["AnthropicConfig"]


class AnthropicConfig(HttpConfig):
    """A server of Anthropic's Messages API, a model that it serves, and where its key is kept."""

    own_host: ClassVar[str] = "api.anthropic.com"
    default_key: ClassVar[KeyReference | None] = KeyReference("env", "ANTHROPIC_API_KEY")
    reserved: ClassVar[tuple[str, ...]] = ("model", "messages", "system", "stream", "n")
    own_headers: ClassVar[frozenset[str]] = HttpConfig.own_headers | {"anthropic-beta", "anthropic-version"}
    address_hint: ClassVar[str] = "check base_url; it ends before /v1/messages"

    base_url: str = Field(
        default="https://api.anthropic.com",
        description="Address of the server, without /v1/messages, such as http://host:8000.",
    )
    api_key: str | None = Field(
        default=None,
        description="Where the key is: env:NAME or file:PATH, never the key itself. "
        "Default: env:ANTHROPIC_API_KEY for Anthropic's own servers, no key for all others.",
    )
    key_header: Literal["authorization", "api-key", "x-api-key"] = Field(
        default="x-api-key", description="The header that carries the key; authorization sends it as a bearer token."
    )
    version: str = Field(default="2023-06-01", description="Version of the API: the header anthropic-version, a date.")
    betas: tuple[str, ...] = Field(default=(), description="Names of betas to use: the header anthropic-beta.")
    max_tokens: int = Field(
        default=4096,
        ge=1,
        description="Most tokens of an answer where `sampling` does not say: the API wants a number with each request.",
    )

    @property
    def url(self) -> str:
        """What requests are sent to."""
        return f"{self.base_url}/v1/messages"

    def collect_headers(self) -> dict[str, str]:
        """The headers that each request has beside ``Content-Type`` and the key; no secret is among them."""
        betas = {"anthropic-beta": ",".join(self.betas)} if self.betas else {}
        return {"anthropic-version": self.version} | betas | self.headers

    @field_validator("base_url")
    @classmethod
    def _check_path(cls, value: str) -> str:
        if re.search(r"/v1(/messages)?$", value):
            raise ValueError("base_url ends before /v1/messages; the backend adds that part")
        return value

    @field_validator("version")
    @classmethod
    def _check_version(cls, value: str) -> str:
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            raise ValueError("version is a date, such as 2023-06-01")
        return value

    @field_validator("betas")
    @classmethod
    def _check_betas(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
                raise ValueError("betas has a name that none can have: letters, digits, dots and hyphens make one")
        return value
