"""The configuration of the backend ``litellm``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationInfo, field_validator

from pool_core.http.keys import KeyReference
from pool_core.interfaces.config import PluginConfig, RecipePath

__all__ = ["RESERVED", "LiteLLMConfig"]

#: Arguments of LiteLLM's that the backend sets, or that would make it call, retry or ask elsewhere by itself.
RESERVED = frozenset(
    {
        *("model", "messages", "n", "stream", "timeout", "api_key", "api_base", "base_url", "api_version"),
        *("num_retries", "max_retries", "retry_strategy", "fallbacks", "context_window_fallback_dict"),
        *("model_list", "callbacks", "success_callback", "failure_callback", "logger_fn", "cache", "client"),
        *("mock_response", "response_format"),
    }
)
_SECRET = re.compile(r"authorization|cookie|secret|api-?key|(auth|access)-token")
_PATH: TypeAdapter[Path] = TypeAdapter(RecipePath)


class LiteLLMConfig(PluginConfig):
    """A model as LiteLLM names it, where it is, and where its key is kept."""

    model_config = ConfigDict(hide_input_in_errors=True)

    model: str = Field(
        min_length=1, description="Provider and model as LiteLLM names them, such as mistral/mistral-small-latest."
    )
    api_base: str | None = Field(default=None, description="Address of the API; by default the provider's own.")
    api_version: str | None = Field(default=None, description="Version of the API, for providers that want one.")
    api_key: str | None = Field(
        default=None,
        description="Where the key is: env:NAME or file:PATH, never the key itself. Default: LiteLLM looks for the "
        "variable that it knows for the provider.",
    )
    json_schema: bool = Field(
        default=False,
        description="Send a task's JSON Schema as response_format, for models that constrain their answers. Without, "
        "it stands in the prompt.",
    )
    extra: dict[str, Any] = Field(
        default={}, description="More arguments of litellm.acompletion, as it knows them. Never secrets."
    )

    @property
    def key_reference(self) -> KeyReference | None:
        """Where the key is, None where LiteLLM looks for it."""
        return None if self.api_key is None else KeyReference.parse(self.api_key)

    @field_validator("api_key")
    @classmethod
    def _check_api_key(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        reference = KeyReference.parse(value)
        if reference.kind == "file":
            reference = KeyReference("file", str(_PATH.validate_python(reference.place, context=info.context)))
        return str(reference)

    @field_validator("api_base")
    @classmethod
    def _check_api_base(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^\s/@?#]+(/[^\s@?#]*)?", value):
            raise ValueError("api_base is an address such as http://host:8000/v1, without user, query or fragment")
        return value

    @field_validator("extra")
    @classmethod
    def _check_extra(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if name in RESERVED:
                raise ValueError(f"extra cannot set {name}: the backend does, or the pool")
            if _SECRET.search(name.lower().replace("_", "-")):
                raise ValueError(f"the argument {name} of extra carries a secret; use api_key")
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            raise ValueError("extra must be plain JSON: text, finite numbers, true, false, null, lists, maps") from None
        return value
