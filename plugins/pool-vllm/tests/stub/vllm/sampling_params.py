"""Parameters of a request."""

from dataclasses import dataclass
from enum import Enum


class RequestOutputKind(Enum):
    """What each output has."""

    CUMULATIVE = 0
    DELTA = 1
    FINAL_ONLY = 2


@dataclass
class StructuredOutputsParams:
    """A constraint."""

    json: str | dict | None = None


@dataclass
class SamplingParams:
    """Those that pool-vllm gives."""

    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop: str | list[str] | None = None
    max_tokens: int | None = 16
    min_tokens: int = 0
    output_kind: RequestOutputKind = RequestOutputKind.CUMULATIVE
    structured_outputs: StructuredOutputsParams | None = None

    def __post_init__(self):
        if self.temperature < 0:
            raise ValueError("temperature must be non-negative")
