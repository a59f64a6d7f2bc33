"""What goes wrong with calls to an OpenAI-compatible server, by name.

A backend's author fires each of them and looks at what the backend makes of it::

    @pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
    def test_fault(fault):
        with ScriptedServer([fault]) as server:
            result = ...  # one call to server.url, with a short time limit where fault.slow
        assert server.fired == {fault.name: 1}
        assert ...  # an answer where fault.cause is None, else a BackendError with that cause
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

from pool_core.interfaces.values import Cause
from pool_core.testing.replies import (
    Fault,
    ReceivedRequest,
    Reply,
    make_chat_body,
    make_echo,
    make_error_body,
    make_text_body,
)

__all__ = ["FAULTS", "make_redirect"]

#: Seconds that a slow server takes: more than anyone waits for it.
SLOW_SECONDS = 60.0
#: Bytes of a body that nobody should read whole.
HUGE_BYTES = 50_000_000
#: A moment, for waits that are named as a date: held against the reply's own ``Date``, it is a second ahead.
_NOW = 784_111_777.0

Make = Callable[[ReceivedRequest], Reply]


def make_redirect(status: int, location: str) -> Fault:
    """The fault of a server that sends its clients to ``location``; ``status`` is one of 3xx."""
    reply = Reply(status, b"", {"Location": location})
    what = f"{status} with `Location: {location}`"
    return Fault(f"redirect-{status}", what, lambda request: reply, Cause.BAD_REQUEST, stops_member=True)


def _bad(name: str, what: str, make: Make) -> Fault:
    """A reply that cannot be read."""
    return Fault(name, what, make, Cause.BAD_REPLY, maybe_billed=True)


def _cut(name: str, what: str, make: Make) -> Fault:
    """A reply that ends in its midst."""
    return Fault(name, what, make, Cause.TRANSPORT, maybe_billed=True)


def _slow(name: str, what: str, make: Make) -> Fault:
    """A reply that takes longer than anyone waits."""
    return Fault(name, what, make, Cause.TIMEOUT, maybe_billed=True, slow=True)


def _give(reply: Reply) -> Make:
    return lambda request: reply


def _fail(status: int, message: str = "It failed.", headers: Mapping[str, Any] | None = None, **error: Any) -> Make:
    return _give(Reply(status, make_error_body(message, **error), headers or {}))


def _answer(text: str | None, **parts: Any) -> Make:
    """A whole reply with ``text``; ``parts`` are those of `make_chat_body`."""

    def make(request: ReceivedRequest) -> Reply:
        if request.path.endswith("/chat/completions"):
            return Reply(body=make_chat_body(text, **parts))
        return Reply(body=make_text_body(text or "", finish_reason=parts.get("finish_reason", "stop")))

    return make


def _change(change: Callable[[dict[str, Any]], object]) -> Make:
    """The echo, after ``change`` was done to its body."""

    def make(request: ReceivedRequest) -> Reply:
        body = dict(make_echo(request).body)  # type: ignore[arg-type]
        change(body)
        return Reply(body=body)

    return make


def _send(write: Callable[[bytes], bytes], headers: Mapping[str, Any] | None = None, **how: Any) -> Make:
    """What ``write`` makes of the bytes of the echo."""

    def make(request: ReceivedRequest) -> Reply:
        return Reply(body=write(json.dumps(make_echo(request).body).encode()), headers=headers or {}, **how)

    return make


def _swap_choices(body: dict[str, Any]) -> None:
    """Make it two choices; the first has the index 1 and another text."""
    (first,) = body["choices"]
    late = json.loads(json.dumps(first).replace("echo: ", "late: "))
    body["choices"] = [{**late, "index": 1}, first]


def _double_choice(body: dict[str, Any]) -> None:
    """Make it two choices; both have the index 0, the second another text."""
    (first,) = body["choices"]
    body["choices"] = [first, json.loads(json.dumps(first).replace("echo: ", "late: "))]


def _halve(body: bytes) -> bytes:
    return body[: len(body) // 2]


def _compress_much(body: bytes) -> bytes:
    return gzip.compress(body + b" " * HUGE_BYTES)


def _spell(headers: Mapping[str, Any]) -> str:
    values = ((name, [value] if isinstance(value, str) else value) for name, value in headers.items())
    return ", ".join(f"`{name}: {value}`" for name, several in values for value in several)


def _use_up(reset: str) -> Make:
    """The echo, with headers that say that nothing is left of a limit."""
    return lambda request: replace(make_echo(request), headers={_LEFT: "0", _RESET: reset})


def _use_usage(usage: Any) -> Make:
    return _change(lambda body: body.update(usage=usage))


_STATUSES = {
    400: Cause.BAD_REQUEST,
    401: Cause.AUTH,
    402: Cause.QUOTA_EXHAUSTED,
    403: Cause.AUTH,
    404: Cause.BAD_REQUEST,
    408: Cause.TIMEOUT,
    409: Cause.SERVER,
    413: Cause.CONTEXT_LENGTH,
    422: Cause.BAD_REQUEST,
    425: Cause.SERVER,
    429: Cause.RATE_LIMIT,
    500: Cause.SERVER,
    502: Cause.SERVER,
    503: Cause.OVERLOADED,
    504: Cause.SERVER,
    529: Cause.OVERLOADED,
}
_WAITS: dict[str, tuple[dict[str, Any], float | None]] = {
    "seconds": ({"Retry-After": "1"}, 1.0),
    "float": ({"Retry-After": "0.3"}, 0.3),
    "date": ({"Retry-After": formatdate(_NOW + 1, usegmt=True), "Date": formatdate(_NOW, usegmt=True)}, 1.0),
    "ms": ({"retry-after-ms": "300", "Retry-After": "9"}, 0.3),
    "day": ({"Retry-After": "86400"}, 86400.0),
    "negative": ({"Retry-After": "-1"}, None),
    "nan": ({"Retry-After": "nan"}, None),
    "inf": ({"Retry-After": "inf"}, None),
    "overflow": ({"Retry-After": "1e400"}, None),
    "text": ({"Retry-After": "soon"}, None),
    "twice": ({"Retry-After": ["1", "2"]}, None),
}
_RESETS = {"minutes": ("6m0s", 360.0), "second": ("1s", 1.0), "ms": ("20ms", 0.02), "unknown": ("1792000000", None)}
_TOOL_CALL = {"id": "call-1", "type": "function", "function": {"name": "search", "arguments": "{}"}}
_LEFT, _RESET = "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"
_NO_QUOTA: dict[str, Any] = {"headers": {"Retry-After": "1"}, "code": "insufficient_quota"}
_ELSEWHERE = {"Location": "http://elsewhere.invalid/v1/chat/completions"}
_CHUNKED, _CLOSE, _GZIP = {"Transfer-Encoding": "chunked"}, {"Connection": "close"}, {"Content-Encoding": "gzip"}
#: More than the body has.
_LONG = {"Content-Length": "100000"}
_PAGE = b"<html><body>Please log in.</body></html>"
_NAN, _INFINITY = float("nan"), float("inf")
_BAD_REQUEST, _TOO_LONG, _NO_CREDIT = Cause.BAD_REQUEST, Cause.CONTEXT_LENGTH, Cause.QUOTA_EXHAUSTED

_STATUS_FAULTS = (
    *(
        Fault(f"status-{status}", f"status {status}", _fail(status), cause, stops_member=status == HTTPStatus.NOT_FOUND)
        for status, cause in _STATUSES.items()
    ),
    Fault("too-long", "400, `context_length_exceeded`", _fail(400, code="context_length_exceeded"), _TOO_LONG),
    Fault("too-long-text", "400 that speaks of the length", _fail(400, "The maximum context length is 8."), _TOO_LONG),
    Fault("filtered-prompt", "400, `content_filter`", _fail(400, code="content_filter"), Cause.CONTENT_FILTER),
    Fault("no-model", "404, `model_not_found`", _fail(404, code="model_not_found"), _BAD_REQUEST, stops_member=True),
    Fault("bad-option", "422 about the field `model`", _fail(422, param="model"), _BAD_REQUEST, stops_member=True),
    Fault("no-quota", "429, `insufficient_quota`, asks to come back", _fail(429, **_NO_QUOTA), _NO_CREDIT, 1.0),
    Fault("no-credit", "400 that speaks of the credit", _fail(400, "Your credit balance is too low."), _NO_CREDIT),
    Fault("redirect", "307 to another server", _give(Reply(307, b"", _ELSEWHERE)), _BAD_REQUEST, stops_member=True),
)

_WAIT_FAULTS = (
    *(
        Fault(f"wait-{name}", f"429, {_spell(headers)}", _fail(429, headers=headers), Cause.RATE_LIMIT, seconds)
        for name, (headers, seconds) in _WAITS.items()
    ),
    *(
        Fault(f"used-up-{name}", f"an answer; `{_LEFT}: 0`, `{_RESET}: {text}`", _use_up(text), pause=seconds)
        for name, (text, seconds) in _RESETS.items()
    ),
)

_CONNECTION_FAULTS = (
    Fault("reset-first", "reset before a byte of the reply", _give(Reply(cut="before")), Cause.TRANSPORT),
    Fault("reset-headers", "reset within the headers", _give(Reply(cut="headers")), Cause.TRANSPORT),
    _cut("reset-body", "reset within the body", _give(Reply(cut="body"))),
    _cut("reset-chunks", "reset within a body in chunks", _give(Reply(headers=_CHUNKED, cut="body"))),
    Fault("hang-up", "an answer; then ends a connection that it has promised to keep", _give(Reply(cut="after"))),
    _slow("slow-first", "no byte for a minute", _give(Reply(delay=SLOW_SECONDS))),
    _slow("slow-headers", "headers byte by byte", _give(Reply(drip="headers", drip_seconds=1.0))),
    _slow("slow-body", "a body byte by byte", _give(Reply(drip="body", drip_seconds=1.0))),
    _slow("stalled-body", "half a body, then silence", _send(_halve, _LONG)),
    _cut("short-body", "a body that ends before its length", _send(_halve, _LONG | _CLOSE)),
    _bad("no-http", "bytes that are no HTTP", _give(Reply(raw=b"220 smtp ready\r\n\r\n"))),
)

_BODY_FAULTS = (
    _bad("cut-json", "half of the JSON", _send(_halve)),
    _bad("long-body", "a length that cuts the body off", _send(bytes, {"Content-Length": "20"})),
    _bad("bad-utf8", "a byte that is no UTF-8", _send(lambda body: body.replace(b"echo", b"ech\xff"))),
    _bad("html", "200 with a web page", _send(lambda body: _PAGE, {"Content-Type": "text/html"})),
    _bad("empty-body", "200 with no body", _send(lambda body: b"")),
    _bad("deep-json", "100,000 brackets", _send(lambda body: b"[" * 100_000)),
    _bad("bad-gzip", "a body that is not compressed as it says", _send(bytes, _GZIP)),
    Fault("huge-body", "50 MB", _send(lambda body: body + b" " * HUGE_BYTES), _BAD_REQUEST, maybe_billed=True),
    Fault("gzip-bomb", "50 MB in 50 kB", _send(_compress_much, _GZIP), _BAD_REQUEST, maybe_billed=True),
    Fault("wrong-type", "JSON that calls itself a web page", _send(bytes, {"Content-Type": "text/html"})),
    Fault("inner-error", "200 with an error", _give(Reply(body=make_error_body("It failed."))), Cause.SERVER),
    Fault(
        "inner-limit", "200 with an error 429", _give(Reply(body=make_error_body("Wait.", code=429))), Cause.RATE_LIMIT
    ),
    Fault("nan", "`NaN` and `-Infinity` beside the answer", _change(lambda body: body.update(a=_NAN, b=-_INFINITY))),
    Fault("huge-integer", "a number of 5,000 digits", _send(lambda body: b'{"a":' + b"9" * 5000 + b"," + body[1:])),
    Fault("double-key", "a key twice", _send(lambda body: b'{"model":"first",' + body[1:])),
)

_CHOICE_FAULTS = (
    _bad("no-choices", "no `choices`", _change(lambda body: body.pop("choices"))),
    _bad("null-choices", "`choices: null`", _change(lambda body: body.update(choices=None))),
    _bad("empty-choices", "`choices: []`", _change(lambda body: body.update(choices=[]))),
    Fault("more-choices", "two choices, the second one first", _change(_swap_choices)),
    Fault("double-choice", "two choices with one index", _change(_double_choice)),
)

#: Replies that are answers; what they are worth is for the pool to say.
_ANSWER_FAULTS = (
    Fault("null-content", "`content: null`", _answer(None)),
    Fault("empty-content", "an empty text", _answer("")),
    Fault("refusal", "no text, and a refusal", _answer(None, refusal="I would rather not.")),
    Fault("content-filter", "`finish_reason: content_filter`", _answer("", finish_reason="content_filter")),
    Fault("length", "`finish_reason: length`", _answer("Once upon a", finish_reason="length")),
    Fault(
        "tool-call", "a call of a tool, and no text", _answer(None, finish_reason="tool_calls", tool_calls=[_TOOL_CALL])
    ),
    Fault("odd-reason", "a `finish_reason` that nobody knows", _answer("All the same.", finish_reason="because")),
    Fault("odd-letters", "half of a surrogate pair, NUL, U+2028, U+202E", _answer("a\ud800b\0c\u2028d\u202ee")),
    Fault("no-usage", "no usage", _use_usage(None)),
    Fault("negative-usage", "less than no tokens", _use_usage({"prompt_tokens": -1, "completion_tokens": -2})),
    Fault("nan-usage", "`NaN` tokens", _use_usage({"prompt_tokens": _NAN, "completion_tokens": 1})),
)

#: Every fault, by name.
FAULTS: dict[str, Fault] = {
    fault.name: fault
    for group in (_STATUS_FAULTS, _WAIT_FAULTS, _CONNECTION_FAULTS, _BODY_FAULTS, _CHOICE_FAULTS, _ANSWER_FAULTS)
    for fault in group
}
