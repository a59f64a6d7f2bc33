"""The backend that simulates a model: seeded made-up answers, with faults on demand."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from hashlib import blake2b
from random import Random
from typing import Any, Final, Literal, Self

from pydantic import Field, model_validator

from pool_core.errors import BackendError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.values import Answer, Capabilities, Cause, Prompt, Request, Usage
from pool_replay.made_up import make_code, make_text, make_value
from pool_replay.replay import wait

__all__ = ["Simulate", "SimulateConfig"]

#: The faults in the order in which their shares are laid out.
_FAULTS: Final = ("fail", "rate_limit", "transport", "truncate", "bad_json", "refuse", "empty")
#: Faults that are errors; the others are answers that are no use.
_ERRORS: Final = {
    "fail": (Cause.SERVER, "the server failed"),
    "rate_limit": (Cause.RATE_LIMIT, "too many requests"),
    "transport": (Cause.TRANSPORT, "the connection broke"),
}
_JSON_OPENERS: Final = ("{", "[", '"')
#: Configuration that changes no answer: it is no part of the identity.
_NOT_IN_IDENTITY: Final = {"model", "takes", "latency", "sigma", "retry_after"}
_CHARACTERS_PER_TOKEN: Final = 4
_MASK: Final = 2**64 - 1


def _share(description: str) -> Any:
    return Field(default=0.0, ge=0, le=1, description=f"Share of calls {description}")


class SimulateConfig(PluginConfig):
    """Configuration of `Simulate`. Shares are from 0 to 1 and add up to 1 at most."""

    model: str = Field(default="simulated", description="Name of the model, as outputs show it.")
    seed: int = Field(default=0, description="Other seeds give other answers, times and faults.")
    takes: Literal["chat", "text"] = Field(default="chat", description="Chat messages, or one text.")
    style: Literal["text", "code"] = Field(default="text", description="Plain sentences, or a block of Python.")
    words: int = Field(default=40, ge=1, description="Mean length of an answer in words; from half to three halves.")
    latency: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="Mean time of a call in seconds.")
    sigma: float = Field(default=0.5, ge=0, le=5, description="Spread of the times, which are log-normal.")
    fail: float = _share("that the server fails.")
    rate_limit: float = _share("that are asked to come back later.")
    retry_after: float = Field(default=1.0, ge=0, description="After how many seconds, as the server says.")
    burst: int = Field(
        default=0, ge=0, description="Calls in a row that one burst of rate limits covers; 0: they come one by one."
    )
    transport: float = _share("whose connection breaks.")
    truncate: float = _share("whose answer stops at the token limit.")
    bad_json: float = _share("whose answer is broken JSON, for prompts with a schema.")
    refuse: float = _share("that the model refuses to answer.")
    empty: float = _share("whose answer is empty.")

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        total = math.fsum(getattr(self, name) for name in _FAULTS)
        if total > 1 + 1e-9:
            message = f"the shares {', '.join(_FAULTS)} add up to {total:g}; they may add up to 1 at most"
            raise ValueError(message)
        return self


class Simulate(Backend[SimulateConfig]):
    """Makes answers up: JSON that satisfies the prompt's schema where there is one, else plain text.

    What a call gets, and after how long, is a pure function of the configuration, the request's body
    and sample, and the number of faults that this request had in a row. It depends neither on order
    nor on concurrency. The one exception is ``burst``: there the calls are counted as they come.
    """

    Config = SimulateConfig

    def __init__(self, config: SimulateConfig) -> None:
        super().__init__(config)
        self._salt = (config.seed & _MASK).to_bytes(8, "little")
        self._calls = 0
        self._in_burst = False
        #: Faults in a row, of requests whose last call was one.
        self._faults: dict[bytes, int] = {}
        self._bounds = _lay_out_shares(config)
        self._log_mean = math.log(config.latency) - config.sigma**2 / 2 if config.latency else 0.0
        settings = config.model_dump(exclude=_NOT_IN_IDENTITY, exclude_defaults=True)
        self._identity = "simulate:" + "&".join(f"{name}={value}" for name, value in settings.items())

    @classmethod
    def capabilities(cls, config: SimulateConfig, inner: Mapping[str, Capabilities]) -> Capabilities:
        return Capabilities(takes=config.takes, seed=True, stop=True, schema=True)

    @property
    def model(self) -> str:
        return self.config.model

    @property
    def endpoint(self) -> str:
        return "simulate:"

    @property
    def identity(self) -> str:
        """All configuration that changes an answer."""
        return self._identity

    @property
    def quota(self) -> str:
        """Each simulated model is a server of its own."""
        return f"{self._identity}#{self.config.model}"

    async def generate(self, request: Request) -> Answer:
        salt = self._salt + request.sample.to_bytes(8, "little")
        digest = blake2b(request.body, digest_size=16, salt=salt).digest()
        attempt = self._faults.get(digest, 0)
        rng = Random(int.from_bytes(digest, "little") + attempt)  # noqa: S311 - no secret is made of it
        # always the same draws in the same order, so that no setting changes what it is not about
        fault = self._draw_fault(rng.random())
        seconds = self._draw_latency(rng.random(), rng.random())
        if self._draw_burst():
            fault = "rate_limit"
        elif fault == "bad_json" and request.prompt.schema is None:
            fault = ""
        if fault or seconds > request.timeout:
            self._faults[digest] = attempt + 1
        elif attempt:
            del self._faults[digest]
        await wait(seconds, request.timeout)
        if fault in _ERRORS:
            raise self._make_error(fault)
        return self._make_answer(fault, request, rng)

    def _draw_fault(self, drawn: float) -> str:
        for bound, fault in self._bounds:
            if drawn < bound:
                return fault
        return ""

    def _draw_latency(self, first: float, second: float) -> float:
        """Seconds of a call, log-normal with the configured mean."""
        if not self.config.latency:
            return 0.0
        normal = math.sqrt(-2 * math.log(1 - first)) * math.cos(2 * math.pi * second)
        return math.exp(self._log_mean + self.config.sigma * normal)

    def _draw_burst(self) -> bool:
        """Whether this call, by its number, falls into a burst of rate limits."""
        if not self.config.burst:
            return False
        number, place = divmod(self._calls, self.config.burst)
        self._calls += 1
        if place == 0:
            digest = blake2b(number.to_bytes(8, "little"), digest_size=8, salt=self._salt, person=b"burst").digest()
            self._in_burst = int.from_bytes(digest, "little") / 2**64 < self.config.rate_limit
        return self._in_burst

    def _make_error(self, fault: str) -> BackendError:
        cause, message = _ERRORS[fault]
        return BackendError(
            cause,
            f"{message} (simulated)",
            retry_after=self.config.retry_after if fault == "rate_limit" else None,
            hint=f"It is what `{fault}` asks the backend for.",
        )

    def _make_answer(self, fault: str, request: Request, rng: Random) -> Answer:
        asked = _count_tokens(_measure(request.prompt))
        if fault == "refuse":
            words = "I cannot help with that."
            return Answer(None, "stop", Usage(asked, _count_tokens(len(words))), self.config.model, refusal=words)
        text, finish_reason = _limit(self._make_text(request.prompt, rng), request.sampling)
        if fault == "empty":
            text = ""
        elif fault == "truncate":
            text, finish_reason = _cut(text, rng), "length"
        elif fault == "bad_json":
            text = _cut(text, rng) if text[:1] in _JSON_OPENERS else f"{{{text}"
        return Answer(text, finish_reason, Usage(asked, _count_tokens(len(text))), self.config.model)

    def _make_text(self, prompt: Prompt, rng: Random) -> str:
        if prompt.schema is not None:
            return json.dumps(make_value(prompt.schema, rng), ensure_ascii=False)
        if self.config.style == "code":
            return make_code(rng)
        words = self.config.words
        return make_text(rng, max(1, round(words * (0.5 + rng.random()))))


def _lay_out_shares(config: SimulateConfig) -> list[tuple[float, str]]:
    """The faults, each with the upper end of its part of the line from 0 to 1."""
    bounds = []
    end = 0.0
    for fault in _FAULTS:
        share = getattr(config, fault)
        if share and not (fault == "rate_limit" and config.burst):
            end += share
            bounds.append((end, fault))
    return bounds


def _limit(text: str, sampling: Mapping[str, Any]) -> tuple[str, str]:
    """Stop ``text`` where the sampling parameters ask for it, and say why it stops."""
    stops = sampling.get("stop") or ()
    for stop in [stops] if isinstance(stops, str) else stops:
        text = text.partition(stop)[0] if stop else text
    limit = sampling.get("max_tokens")
    if limit is not None and _count_tokens(len(text)) > limit:
        return text[: limit * _CHARACTERS_PER_TOKEN], "length"
    return text, "stop"


def _cut(text: str, rng: Random) -> str:
    """A part of ``text`` from its start, never all of it."""
    return text[: 1 + int(rng.random() * (len(text) - 1))] if len(text) > 1 else ""


def _measure(prompt: Prompt) -> int:
    """Characters of a prompt."""
    if prompt.text is not None:
        return len(prompt.text)
    return sum(len(turn.content if isinstance(turn.content, str) else str(turn.content)) for turn in prompt.messages)


def _count_tokens(characters: int) -> int:
    return -(-characters // _CHARACTERS_PER_TOKEN)
