"""What a recipe may say of the backend ``vllm``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from pool_core.interfaces.config import PluginConfig

__all__ = ["VllmConfig"]


def _resolve_folder(model: str, info: ValidationInfo) -> str:
    """A folder that is there, relative to the recipe's, is meant before a name on the Hub."""
    folder = Path((info.context or {}).get("folder") or "") / model
    return str(folder.absolute()) if folder.is_dir() else model


class VllmConfig(PluginConfig):
    """Configuration of `Vllm`."""

    model: Annotated[str, AfterValidator(_resolve_folder)] = Field(
        min_length=1, description="Folder of the model, relative to the recipe, or its name on the Hugging Face Hub."
    )
    name: str | None = Field(None, description="Name of the model in outputs; by default the last part of `model`.")
    revision: str | None = Field(None, description="Branch, tag or commit on the Hub.")
    takes: Literal["chat", "text"] = Field(
        "chat", description="`chat` writes messages with the model's own chat template, `text` takes one text."
    )
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field("auto", description="Type of the weights.")
    max_tokens: int = Field(512, ge=1, description="Most tokens of an answer where `sampling` does not say.")
    engine: dict[str, Any] = Field(
        default_factory=dict,
        description="Further arguments of vLLM's `AsyncEngineArgs`, such as `{max_model_len: 8192}`.",
    )
