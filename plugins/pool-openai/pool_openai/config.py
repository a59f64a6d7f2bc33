"""The configuration of the backend ``openai``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from pool_core.http.config import HEADER_VALUE, HttpConfig
from pool_core.http.keys import KeyReference

__all__ = ["OpenAIConfig"]


class OpenAIConfig(HttpConfig):
    """A server that speaks OpenAI's API, a model that it serves, and where its key is kept."""

    own_host: ClassVar[str] = "api.openai.com"
    default_key: ClassVar[KeyReference | None] = KeyReference("env", "OPENAI_API_KEY")
    reserved: ClassVar[tuple[str, ...]] = ("model", "messages", "prompt", "stream", "n")
    own_headers: ClassVar[frozenset[str]] = HttpConfig.own_headers | {"openai-organization"}
    address_hint: ClassVar[str] = "check base_url; most servers want it to end in /v1"
    option_hints: ClassVar[Mapping[str, str]] = {
        "response_format": "set json_schema: false in the backend to put the schema in the prompt"
    }

    base_url: str = Field(
        default="https://api.openai.com/v1",
        description="Address of the API up to and with its version, such as http://host:8000/v1.",
    )
    api: Literal["chat", "completions"] = Field(
        default="chat", description="chat sends messages to /chat/completions, completions one text to /completions."
    )
    api_key: str | None = Field(
        default=None,
        description="Where the key is: env:NAME or file:PATH, never the key itself. "
        "Default: env:OPENAI_API_KEY for OpenAI's own servers, no key for all others.",
    )
    json_schema: bool = Field(
        default=True,
        description="Send a task's JSON Schema as response_format, for the server to constrain its answers. Without, "
        "and with api: completions, the schema stands in the prompt.",
    )
    organization: str | None = Field(default=None, description="Value of the header OpenAI-Organization.")

    @property
    def constrains(self) -> bool:
        """Whether the server is asked to hold answers to a JSON Schema."""
        return self.json_schema and self.api == "chat"

    @property
    def url(self) -> str:
        """What requests are sent to."""
        return f"{self.base_url}/{'chat/completions' if self.api == 'chat' else 'completions'}"

    def collect_headers(self) -> dict[str, str]:
        """The headers that the recipe sets; no secret is among them."""
        organization = {} if self.organization is None else {"OpenAI-Organization": self.organization}
        return self.headers | organization

    @field_validator("base_url")
    @classmethod
    def _check_path(cls, value: str) -> str:
        if value.endswith("/completions"):
            raise ValueError("base_url ends before /chat/completions or /completions; `api` adds that part")
        return value

    @field_validator("organization")
    @classmethod
    def _check_organization(cls, value: str | None) -> str | None:
        if value is not None and not HEADER_VALUE.fullmatch(value):
            raise ValueError("organization has a line break or a character outside ASCII")
        return value
