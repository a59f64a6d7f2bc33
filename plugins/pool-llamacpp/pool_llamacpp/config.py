"""What a recipe may say of the backend ``llamacpp``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pool_core.interfaces.config import PluginConfig, RecipePath

__all__ = ["LlamaCppConfig"]


class LlamaCppConfig(PluginConfig):
    """Configuration of `LlamaCpp`."""

    path: RecipePath = Field(description="The GGUF file, relative to the recipe.")
    name: str | None = Field(None, description="Name of the model in outputs; by default that of the file.")
    takes: Literal["chat", "text"] = Field(
        "chat", description="`chat` writes messages with the file's own chat template, `text` takes one text."
    )
    context: int = Field(4096, ge=0, description="Tokens of prompt and answer together; 0 is what the model knows.")
    gpu_layers: int = Field(-1, ge=-1, description="Layers on the GPU, where the build has one; -1 is all.")
    threads: int | None = Field(None, ge=1, description="Threads that compute; by default half of the processors.")
    grammar: str | None = Field(None, description="Grammar (GBNF) of every answer whose prompt has no schema.")
    max_tokens: int = Field(512, ge=1, description="Most tokens of an answer where `sampling` does not say.")
