"""The configuration of the backend ``openai``, and what is refused before anything is sent."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from pool_core.interfaces.config import PluginConfig, RecipePath
from pool_openai.keys import KeyReference

__all__ = ["OpenAIConfig"]

#: Fields of the request's body that the backend decides on; ``extra`` cannot set them.
RESERVED = ("model", "messages", "prompt", "stream", "n")

_OPENAI = "https://api.openai.com/v1"
_OPENAI_KEY = KeyReference("env", "OPENAI_API_KEY")
_SECRET_HEADER = re.compile(r"authorization|cookie|secret|api-?key|(auth|access)-token")
_OWN_HEADERS = {"connection", "content-length", "content-type", "host", "openai-organization", "transfer-encoding"}
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_RECIPE_PATH: TypeAdapter[Path] = TypeAdapter(RecipePath)

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class OpenAIConfig(PluginConfig):
    """A server that speaks OpenAI's API, a model that it serves, and where its key is kept."""

    model_config = ConfigDict(hide_input_in_errors=True)

    model: str = Field(min_length=1, description="Name of the model, as the server knows it.")
    base_url: str = Field(
        default=_OPENAI, description="Address of the API up to and with its version, such as http://host:8000/v1."
    )
    api: Literal["chat", "completions"] = Field(
        default="chat", description="chat sends messages to /chat/completions, completions one text to /completions."
    )
    api_key: str | None = Field(
        default=None,
        description="Where the key is: env:NAME or file:PATH, never the key itself. "
        "Default: env:OPENAI_API_KEY for OpenAI's own servers, no key for all others.",
    )
    key_header: Literal["authorization", "api-key", "x-api-key"] = Field(
        default="authorization",
        description="The header that carries the key; authorization sends it as a bearer token.",
    )
    organization: str | None = Field(default=None, description="Value of the header OpenAI-Organization.")
    headers: dict[str, str] = Field(default={}, description="More headers of each request. Never secrets.")
    extra: dict[str, Any] = Field(
        default={}, description="More fields of the request's body, as the server knows them. Never secrets."
    )
    connect_timeout: Seconds = Field(default=5.0, description="Longest time that a connection may take, in seconds.")
    first_byte_timeout: Seconds | None = Field(
        default=None,
        description="Longest time until the reply begins, in seconds, connection included. Servers that do not stream "
        "begin when the answer is done. Default: only the time limit of the whole call.",
    )
    max_answer_bytes: int = Field(
        default=16 * 1024 * 1024, gt=0, description="Largest reply that is read, in bytes after decompression."
    )
    trust_env: bool = Field(
        default=False, description="Use the proxies of the environment. Never for servers on this machine."
    )
    ca_file: RecipePath | None = Field(
        default=None, description="PEM file of certificates to trust besides the usual ones."
    )

    @property
    def key_reference(self) -> KeyReference | None:
        """Where the key is, None where none is sent."""
        if self.api_key is not None:
            return KeyReference.parse(self.api_key)
        url = urlsplit(self.base_url)
        own = url.scheme == "https" and f".{url.hostname}".endswith(".api.openai.com")
        return _OPENAI_KEY if own else None

    @property
    def url(self) -> str:
        """What requests are sent to."""
        return f"{self.base_url}/{'chat/completions' if self.api == 'chat' else 'completions'}"

    @model_validator(mode="wrap")
    @classmethod
    def _hide_values(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Keep every value out of validation errors: one of them may be a key in the wrong place."""
        try:
            return handler(data)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False, include_context=False)
        # raised out here, since an error's __context__ would still have the values
        raise ValidationError.from_exception_data(
            cls.__name__,
            [
                InitErrorDetails(type=PydanticCustomError(one["type"], one["msg"]), loc=one["loc"], input="(hidden)")
                for one in found
            ],
            hide_input=True,
        )

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, value: str) -> str:
        if not re.fullmatch(r"[!-~]+", value) or "\\" in value:
            raise ValueError("base_url has a space, a backslash, or a character outside ASCII")
        try:
            url = urlsplit(value)
            port = url.port
        except ValueError:
            raise ValueError("base_url is not a valid address; write it like http://host:8000/v1") from None
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError("base_url must start with http:// or https:// and a host")
        if "@" in url.netloc:
            raise ValueError("base_url holds a user name or password; use api_key: env:NAME or file:PATH")
        if "?" in value or "#" in value:
            raise ValueError("base_url ends before ? and #; remove the query or fragment")
        path = url.path.rstrip("/")
        if path.endswith("/completions"):
            raise ValueError("base_url ends before /chat/completions or /completions; `api` adds that part")
        host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
        return f"{url.scheme}://{host}{'' if port is None else f':{port}'}{path}"

    @field_validator("api_key")
    @classmethod
    def _check_api_key(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        reference = KeyReference.parse(value)
        if reference.kind == "file":
            path = _RECIPE_PATH.validate_python(reference.place, context=info.context)
            reference = KeyReference("file", str(path))
        return str(reference)

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, value: dict[str, str]) -> dict[str, str]:
        for name, content in value.items():
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError("headers has a name that no header can have: letters, digits and hyphens make one")
            if _SECRET_HEADER.search(name.lower()):
                raise ValueError(f"the header {name} carries a secret; use api_key and key_header")
            if name.lower() in _OWN_HEADERS:
                raise ValueError(f"the header {name} is the backend's own; remove it")
            if not _HEADER_VALUE.fullmatch(content):
                raise ValueError(f"the header {name} has a line break or a character outside ASCII in its value")
        return value

    @field_validator("organization")
    @classmethod
    def _check_organization(cls, value: str | None) -> str | None:
        if value is not None and not _HEADER_VALUE.fullmatch(value):
            raise ValueError("organization has a line break or a character outside ASCII")
        return value

    @field_validator("extra")
    @classmethod
    def _check_extra(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in RESERVED:
            if name in value:
                raise ValueError(f"extra cannot set {name}: the backend does")
        for name in value:
            if _SECRET_HEADER.search(name.lower().replace("_", "-")):
                raise ValueError(f"the field {name} of extra carries a secret; use api_key")
        try:
            json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
        except (TypeError, ValueError, RecursionError):
            raise ValueError(
                "extra must be plain JSON: text, finite numbers, true, false, null, lists and maps"
            ) from None
        return value
