"""What a recipe may say of the backend ``vllm``."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from pool_core.interfaces.local_model import HubModelConfig

__all__ = ["VllmConfig"]


class VllmConfig(HubModelConfig):
    """Configuration of `Vllm`."""

    engine: dict[str, Any] = Field(
        default_factory=dict,
        description="Further arguments of vLLM's `AsyncEngineArgs`, such as `{max_model_len: 8192}`.",
    )
