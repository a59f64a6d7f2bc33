"""vLLM's engine. Imports vllm; what is used of it stands in tests/stub, and a test holds that against the real one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any

from jinja2 import TemplateError
from vllm import exceptions
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

from pool_core.errors import BackendError
from pool_core.interfaces.local_model import make_turns
from pool_core.interfaces.values import Answer, Cause, Prompt, Usage
from pool_vllm.config import VllmConfig

__all__ = ["VllmEngine"]


def _find_errors(name: str) -> tuple[type[Exception], ...]:
    """The error of vLLM with this name. Earlier releases, such as 0.26, have none of those that are asked for here."""
    found = getattr(exceptions, name, None)
    return () if found is None else (found,)


_FULL: tuple[type[Exception], ...] = _find_errors("GracefulHTTPError")
_REFUSALS: tuple[type[Exception], ...] = (ValueError, *_find_errors("VLLMClientError"))
_FAILURES: tuple[type[Exception], ...] = (EngineGenerateError, *_find_errors("VLLMServerError"))


class VllmEngine:
    """An `AsyncLLM` and its tokenizer."""

    def __init__(self, engine: Any, config: VllmConfig) -> None:
        self._engine = engine
        self._tokenizer = engine.get_tokenizer()
        self._name = config.known_as
        self._window: int = engine.model_config.max_model_len

    @classmethod
    def load(cls, config: VllmConfig) -> VllmEngine:
        """Start the engine and load the model. Must be called on the event loop that asks it.

        Raises:
            BackendError: it cannot be loaded; the member is stopped.
        """
        # It would fork by default, which CUDA does not survive where this process has looked for a GPU.
        os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
        try:
            arguments = AsyncEngineArgs(
                model=config.model, revision=config.revision, dtype=config.dtype, **config.engine
            )
            engine = AsyncLLM.from_engine_args(arguments)
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            hint = "see what vLLM wrote, with `isolate: false`" if isinstance(error, RuntimeError) else ""
            text = f"the model {config.model} cannot be loaded: {error}"
            raise BackendError(Cause.BAD_REQUEST, text, hint=hint) from error
        made = cls(engine, config)
        if config.takes == "chat" and not made._tokenizer.chat_template:
            engine.shutdown()
            raise BackendError(
                Cause.BAD_REQUEST,
                f"the model {config.model} has no chat template",
                hint="write `takes: text` in the backend and a `prompt_format` in the member",
            )
        return made

    def close(self) -> None:
        """Shut the engine down."""
        self._engine.shutdown()

    async def answer(self, id_: str, prompt: Prompt, sampling: Mapping[str, Any]) -> Answer:
        """Answer a prompt. Raises `BackendError`."""
        tokens = self._write_prompt(prompt)
        constraint = None if prompt.schema is None else StructuredOutputsParams(json=dict(prompt.schema))
        try:
            parameters = SamplingParams(
                **sampling, structured_outputs=constraint, output_kind=RequestOutputKind.FINAL_ONLY
            )
            last = None
            async for output in self._engine.generate({"prompt_token_ids": tokens}, parameters, id_):
                last = output
        except asyncio.CancelledError:
            await self._engine.abort(id_)  # vLLM itself does not, as long as it takes the request in
            raise
        except EngineDeadError as error:
            raise BackendError(
                Cause.SERVER,
                f"vLLM's engine is dead: {error}",
                stops_member=True,
                hint="see what the engine wrote, with `isolate: false`; the same command goes on",
            ) from error
        except _FAILURES as error:
            raise BackendError(Cause.SERVER, f"vLLM failed: {error.__cause__ or error}") from error
        except _FULL as error:
            raise BackendError(Cause.OVERLOADED, f"vLLM takes no more at the moment: {error}") from error
        except _REFUSALS as error:
            raise BackendError(Cause.BAD_REQUEST, f"vLLM refuses the request: {error}") from error
        if last is None or not last.outputs:
            raise BackendError(Cause.BAD_REPLY, "vLLM gave no output")
        made = last.outputs[0]
        if made.finish_reason == "abort":
            raise BackendError(Cause.SERVER, "vLLM gave the request up")
        return Answer(made.text, made.finish_reason, Usage(len(tokens), len(made.token_ids)), self._name)

    def _write_prompt(self, prompt: Prompt) -> list[int]:
        """The tokens of a prompt. Raises `BackendError` where it has too many."""
        if prompt.text is not None:
            tokens = list(self._tokenizer.encode(prompt.text))
        else:
            turns = make_turns(prompt.messages)
            try:
                text = self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
            except TemplateError as error:
                raise BackendError(Cause.BAD_REQUEST, f"the model's chat template refuses it: {error}") from error
            tokens = list(self._tokenizer.encode(text, add_special_tokens=False))
        if len(tokens) >= self._window:
            raise BackendError(
                Cause.CONTEXT_LENGTH,
                f"the prompt has {len(tokens):,} tokens, and the model takes {self._window:,} with the answer",
                hint="shorten the prompt, or set `engine: {max_model_len: ...}` if the model knows more",
            )
        return tokens
