"""What the scripted server gets and gives: requests, replies and faults, and their bytes."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Literal

from pool_core.interfaces.values import Cause
from pool_core.testing.messages import MESSAGE_PATH, find_message_fault, make_message_body, make_message_error

__all__ = [
    "Fault",
    "ReceivedRequest",
    "Reply",
    "make_chat_body",
    "make_echo",
    "make_error_body",
    "make_text_body",
    "write_reply",
]


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One request as it arrived."""

    method: str
    path: str
    #: Names in lower case; the values of a repeated header are joined by commas.
    headers: Mapping[str, str]
    #: The body read as JSON, None where it is empty or not JSON.
    body: Any
    raw: bytes
    #: `time.monotonic` when the whole request was there, in seconds.
    received_at: float
    #: Number of the connection that it came on, from 0.
    connection: int
    #: What stands behind the ``?``, by name; the last of several values.
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server does with one request."""

    status: int = 200
    #: Sent as it is, or as JSON. None stands for the echo where the status is 200, else for an error object.
    body: bytes | Mapping[str, Any] | None = None
    #: Added to ``Content-Type`` and ``Content-Length``, or in their place: a false ``Content-Length`` is sent
    #: as it stands, and ``Transfer-Encoding: chunked`` sends the body in chunks. Several values repeat the header.
    headers: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    #: Seconds to wait before the first byte.
    delay: float = 0.0
    #: Send byte by byte: from the headers on, or from the body on.
    drip: Literal["headers", "body"] | None = None
    #: Seconds between two bytes that drip.
    drip_seconds: float = 0.02
    #: Reset the connection: before any byte, within the headers, within the body, or behind the whole reply,
    #: which has promised to keep it.
    cut: Literal["before", "headers", "body", "after"] | None = None
    #: All that is sent, in the place of status, headers and body; then the connection ends.
    raw: bytes | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that can go wrong with a call: what the server does, and what a backend should say of it."""

    name: str
    #: What the server does, in words.
    what: str
    #: Makes the reply to a request.
    make_reply: Callable[[ReceivedRequest], Reply]
    #: The cause of the `BackendError`; None where the reply is an answer all the same.
    cause: Cause | None = None
    #: Seconds that the server asks to wait, None where it does not, or not so that one could know.
    retry_after: float | None = None
    #: Seconds for which an answer says that nothing is left of the limit.
    pause: float | None = None
    stops_member: bool = False
    maybe_billed: bool = False
    #: The server takes longer than anyone waits: give the call a short time limit.
    slow: bool = False


def make_chat_body(text: str | None, *, finish_reason: str = "stop", **message: Any) -> dict[str, Any]:
    """The body of a chat completion with ``text``. ``message`` adds fields to its message."""
    return _make_body(
        "chat.completion", text, finish_reason, {"message": {"role": "assistant", "content": text} | message}
    )


def make_text_body(text: str, *, finish_reason: str = "stop") -> dict[str, Any]:
    """The body of a text completion with ``text``."""
    return _make_body("text_completion", text, finish_reason, {"text": text})


def _make_body(kind: str, text: str | None, finish_reason: str, content: dict[str, Any]) -> dict[str, Any]:
    tokens = len((text or "").split())
    return {
        "id": f"reply-{zlib.crc32((text or '').encode('utf-8', 'surrogatepass')):08x}",
        "object": kind,
        "created": 0,
        "model": "scripted-model",
        "choices": [{"index": 0, **content, "finish_reason": finish_reason, "logprobs": None}],
        "usage": {"prompt_tokens": 7, "completion_tokens": tokens, "total_tokens": 7 + tokens},
    }


def make_error_body(message: str, kind: str = "scripted", **more: Any) -> dict[str, Any]:
    """The body of an error as OpenAI writes it. ``more`` sets ``code`` and ``param``."""
    return {"error": {"message": message, "type": kind, "param": None, "code": None} | more}


def make_echo(request: ReceivedRequest) -> Reply:
    """The echo of a prompt, the list of models, or the error that a real server would give."""
    match request.method, request.path:
        case "GET", "/v1/models":
            return Reply(body={"object": "list", "data": [{"id": "scripted-model", "object": "model"}]})
        case "POST", "/v1/chat/completions":
            name = "messages"
        case "POST", "/v1/completions":
            name = "prompt"
        case "POST", path if path == MESSAGE_PATH:
            return _echo_message(request)
        case method, path:
            return Reply(404, make_error_body(f"no such route: {method} {path}", "invalid_request_error"))
    if not isinstance(request.body, dict) or not request.body.get(name):
        return Reply(400, make_error_body(f"the body needs {name!r}", "invalid_request_error"))
    count = 1 if request.body.get("n") is None else request.body["n"]
    if type(count) is not int or count < 1:
        return Reply(400, make_error_body("'n' is a whole number from 1 on", "invalid_request_error", param="n"))
    text = f"echo: {_read_prompt(request.body[name])}"
    return Reply(body=_repeat(make_chat_body(text) if name == "messages" else make_text_body(text), count))


def _repeat(body: dict[str, Any], count: int) -> dict[str, Any]:
    """``body`` with ``count`` choices; the prompt counts once."""
    (choice,), usage = body["choices"], body["usage"]
    tokens = count * usage["completion_tokens"]
    usage |= {"completion_tokens": tokens, "total_tokens": usage["prompt_tokens"] + tokens}
    return body | {"choices": [choice | {"index": index} for index in range(count)]}


def _echo_message(request: ReceivedRequest) -> Reply:
    fault = find_message_fault(request.headers, request.body)
    if fault:
        return Reply(400, make_message_error(400, fault))
    return Reply(body=make_message_body(f"echo: {_read_prompt(request.body['messages'])}"))


def _read_prompt(prompt: Any) -> str:
    """The text of a prompt, or of the last message of a chat."""
    content = prompt[-1].get("content") if isinstance(prompt, list) and isinstance(prompt[-1], dict) else prompt
    return content if isinstance(content, str) else json.dumps(content)


def write_reply(reply: Reply, request: ReceivedRequest) -> tuple[bytes, bytes]:
    """The bytes of the headers and of the body."""
    if reply.raw is not None:
        return reply.raw, b""
    if reply.body is None:
        said = f"scripted status {reply.status}"
        told = make_message_error(reply.status, said) if request.path == MESSAGE_PATH else make_error_body(said)
        default = make_echo(request) if reply.status == HTTPStatus.OK else Reply(reply.status, told)
        reply = replace(reply, status=default.status, body=default.body)
    body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
    headers: dict[str, str | Sequence[str]] = {"content-type": "application/json"}
    headers |= {name.lower(): value for name, value in reply.headers.items()}
    if headers.get("transfer-encoding") == "chunked":
        chunks = [body[i : i + 65536] for i in range(0, len(body), 65536)]
        body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    else:
        headers.setdefault("content-length", str(len(body)))
    phrase = HTTPStatus(reply.status).phrase if reply.status in set(HTTPStatus) else "Unknown"
    lines = [f"HTTP/1.1 {reply.status} {phrase}"]
    for name, values in headers.items():
        lines += [f"{name}: {value}" for value in ([values] if isinstance(values, str) else values)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1"), body
