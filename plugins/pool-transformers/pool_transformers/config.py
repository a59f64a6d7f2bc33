"""What a recipe may say of the backend ``transformers``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from pool_core.interfaces.config import PluginConfig

__all__ = ["TransformersConfig"]


def _resolve_folder(model: str, info: ValidationInfo) -> str:
    """A folder that is there, relative to the recipe's, is meant before a name on the Hub."""
    folder = Path((info.context or {}).get("folder") or "") / model
    return str(folder.absolute()) if folder.is_dir() else model


class TransformersConfig(PluginConfig):
    """Configuration of `Transformers`."""

    model: Annotated[str, AfterValidator(_resolve_folder)] = Field(
        min_length=1, description="Folder of the model, relative to the recipe, or its name on the Hugging Face Hub."
    )
    name: str | None = Field(None, description="Name of the model in outputs; by default the last part of `model`.")
    revision: str | None = Field(None, description="Branch, tag or commit on the Hub.")
    takes: Literal["chat", "text"] = Field(
        "chat", description="`chat` writes messages with the model's own chat template, `text` takes one text."
    )
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        "auto", description="Type of the weights; `auto` is that of the file."
    )
    device_map: str | dict[str, int | str] | None = Field(
        None, description="Where the layers go, as accelerate says it: `auto`, `cpu`, `cuda:1`; by default one device."
    )
    batch_size: int = Field(8, ge=1, le=4096, description="Most requests at a time.")
    max_wait_ms: float = Field(
        20.0, ge=0, le=60_000, description="Milliseconds that the first request of a batch waits for others."
    )
    max_tokens: int = Field(512, ge=1, description="Most tokens of an answer where `sampling` does not say.")
    trust_remote_code: bool = Field(False, description="Run the code that comes with the model. It is not sandboxed.")
