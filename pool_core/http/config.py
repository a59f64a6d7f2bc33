"""The configuration of backends that ask a server over HTTP, and what is refused before anything is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
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

from pool_core.http.keys import KeyReference
from pool_core.interfaces.config import PluginConfig, RecipePath

__all__ = ["HEADER_VALUE", "HttpConfig", "Seconds"]

#: What a header's value may be.
HEADER_VALUE = re.compile(r"[\x20-\x7e]*")

_SECRET_HEADER = re.compile(r"authorization|cookie|secret|api-?key|(auth|access)-token")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_RECIPE_PATH: TypeAdapter[Path] = TypeAdapter(RecipePath)

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class HttpConfig(PluginConfig):
    """A server, a model that it serves, and where its key is kept. Each backend names its own paths and defaults."""

    model_config = ConfigDict(hide_input_in_errors=True)

    #: The host that ``default_key`` is for, its subdomains included. No other gets it.
    own_host: ClassVar[str] = ""
    default_key: ClassVar[KeyReference | None] = None
    #: Fields of the request's body that the backend decides on; ``extra`` cannot set them.
    reserved: ClassVar[tuple[str, ...]] = ("model", "messages", "stream", "n")
    #: Headers that the backend sets itself.
    own_headers: ClassVar[frozenset[str]] = frozenset(
        {"connection", "content-length", "content-type", "host", "transfer-encoding"}
    )
    #: What to do where a reply comes from something that is not such a server.
    address_hint: ClassVar[str] = "check base_url"
    #: What to do where a server does not take a field of the request as it is, by the field.
    option_hints: ClassVar[Mapping[str, str]] = {}

    model: str = Field(min_length=1, description="Name of the model, as the server knows it.")
    base_url: str = Field(description="Address of the API.")
    api_key: str | None = Field(
        default=None, description="Where the key is: env:NAME or file:PATH, never the key itself."
    )
    key_header: Literal["authorization", "api-key", "x-api-key"] = Field(
        default="authorization",
        description="The header that carries the key; authorization sends it as a bearer token.",
    )
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
        own = url.scheme == "https" and self.own_host and f".{url.hostname}".endswith(f".{self.own_host}")
        return self.default_key if own else None

    @property
    def url(self) -> str:
        """What requests are sent to."""
        return self.base_url

    def collect_headers(self) -> dict[str, str]:
        """The headers that each request has beside ``Content-Type`` and the key; no secret is among them."""
        return dict(self.headers)

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
            if name.lower() in cls.own_headers:
                raise ValueError(f"the header {name} is the backend's own; remove it")
            if not HEADER_VALUE.fullmatch(content):
                raise ValueError(f"the header {name} has a line break or a character outside ASCII in its value")
        return value

    @field_validator("extra")
    @classmethod
    def _check_extra(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in cls.reserved:
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
