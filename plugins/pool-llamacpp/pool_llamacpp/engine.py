"""The model itself. Imports llama_cpp."""

from __future__ import annotations

import json
from collections.abc import Mapping
from threading import Event
from typing import Any

from jinja2 import TemplateError
from llama_cpp import Llama, LlamaGrammar, StoppingCriteriaList
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from pool_core.errors import BackendError
from pool_core.interfaces.local_model import make_turns
from pool_core.interfaces.values import Answer, Cause, Prompt, Usage
from pool_llamacpp.config import LlamaCppConfig

__all__ = ["LlamaEngine"]


class LlamaEngine:
    """A GGUF file, loaded. One request at a time."""

    def __init__(self, llama: Any, config: LlamaCppConfig) -> None:
        self._llama = llama
        self._name = config.name or config.path.name
        self._formatter = _make_formatter(llama, config) if config.takes == "chat" else None
        self._grammar = _make_grammar(config.grammar) if config.grammar is not None else None
        self._stopping = Event()

    @classmethod
    def load(cls, config: LlamaCppConfig) -> LlamaEngine:
        """Load the file.

        Raises:
            BackendError: it cannot be loaded; the member is stopped.
        """
        try:
            llama = Llama(
                str(config.path),
                n_ctx=config.context,
                n_gpu_layers=config.gpu_layers,
                n_threads=config.threads,
                verbose=False,
            )
        except ValueError as error:
            raise BackendError(
                Cause.BAD_REQUEST,
                f"the model {config.path} cannot be loaded: {error}",
                hint="check that it is a GGUF file of a model that this llama.cpp knows, and that it fits the memory",
            ) from error
        return cls(llama, config)

    def stop(self) -> None:
        """Let `answer` end with the next token."""
        self._stopping.set()

    def close(self) -> None:
        """Free the memory."""
        self._llama.close()

    def answer(self, prompt: Prompt, options: Mapping[str, Any]) -> Answer:
        """Answer a prompt.

        Args:
            options: of `Llama.create_completion`.

        Raises:
            BackendError: the prompt has too many tokens, or its schema cannot be a grammar.
        """
        tokens = self._write_prompt(prompt)
        window = self._llama.n_ctx()
        if len(tokens) >= window:
            raise BackendError(
                Cause.CONTEXT_LENGTH,
                f"the prompt has {len(tokens):,} tokens, and there is room for {window:,} with the answer",
                hint="shorten the prompt, or raise `context` if the model knows more",
            )
        grammar = self._grammar if prompt.schema is None else _make_schema_grammar(prompt.schema)
        made = self._llama.create_completion(
            tokens,
            **options,
            grammar=grammar,
            stopping_criteria=StoppingCriteriaList([lambda _tokens, _scores: self._stopping.is_set()]),
        )
        choice, usage = made["choices"][0], made["usage"]
        return Answer(
            choice["text"],
            choice["finish_reason"],
            Usage(usage["prompt_tokens"], usage["completion_tokens"]),
            self._name,
        )

    def _write_prompt(self, prompt: Prompt) -> list[int]:
        """The tokens of a prompt."""
        if prompt.text is not None:
            return list(self._llama.tokenize(_encode(prompt.text), add_bos=True, special=True))
        assert self._formatter is not None
        try:
            made = self._formatter(messages=make_turns(prompt.messages))
        except (TemplateError, ValueError) as error:
            raise BackendError(Cause.BAD_REQUEST, f"the model's chat template refuses it: {error}") from error
        return list(self._llama.tokenize(_encode(made.prompt), add_bos=not made.added_special, special=True))


def _make_formatter(llama: Any, config: LlamaCppConfig) -> Any:
    template = llama.metadata.get("tokenizer.chat_template")
    if not template:
        raise BackendError(
            Cause.BAD_REQUEST,
            f"the model {config.path} has no chat template",
            hint="write `takes: text` in the backend and a `prompt_format` in the member",
        )
    begin, end = llama.token_bos(), llama.token_eos()
    return Jinja2ChatFormatter(
        template=template,
        eos_token=_name_token(llama, end),
        bos_token=_name_token(llama, begin),
        stop_token_ids=[end],
    )


def _name_token(llama: Any, token: int) -> str:
    return "" if token < 0 else str(llama._model.token_get_text(token))  # noqa: SLF001 - as the library's own handlers


def _make_grammar(text: str) -> Any:
    return LlamaGrammar.from_string(text, verbose=False)


def _make_schema_grammar(schema: Mapping[str, Any]) -> Any:
    """The grammar of a JSON Schema. Raises `BackendError` where there is none."""
    try:
        return LlamaGrammar.from_json_schema(json.dumps(schema), verbose=False)
    except Exception as error:
        raise BackendError(
            Cause.BAD_REQUEST,
            f"the task's schema cannot be a grammar of llama.cpp: {type(error).__name__}: {error}",
            stops_member=True,
            hint="simplify the task's output fields",
        ) from error


def _encode(text: str) -> bytes:
    """A lone surrogate is no character, so the model gets the sign for that."""
    return text.encode("utf-8", "replace")
