"""Each row of a batch is sampled and ended as its own request says."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any

import torch
from transformers import LogitsProcessor, StoppingCriteria
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from pool_transformers.rows import Job

__all__ = ["EachRowEnds", "EachRowSamples", "Ends"]

_SEEDS = 2**63


class EachRowSamples(LogitsProcessor):
    """Draws the next token of each row with the row's own parameters and generator.

    `generate` itself has one set of parameters and one random source for a whole batch. Here the scores get noise of
    the Gumbel distribution, and the highest one is then a sample of the softmax ("Gumbel-max", Gumbel 1954; see
    Maddison, Tarlow and Minka, "A* Sampling", 2014). So a row's seed decides its text whatever the other rows are.
    """

    def __init__(self, jobs: Sequence[Job], defaults: Any, starts: Sequence[int]) -> None:
        """Prepare.

        Args:
            defaults: the model's own generation configuration, for parameters that a request does not set.
            starts: where each row's prompt begins; before it is padding, which is no part of the row.
        """
        self._rows = [_Row(job, defaults) for job in jobs]
        self._starts = starts

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The scores of the next token."""
        rows = enumerate(zip(self._rows, self._starts, strict=True))
        return torch.cat([row.draw(input_ids[n : n + 1, start:], scores[n : n + 1]) for n, (row, start) in rows])


class _Row:
    def __init__(self, job: Job, defaults: Any) -> None:
        self._processors: list[Any] = []
        penalty = job.repetition_penalty
        if penalty is None:
            penalty = getattr(defaults, "repetition_penalty", None)
        if penalty not in (None, 1.0):
            self._processors.append(RepetitionPenaltyLogitsProcessor(float(penalty)))
        asked = {name: getattr(job, name) for name in ("temperature", "top_k", "top_p", "min_p")}
        if getattr(defaults, "do_sample", False):
            asked = {name: getattr(defaults, name, None) if value is None else value for name, value in asked.items()}
            asked["temperature"] = 1.0 if asked["temperature"] is None else asked["temperature"]
        self._generator: torch.Generator | None = None
        if not asked["temperature"]:  # 0, or not set where the model's own way is the most likely token
            return
        seed = secrets.randbelow(_SEEDS) if job.seed is None else job.seed % _SEEDS
        self._generator = torch.Generator().manual_seed(seed)
        self._processors.append(TemperatureLogitsWarper(float(asked["temperature"])))
        if asked["top_k"]:
            self._processors.append(TopKLogitsWarper(asked["top_k"]))
        if asked["top_p"] is not None and asked["top_p"] < 1:
            self._processors.append(TopPLogitsWarper(asked["top_p"]))
        if asked["min_p"]:
            self._processors.append(MinPLogitsWarper(asked["min_p"]))

    def draw(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores = scores.float()
        for process in self._processors:
            scores = process(ids, scores)
        if self._generator is None:
            return scores
        # drawn on the processor, so that a seed means the same on every device
        noise = torch.empty(scores.shape, dtype=torch.float64).exponential_(generator=self._generator).log().neg()
        return scores + noise.to(scores.device, scores.dtype)


@dataclass(frozen=True, slots=True)
class Ends:
    """When a row ends besides at the model's own end."""

    max_tokens: int
    stop: tuple[str, ...]


class EachRowEnds(StoppingCriteria):
    """Ends each row at its own limit and stop strings, and all of them when the backend closes."""

    def __init__(self, ends: Sequence[Ends], start: int, tokenizer: Any, stopping: Event) -> None:
        self._ends = ends
        self._start = start
        self._tokenizer = tokenizer
        self._stopping = stopping

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_options: Any) -> torch.Tensor:
        """Whether each row is done."""
        length = input_ids.shape[1] - self._start
        done = [
            self._stopping.is_set() or length >= ends.max_tokens or self._has_stop(input_ids[row, self._start :], ends)
            for row, ends in enumerate(self._ends)
        ]
        return torch.tensor(done, dtype=torch.bool, device=input_ids.device)

    def _has_stop(self, tokens: torch.Tensor, ends: Ends) -> bool:
        """Whether a stop string stands in the last tokens. One has no more tokens than bytes."""
        if not ends.stop:
            return False
        most = max(len(stop.encode("utf-8", "surrogatepass")) for stop in ends.stop) + 4
        text = self._tokenizer.decode(tokens[-most:], skip_special_tokens=True)
        return any(stop in text for stop in ends.stop)
