"""The backend ``litellm``: the chat completions of LiteLLM's `acompletion`. LiteLLM is imported when it opens."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any

from pool_core.errors import BackendError
from pool_core.http.body import add_parameters, refuse
from pool_core.http.keys import Key, read_key
from pool_core.http.waits import read_exhaustion
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.encoding import decode_json, encode_json
from pool_core.interfaces.structured import honours_schema
from pool_core.interfaces.values import Answer, Capabilities, Cause, Prompt, Request, Usage
from pool_litellm.causes import read_headers, translate_error
from pool_litellm.config import RESERVED, LiteLLMConfig

__all__ = ["LiteLLM"]

_HINT = "pip install pool-litellm"

_log = logging.getLogger(__name__)


class LiteLLM(Backend[LiteLLMConfig]):
    """Calls LiteLLM once for each request. Its retries and fallbacks are off: those are the pool's."""

    Config = LiteLLMConfig

    def __init__(self, config: LiteLLMConfig) -> None:
        super().__init__(config)
        self._key: Key | None = None
        self._litellm: Any = None
        #: Whether it was logged that a schema was ignored.
        self._told = False

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle has the configuration alone: no key."""
        return type(self), (self.config,)

    @classmethod
    def capabilities(cls, config: LiteLLMConfig, inner: Mapping[str, Capabilities]) -> Capabilities:
        return Capabilities(takes="chat", seed=True, stop=True, schema=config.json_schema)

    @property
    def model(self) -> str:
        return self.config.model

    @property
    def endpoint(self) -> str:
        return f"litellm {self.config.model}" + (f" at {self.config.api_base}" if self.config.api_base else "")

    @property
    def identity(self) -> str:
        return self.endpoint + (f" version {self.config.api_version}" if self.config.api_version else "")

    @property
    def quota(self) -> str:
        where = self.config.api_base or f"litellm {self.config.model.partition('/')[0]}"
        return f"{where} with {self.config.key_reference or 'the key that LiteLLM finds'}"

    def encode(self, prompt: Prompt, sampling: Mapping[str, Any]) -> bytes:
        """The arguments of `acompletion`, as JSON."""
        if prompt.text is not None:
            refuse("the prompt is one text, and LiteLLM's chat takes messages", "remove prompt_format")
        body: dict[str, Any] = {"model": self.config.model}
        body["messages"] = [{"role": one.role, "content": one.content} for one in prompt.messages]
        add_parameters(body, {name: value for name, value in sampling.items() if name != "extra"}, "sampling")
        add_parameters(body, sampling.get("extra") or {}, "extra of sampling")
        for name in sorted(RESERVED.intersection(body) - {"model", "messages", "response_format"}):
            refuse(f"sampling cannot set {name}: the backend does, or the pool", f"remove {name}")
        if prompt.schema is not None and self.config.json_schema:
            form = {"type": "json_schema", "json_schema": {"name": "output", "schema": prompt.schema, "strict": False}}
            add_parameters(body, {"response_format": form}, "the task's schema")
        add_parameters(body, self.config.extra, "extra")
        return encode_json(body)

    async def open(self) -> None:
        """Read the key and import LiteLLM, which takes seconds."""
        import asyncio  # noqa: PLC0415 - a recipe is checked without it

        await self.refresh()
        if self._litellm is None:
            self._litellm = await asyncio.to_thread(_import_litellm)

    async def refresh(self) -> bool:
        reference, known = self.config.key_reference, self._key
        self._key = read_key(reference) if reference else None
        return self._key is not None and (known is None or self._key.reveal() != known.reveal())

    async def generate(self, request: Request) -> Answer:
        if self._litellm is None:
            raise BackendError(Cause.PLUGIN, "the backend is not open", where=self.endpoint, hint="call open() first")
        key, config = self._key, self.config
        where = {"api_base": config.api_base, "api_version": config.api_version, "api_key": key and key.reveal()}
        given = {name: value for name, value in where.items() if value is not None}
        try:
            reply = await self._litellm.acompletion(
                **decode_json(request.body), **given, timeout=request.timeout, num_retries=0, max_retries=0
            )
        except Exception as error:  # noqa: BLE001 - whatever it raises is one of the table's rows, or none
            raise translate_error(error, self.endpoint, key, sent=list(decode_json(request.body))) from None
        answer = _read_reply(reply, self.endpoint)
        seconds = read_exhaustion(read_headers(getattr(reply, "_response_headers", None)))
        if seconds is not None and self.pause is not None:
            self.pause(seconds)  # nothing is left of the limit: the next request would only be refused
        schema = request.prompt.schema if config.json_schema else None
        if schema is None or not answer.text or answer.finish_reason != "stop" or honours_schema(answer.text, schema):
            return answer
        if not self._told:
            self._told = True
            _log.warning(
                "%s: a JSON Schema was sent, and the answer does not look as if it had been heeded", self.endpoint
            )
        return replace(answer, extra={**(answer.extra or {}), "schema": "ignored"})

    async def aclose(self) -> None:
        self._key = self._litellm = None


def _import_litellm() -> Any:
    """LiteLLM, with what it does of its own accord switched off: fetching a price list, words on standard output."""
    import os  # noqa: PLC0415

    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    try:
        module: Any = import_module("litellm")
    except Exception as error:
        text = f"litellm cannot be imported: {type(error).__name__}: {error}"
        raise BackendError(Cause.PLUGIN, text, stops_member=True, hint=_HINT) from error
    module.suppress_debug_info = True
    module.telemetry = False
    return module


def _read_reply(reply: Any, endpoint: str) -> Answer:
    """The answer in what `acompletion` returns. What has an unexpected type counts as absent.

    Raises:
        BackendError: there is none in it.
    """
    try:
        values = reply.model_dump(mode="json")  # not as JSON, which would lose half a surrogate pair with its answer
        choice = values["choices"][0]
        message = choice["message"]
        text, reason = message.get("content"), choice.get("finish_reason")
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        text = f"the reply has no choices: {type(error).__name__}"
        raise BackendError(Cause.BAD_REPLY, text, maybe_billed=True, where=endpoint) from None
    usage = values.get("usage") if isinstance(values.get("usage"), dict) else {}
    extra = (("id", values.get("id")), ("logprobs", choice.get("logprobs")))
    fields = message.get("provider_specific_fields") or {}
    refusal = message.get("refusal") or (fields.get("refusal") if isinstance(fields, dict) else None)
    return Answer(
        text=text if isinstance(text, str) else None,
        finish_reason=reason if isinstance(reason, str) else None,
        usage=_read_usage(usage),
        model=values.get("model") if isinstance(values.get("model"), str) else None,
        refusal=refusal if isinstance(refusal, str) and refusal else None,
        reasoning=message.get("reasoning_content") or None,
        tool_calls=message.get("tool_calls") or None,
        extra={name: value for name, value in extra if value} or None,
    )


def _read_usage(usage: Mapping[str, Any]) -> Usage | None:
    counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    known = [count if type(count) is int and count >= 0 else None for count in counts]
    return None if known == [None, None] else Usage(*known)
