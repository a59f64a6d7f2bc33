"""What the engine is asked for and what it gives, without any of its libraries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pool_core.errors import BackendError
from pool_core.interfaces.values import Answer, Prompt

__all__ = ["PARAMETERS", "Engine", "Job", "NoRoomError", "cut_at_stop"]

#: Sampling parameters that are honoured.
PARAMETERS = frozenset({"temperature", "top_p", "top_k", "min_p", "max_tokens", "stop", "seed", "repetition_penalty"})


class NoRoomError(Exception):
    """The batch does not fit the device's memory."""


@dataclass(frozen=True, slots=True)
class Job:
    """One row of a batch."""

    prompt: Prompt
    max_tokens: int
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None

    @classmethod
    def make(cls, prompt: Prompt, sampling: Mapping[str, Any], max_tokens: int) -> Job:
        """The job of a prompt. ``max_tokens`` holds where the sampling parameters do not say."""
        stop = sampling.get("stop") or ()
        values = {name: value for name, value in sampling.items() if name in PARAMETERS}
        stops = (stop,) if isinstance(stop, str) else tuple(stop)
        return cls(prompt, **{"max_tokens": max_tokens, **values, "stop": tuple(filter(None, stops))})


class Engine(Protocol):
    """A model that is loaded."""

    def generate(self, jobs: Sequence[Job]) -> Sequence[Answer | BackendError]:
        """Answer ``jobs``, in their order. Blocks.

        Raises:
            NoRoomError: they do not fit the memory together.
        """

    def stop(self) -> None:
        """Let `generate` end soon. May be called by another thread."""


def cut_at_stop(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """``text`` up to the first of the stop strings, and whether there is one."""
    places = [place for place in (text.find(stop) for stop in stops) if place >= 0]
    return (text[: min(places)], True) if places else (text, False)
