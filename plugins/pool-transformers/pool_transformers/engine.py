"""The model itself: loads it, and answers a batch. Imports torch and transformers."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from threading import Event
from typing import Any

import torch
from jinja2 import TemplateError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessorList,
    StoppingCriteriaList,
)

from pool_core.errors import BackendError
from pool_core.interfaces.local_model import make_turns
from pool_core.interfaces.values import Answer, Cause, Prompt, Usage
from pool_transformers.config import TransformersConfig
from pool_transformers.rows import Job, NoRoomError, cut_at_stop
from pool_transformers.sampling import EachRowEnds, EachRowSamples, Ends

__all__ = ["TorchEngine"]

#: What stands in errors of torch that have no class of their own: the processor's memory, and cuBLAS's.
_NO_MEMORY = ("DefaultCPUAllocator: can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")


class TorchEngine:
    """A causal language model and its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any, name: str) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._name = name
        self._stopping = Event()
        # what a map leaves to the processor lies on "meta", and goes to the first real device when it is used
        devices = (weights.device for weights in model.parameters())
        self._device = next((device for device in devices if device.type != "meta"), torch.device("cpu"))
        own = self._own = model.generation_config
        model.generation_config = _quiet(own)
        eos = own.eos_token_id if own.eos_token_id is not None else tokenizer.eos_token_id
        self._ends = frozenset(eos if isinstance(eos, list | tuple) else [] if eos is None else [eos])
        self._pad = tokenizer.pad_token_id
        if self._pad is None:
            self._pad = next(iter(self._ends), 0)
        tokenizer.padding_side = "left"
        self._window: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)

    @classmethod
    def load(cls, config: TransformersConfig) -> TorchEngine:
        """Load model and tokenizer.

        Raises:
            BackendError: the model cannot be loaded; the member is stopped.
        """
        options: dict[str, Any] = {"revision": config.revision, "trust_remote_code": config.trust_remote_code}
        device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            tokenizer = AutoTokenizer.from_pretrained(config.model, **options)
            model = AutoModelForCausalLM.from_pretrained(
                config.model, dtype=config.dtype, device_map=config.device_map, **options
            )
            if config.device_map is None:
                model.to(device)
        except torch.OutOfMemoryError as error:
            raise BackendError(
                Cause.BAD_REQUEST,
                f"the model {config.model} does not fit the device's memory: {error}",
                hint="use a smaller dtype, or `device_map: auto` over several devices",
            ) from error
        except (OSError, ValueError, ImportError) as error:
            raise BackendError(Cause.BAD_REQUEST, f"the model {config.model} cannot be loaded: {error}") from error
        if config.takes == "chat" and not tokenizer.chat_template:
            raise BackendError(
                Cause.BAD_REQUEST,
                f"the model {config.model} has no chat template",
                hint="write `takes: text` in the backend and a `prompt_format` in the member",
            )
        model.eval()
        return cls(model, tokenizer, config.known_as)

    def stop(self) -> None:
        """Let `generate` end with the next token."""
        self._stopping.set()

    def generate(self, jobs: Sequence[Job]) -> list[Answer | BackendError]:
        """Answer a batch.

        Raises:
            NoRoomError: it does not fit the memory.
        """
        found: list[Answer | BackendError | None] = [None] * len(jobs)
        prompts: dict[int, list[int]] = {}
        for number, job in enumerate(jobs):
            try:
                prompts[number] = self._write_prompt(job.prompt)
            except BackendError as error:
                found[number] = error
        if prompts:
            answers = self._try_to_generate([jobs[number] for number in prompts], list(prompts.values()))
            for number, answer in zip(prompts, answers, strict=True):
                found[number] = answer
        return [one for one in found if one is not None]

    def _write_prompt(self, prompt: Prompt) -> list[int]:
        """The tokens of a prompt. Raises `BackendError` where it has none, or too many."""
        if prompt.text is not None:
            tokens = self._tokenizer(prompt.text)["input_ids"]
        else:
            try:
                text = self._tokenizer.apply_chat_template(
                    make_turns(prompt.messages), tokenize=False, add_generation_prompt=True
                )
            except TemplateError as error:
                raise BackendError(Cause.BAD_REQUEST, f"the model's chat template refuses it: {error}") from error
            tokens = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        if not tokens:
            raise BackendError(Cause.BAD_REQUEST, "the prompt has no tokens")
        if self._window is not None and len(tokens) >= self._window:
            raise BackendError(
                Cause.CONTEXT_LENGTH,
                f"the prompt has {len(tokens):,} tokens, and the model takes {self._window:,} with the answer",
                hint="shorten the prompt",
            )
        return list(tokens)

    def _try_to_generate(self, jobs: Sequence[Job], prompts: Sequence[list[int]]) -> list[Answer]:
        """Answer prompts. Raises `NoRoomError`; the memory is then given back, for others that use the device."""
        try:
            return self._generate(jobs, prompts)
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
            reason = str(error).partition("\n")[0]
        if torch.cuda.is_available():  # here, since the error holds the batch that failed
            torch.cuda.empty_cache()
        raise NoRoomError(reason)

    def _generate(self, jobs: Sequence[Job], prompts: Sequence[list[int]]) -> list[Answer]:
        device, longest = self._device, max(map(len, prompts))
        ids = torch.full((len(jobs), longest), self._pad, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, tokens in enumerate(prompts):
            ids[row, longest - len(tokens) :] = torch.tensor(tokens)
            mask[row, longest - len(tokens) :] = 1
        most = [self._limit(job, len(tokens)) for job, tokens in zip(jobs, prompts, strict=True)]
        ends = [Ends(limit, job.stop) for limit, job in zip(most, jobs, strict=True)]
        with torch.inference_mode():
            made = self._model.generate(
                ids.to(device),
                attention_mask=mask.to(device),
                generation_config=GenerationConfig(
                    do_sample=False,  # the processor has drawn: the highest score is the sample
                    max_new_tokens=max(most),
                    eos_token_id=sorted(self._ends) or None,
                    pad_token_id=self._pad,
                ),
                logits_processor=LogitsProcessorList(
                    [EachRowSamples(jobs, self._own, [longest - len(one) for one in prompts])]
                ),
                stopping_criteria=StoppingCriteriaList([EachRowEnds(ends, longest, self._tokenizer, self._stopping)]),
            )
        new = made[:, longest:].tolist()
        return [
            self._read(tokens, limit, job, len(prompt))
            for tokens, limit, job, prompt in zip(new, most, jobs, prompts, strict=True)
        ]

    def _limit(self, job: Job, length: int) -> int:
        """Most tokens of the answer: what was asked for, and what the model has room for."""
        return job.max_tokens if self._window is None else min(job.max_tokens, self._window - length)

    def _read(self, tokens: list[int], limit: int, job: Job, length: int) -> Answer:
        """The answer in a row of new tokens; what stands behind its end is padding."""
        tokens = tokens[:limit]
        end = next((place for place, token in enumerate(tokens) if token in self._ends), None)
        body = tokens if end is None else tokens[:end]
        text, stopped = cut_at_stop(self._tokenizer.decode(body, skip_special_tokens=True), job.stop)
        used = len(body) + (end is not None)
        if stopped:
            used = self._count_until_stop(body, job.stop)
        finish = "stop" if stopped or end is not None else "length"
        return Answer(text, finish, Usage(length, used), self._name)

    def _count_until_stop(self, tokens: list[int], stops: Sequence[str]) -> int:
        """Tokens that were made until a stop string was complete; behind them is padding."""
        low, high = 1, len(tokens)
        while low < high:
            middle = (low + high) // 2
            if cut_at_stop(self._tokenizer.decode(tokens[:middle], skip_special_tokens=True), stops)[1]:
                high = middle
            else:
                low = middle + 1
        return low


def _quiet(own: Any) -> Any:
    """A model's generation configuration without what `EachRowSamples` does, and without beams.

    What a call says is overridden by the model's own wherever it is also the library's default, in some versions.
    """
    quiet = deepcopy(own)
    quiet.do_sample, quiet.num_beams, quiet.repetition_penalty = False, 1, 1.0
    quiet.temperature = quiet.top_k = quiet.top_p = quiet.min_p = None
    return quiet


def _is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(text in str(error) for text in _NO_MEMORY)
