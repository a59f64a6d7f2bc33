"""What a recipe may say of the backend ``transformers``."""

from __future__ import annotations

from pydantic import Field

from pool_core.interfaces.local_model import HubModelConfig

__all__ = ["TransformersConfig"]


class TransformersConfig(HubModelConfig):
    """Configuration of `Transformers`."""

    device_map: str | dict[str, int | str] | None = Field(
        None, description="Where the layers go, as accelerate says it: `auto`, `cpu`, `cuda:1`; by default one device."
    )
    batch_size: int = Field(8, ge=1, le=4096, description="Most requests at a time.")
    max_wait_ms: float = Field(
        20.0, ge=0, le=60_000, description="Milliseconds that the first request of a batch waits for others."
    )
    trust_remote_code: bool = Field(False, description="Run the code that comes with the model. It is not sandboxed.")
