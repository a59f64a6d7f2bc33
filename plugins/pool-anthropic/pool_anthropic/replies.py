"""What comes back: the bodies of replies become answers. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from pool_core.http.causes import read_complaint
from pool_core.http.failures import Failures
from pool_core.interfaces.values import Answer, Usage

__all__ = ["STOP_REASONS", "decode_reply"]

T = TypeVar("T")

#: Why a model stopped: the API's word, and the pool's. One that is not here is kept.
STOP_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    # the turn is not over; only the API's own tools lead to it
    "pause_turn": "length",
    "tool_use": "tool_calls",
    "refusal": "refusal",
}

_USAGE = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


def decode_reply(body: bytes, headers: Mapping[str, str], failures: Failures) -> Answer:
    """Read the body of a reply with status 2xx. What has an unexpected type counts as absent.

    A refusal has no text: what the model had said before it is in ``refusal``. ``extra`` has the message's
    ``id``, the ``request_id``, the blocks of ``thinking`` with their signatures, other blocks that are no text,
    what the cache did (``cache_creation_input_tokens``, ``cache_read_input_tokens``), and ``stop_sequence``.

    Raises:
        BackendError: it holds an error, no content, or is not JSON; nothing else is ever raised.
    """
    reply = _read_object(body, failures)
    if reply.get("type") == "error" or reply.get("error"):
        complaint = read_complaint(reply)
        raise failures.of_inner_error(complaint, body) if complaint else failures.of_missing_answer("content", body)
    content = reply.get("content")
    if not isinstance(content, list):
        raise failures.of_missing_answer("content", body)
    blocks = [block for block in content if isinstance(block, dict)]
    texts = [block["text"] for block in blocks if block.get("type") == "text" and isinstance(block.get("text"), str)]
    text = "".join(texts) if texts else None
    reason = _keep(str, reply.get("stop_reason"))
    refusal = None
    if reason == "refusal":
        refusal, text = text or _explain_refusal(reply.get("stop_details")), None
    return Answer(
        text=text,
        finish_reason=None if reason is None else STOP_REASONS.get(reason, reason),
        usage=_read_usage(reply.get("usage")),
        model=_keep(str, reply.get("model")),
        refusal=refusal,
        reasoning=_join_thinking(blocks),
        tool_calls=[_convert_call(block) for block in blocks if block.get("type") == "tool_use"] or None,
        extra=_collect_extra(reply, blocks, headers),
    )


def _read_object(body: bytes, failures: Failures) -> dict[str, Any]:
    """The reply as plain values. ``NaN`` and numbers that are too large are null: no reason to lose an answer."""
    try:
        text = body.decode("utf-8-sig")
        reply = json.loads(text, parse_constant=lambda _: None, parse_float=_read_float, parse_int=_read_int)
    except (ValueError, RecursionError):
        raise failures.of_unreadable_body(body) from None
    if not isinstance(reply, dict):
        raise failures.of_unreadable_body(body)
    return reply


def _explain_refusal(details: Any) -> str:
    found = details if isinstance(details, dict) else {}
    return _keep(str, found.get("explanation")) or _keep(str, found.get("category")) or "no reason was given"


def _join_thinking(blocks: list[dict[str, Any]]) -> str | None:
    thoughts = [_keep(str, block.get("thinking")) for block in blocks if block.get("type") == "thinking"]
    return "\n\n".join(thought for thought in thoughts if thought) or None


def _convert_call(block: dict[str, Any]) -> dict[str, Any]:
    """A call of a tool in the form that every backend gives it: arguments are JSON text."""
    arguments = json.dumps(block.get("input") or {}, ensure_ascii=False)
    return {
        "id": block.get("id"),
        "type": "function",
        "function": {"name": block.get("name"), "arguments": arguments},
    }


def _collect_extra(
    reply: dict[str, Any], blocks: list[dict[str, Any]], headers: Mapping[str, str]
) -> dict[str, Any] | None:
    usage = _keep(dict, reply.get("usage")) or {}
    kept: list[tuple[str, Any]] = [
        ("id", _keep(str, reply.get("id"))),
        ("request_id", headers.get("request-id")),
        ("thinking", [b for b in blocks if b.get("type") in ("thinking", "redacted_thinking")]),
        (
            "blocks",
            [b for b in blocks if b.get("type") not in ("text", "thinking", "redacted_thinking", "tool_use")],
        ),
        ("stop_sequence", _keep(str, reply.get("stop_sequence"))),
        ("stop_details", _keep(dict, reply.get("stop_details"))),
        *((name, _read_count(usage.get(name))) for name in _USAGE[1:]),
    ]
    return {name: value for name, value in kept if value} or None


def _read_usage(usage: Any) -> Usage | None:
    """The tokens of the call. Those that a cache took or gave are no part of ``input_tokens``, and are added."""
    if not isinstance(usage, dict):
        return None
    counts = [_read_count(usage.get(name)) for name in _USAGE]
    inputs = None if counts[0] is None else sum(count or 0 for count in counts)
    output = _read_count(usage.get("output_tokens"))
    return None if inputs is None and output is None else Usage(inputs, output)


def _read_count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _keep(kind: type[T], value: Any) -> T | None:
    return value if isinstance(value, kind) else None


def _read_float(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _read_int(text: str) -> int | None:
    """A number, None where it has more digits than Python reads."""
    try:
        return int(text)
    except ValueError:
        return None
