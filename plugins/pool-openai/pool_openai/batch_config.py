"""The configuration of the backend ``openai-batch``."""

from __future__ import annotations

from pydantic import Field

from pool_core.http.config import Seconds
from pool_openai.config import OpenAIConfig

__all__ = ["OpenAIBatchConfig"]


class OpenAIBatchConfig(OpenAIConfig):
    """What `openai` has, and how batches are made and looked after."""

    batch_size: int = Field(
        default=10_000, ge=1, le=50_000, description="Most requests of a batch; large ones are split at 100 MB as well."
    )
    idle: Seconds = Field(
        default=5.0, description="Seconds without a further request after which a batch is made that is not full."
    )
    poll: Seconds = Field(default=60.0, description="Seconds between two looks at a batch.")
