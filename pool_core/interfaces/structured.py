"""Structured output: a schema in words where nothing constrains an answer, and a look at whether something did."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pool_core.interfaces.encoding import encode_json
from pool_core.interfaces.values import Message, Prompt

__all__ = ["describe_schema", "honours_schema", "write_schema"]


def describe_schema(prompt: Prompt) -> Prompt:
    """``prompt`` with its schema in the words of the first user message, or of its text; unchanged without a schema.

    The first user message is there in every chat, whatever roles a model knows, and stays where it is
    when a cell is asked again.
    """
    if prompt.schema is None:
        return prompt
    told = write_schema(prompt.schema)
    if prompt.text is not None:
        return replace(prompt, text=f"{prompt.text}\n\n{told}\n", schema=None)
    messages = list(prompt.messages)
    place = next((n for n, message in enumerate(messages) if message.role == "user"), None)
    if place is None:
        messages.append(Message("user", told))
    else:
        messages[place] = Message("user", _append(messages[place].content, told))
    return replace(prompt, messages=tuple(messages), schema=None)


def write_schema(schema: Mapping[str, Any]) -> str:
    """What a model is told of ``schema``."""
    plain = encode_json(schema).decode("utf-8", "backslashreplace")
    return f"Answer with one JSON object that satisfies this JSON Schema, and with nothing else:\n{plain}"


def honours_schema(text: str, schema: Mapping[str, Any]) -> bool:
    """Whether ``text`` looks like an answer that was constrained to ``schema``: a JSON object with what it requires.

    A server may take a schema and not act on it, with status 200. What came is the only sign.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and value.keys() >= set(schema.get("required") or ())


def _append(content: str | Sequence[Mapping[str, Any]], told: str) -> str | Sequence[Mapping[str, Any]]:
    if isinstance(content, str):
        return f"{content}\n\n{told}"
    return [*content, {"type": "text", "text": told}]
