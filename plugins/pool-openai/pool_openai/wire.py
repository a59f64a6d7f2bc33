"""What is sent and what comes back: prompts to request bodies, reply bodies to answers. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import msgspec

from pool_core.http.body import add_parameters, encode_body, refuse
from pool_core.http.causes import read_complaint
from pool_core.http.failures import Failures
from pool_core.interfaces.values import Answer, Prompt, Usage
from pool_openai.config import OpenAIConfig
from pool_openai.finish_reasons import FINISH_REASONS
from pool_openai.strict import make_strict

__all__ = ["decode_reply", "encode_request"]

T = TypeVar("T")


def encode_request(config: OpenAIConfig, prompt: Prompt, sampling: Mapping[str, Any]) -> bytes:
    """The body of a request: model, prompt, parameters in the order of their names, schema, ``extra``.

    ``sampling`` may hold a mapping ``extra`` of parameters that only this server knows. Those that are None
    or empty lists are not sent.

    Raises:
        BackendError: the prompt is not of the kind that the API takes, or a parameter cannot be sent.
    """
    body: dict[str, Any] = {"model": config.model}
    if config.api == "chat":
        if prompt.text is not None:
            refuse(
                "the prompt is one text, and api: chat takes messages", "remove prompt_format, or set api: completions"
            )
        body["messages"] = [{"role": one.role, "content": one.content} for one in prompt.messages]
    else:
        if prompt.text is None:
            refuse("the prompt is messages, and api: completions takes one text", "set prompt_format, or set api: chat")
        body["prompt"] = prompt.text
    if sampling:
        add_parameters(body, {name: value for name, value in sampling.items() if name != "extra"}, "sampling")
        add_parameters(body, sampling.get("extra") or {}, "extra of sampling")
    if prompt.schema is not None and config.constrains:
        strict = make_strict(prompt.schema)
        schema = {"name": "output", "schema": prompt.schema if strict is None else strict, "strict": strict is not None}
        add_parameters(body, {"response_format": {"type": "json_schema", "json_schema": schema}}, "the task's schema")
    if config.extra:
        add_parameters(body, config.extra, "extra")
    return encode_body(body)


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[dict[str, Any]] | None = None


class _Choice(msgspec.Struct):
    index: int | None = None
    message: _Message | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: Any = None
    error: Any = None


class _Reply(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: dict[str, Any] | None = None
    model: str | None = None
    id: str | None = None
    error: Any = None


_DECODER = msgspec.json.Decoder(_Reply)


def decode_reply(body: bytes, api: Literal["chat", "completions"], failures: Failures) -> Answer:
    """Read the body of a reply with status 2xx. What has an unexpected type counts as absent.

    ``extra`` of the answer has the reply's ``id`` and ``logprobs``, and the number of ``choices`` where there
    were several: one was asked for, and the first of the lowest index is taken.

    Raises:
        BackendError: it holds an error, no choice, or is not JSON; nothing else is ever raised.
    """
    try:
        reply = _DECODER.decode(body)
    except (ValueError, RecursionError):
        reply = _read_loosely(body, failures)
    choice = _pick_choice(reply.choices) if reply.choices else None
    error = reply.error or (choice.error if choice else None)
    if error:
        complaint = read_complaint({"error": error})
        raise failures.of_inner_error(complaint, body) if complaint else failures.of_missing_answer("choices", body)
    if choice is None or (api == "chat" and choice.message is None) or (api == "completions" and choice.text is None):
        raise failures.of_missing_answer("choices", body)
    message = choice.message or _Message()
    reason = choice.finish_reason
    more = len(reply.choices or ()) if len(reply.choices or ()) > 1 else None
    extra = (("id", reply.id), ("logprobs", choice.logprobs), ("choices", more))
    return Answer(
        text=message.content if api == "chat" else choice.text,
        finish_reason=reason if reason is None else FINISH_REASONS.get(reason.lower(), reason),
        usage=_read_usage(reply.usage),
        model=reply.model,
        refusal=message.refusal or None,
        reasoning=message.reasoning_content or message.reasoning or None,
        tool_calls=message.tool_calls or None,
        extra={name: value for name, value in extra if value} or None,
    )


def _pick_choice(choices: list[_Choice]) -> _Choice:
    """The one choice that was asked for: of several, the first of the lowest index."""
    return choices[0] if len(choices) == 1 else min(choices, key=lambda choice: choice.index or 0)


def _read_usage(usage: dict[str, Any] | None) -> Usage | None:
    if usage is None:
        return None
    counts = (_read_count(usage.get("prompt_tokens")), _read_count(usage.get("completion_tokens")))
    return None if counts == (None, None) else Usage(*counts)


def _read_count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _read_loosely(body: bytes, failures: Failures) -> _Reply:
    """Read what the fast way cannot: halves of surrogate pairs, content in parts, fields of wrong types."""
    try:
        text = body.decode("utf-8-sig")
        tree = json.loads(text, parse_constant=_drop_constant, parse_float=_read_float, parse_int=_read_int)
    except (ValueError, RecursionError):
        raise failures.of_unreadable_body(body) from None
    if not isinstance(tree, dict):
        raise failures.of_unreadable_body(body)
    choices = [_loosen_choice(one) for one in _keep(list, tree.get("choices")) or () if isinstance(one, dict)]
    return _Reply(
        choices=choices,
        usage=_keep(dict, tree.get("usage")),
        model=_keep(str, tree.get("model")),
        id=_keep(str, tree.get("id")),
        error=tree.get("error"),
    )


def _loosen_choice(choice: dict[str, Any]) -> _Choice:
    message = choice.get("message")
    return _Choice(
        index=_keep(int, choice.get("index")),
        message=_loosen_message(message) if isinstance(message, dict) else None,
        text=_keep(str, choice.get("text")),
        finish_reason=_keep(str, choice.get("finish_reason")),
        logprobs=choice.get("logprobs"),
        error=choice.get("error"),
    )


def _loosen_message(message: dict[str, Any]) -> _Message:
    content = message.get("content")
    if isinstance(content, list):
        found = [_keep(str, part.get("text")) for part in content if isinstance(part, dict)]
        texts = [text for text in found if text is not None]
        content = "".join(texts) if texts else None
    calls = [call for call in _keep(list, message.get("tool_calls")) or () if isinstance(call, dict)]
    return _Message(
        content=_keep(str, content),
        refusal=_keep(str, message.get("refusal")),
        reasoning_content=_keep(str, message.get("reasoning_content")),
        reasoning=_keep(str, message.get("reasoning")),
        tool_calls=calls,
    )


def _keep(kind: type[T], value: Any) -> T | None:
    return value if isinstance(value, kind) else None


def _drop_constant(name: str) -> None:
    """Nothing for ``NaN`` and ``Infinity``: they are no JSON, but beside an answer they are no reason to lose it."""


def _read_float(text: str) -> float | None:
    """A number, None where it is beyond all floats: JSON could not hold it when written again."""
    value = float(text)
    return value if math.isfinite(value) else None


def _read_int(text: str) -> int | None:
    """A number, None where it has more digits than Python reads."""
    try:
        return int(text)
    except ValueError:
        return None
