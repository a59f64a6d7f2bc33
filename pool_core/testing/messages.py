"""What a server of Anthropic's Messages API says: answers, errors and the echo; for `server.ScriptedServer`.

The shapes are those of the API's own types, as the official client of 2026 reads them.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["MESSAGE_FIELDS", "MESSAGE_PATH", "find_message_fault", "make_message_body", "make_message_error"]

MESSAGE_PATH = "/v1/messages"

#: The fields that a request may have. Others are refused, as the API does.
MESSAGE_FIELDS = frozenset(
    {
        "cache_control",
        "container",
        "inference_geo",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "output_config",
        "service_tier",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    }
)

#: The type of the error of each status.
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def make_message_body(
    text: str | None, *, stop_reason: str = "end_turn", before: Sequence[Mapping[str, Any]] = (), **more: Any
) -> dict[str, Any]:
    """The body of an answer with ``text``, after the content blocks ``before``. ``more`` sets fields of the message."""
    blocks = [*before, *([] if text is None else [{"type": "text", "text": text}])]
    return {
        "id": f"msg_{zlib.crc32((text or '').encode('utf-8', 'surrogatepass')):08x}",
        "type": "message",
        "role": "assistant",
        "model": "scripted-model",
        "content": blocks,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 7,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": len((text or "").split()),
            "service_tier": "standard",
        },
    } | more


def make_message_error(status: int, message: str, kind: str | None = None) -> dict[str, Any]:
    """The body of an error as Anthropic writes it; ``kind`` is its type, by default that of the status."""
    kind = kind or _ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")  # noqa: PLR2004
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_scripted"}


def find_message_fault(headers: Mapping[str, str], body: Any) -> str:
    """What the API would refuse in a request, in its words; empty where it would answer."""
    if "anthropic-version" not in headers:
        return "anthropic-version: header is required"
    if not isinstance(body, dict):
        return "The request body is not valid JSON"
    for name in ("model", "max_tokens", "messages"):
        if name not in body:
            return f"{name}: Field required"
    for name in body:
        if name not in MESSAGE_FIELDS:
            return f"{name}: Extra inputs are not permitted"
    if not isinstance(body["messages"], list) or not body["messages"]:
        return "messages: at least one message is required"
    if any(message.get("role") not in ("user", "assistant") for message in body["messages"]):
        return "messages: Unexpected role. Use the top-level `system` parameter for system prompts"
    return ""
