"""Arguments of the engine."""

from dataclasses import dataclass


@dataclass
class AsyncEngineArgs:
    """Those that the tests use."""

    model: str
    revision: str | None = None
    dtype: str = "auto"
    max_model_len: int = 400
    stub_seconds: float = 0.0
