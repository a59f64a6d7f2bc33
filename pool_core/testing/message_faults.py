"""What goes wrong with calls to a server of Anthropic's Messages API, by name; see `faults`, whose tables these extend.

Faults of connections and bytes are those of any server. Statuses, waits and answers are in this API's own shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from pool_core.interfaces.values import Cause
from pool_core.testing.faults import FAULTS
from pool_core.testing.messages import make_message_body, make_message_error
from pool_core.testing.replies import Fault, ReceivedRequest, Reply, make_echo

__all__ = ["MESSAGE_FAULTS"]

#: The faults that do not depend on what an API's bodies look like.
_OF_ANY_SERVER = tuple(
    FAULTS[name]
    for name in (
        *("redirect", "reset-first", "reset-headers", "reset-body", "reset-chunks", "hang-up"),
        *("slow-first", "slow-headers", "slow-body", "stalled-body", "short-body", "no-http"),
        *("cut-json", "long-body", "bad-utf8", "html", "empty-body", "deep-json", "bad-gzip"),
        *("huge-body", "gzip-bomb", "wrong-type", "nan", "huge-integer", "double-key"),
    )
)

_STATUSES = {
    400: Cause.BAD_REQUEST,
    401: Cause.AUTH,
    402: Cause.QUOTA_EXHAUSTED,
    403: Cause.AUTH,
    404: Cause.BAD_REQUEST,
    409: Cause.SERVER,
    413: Cause.CONTEXT_LENGTH,
    429: Cause.RATE_LIMIT,
    500: Cause.SERVER,
    502: Cause.SERVER,
    503: Cause.SERVER,
    504: Cause.TIMEOUT,
    529: Cause.OVERLOADED,
}

_LEFT, _RESET = "anthropic-ratelimit-{}-remaining", "anthropic-ratelimit-{}-reset"
#: The reply's own date, and one that is six seconds later as the API writes it.
_DATE, _LATER = "Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:43Z"


def _fail(status: int, message: str = "It failed.", headers: Mapping[str, Any] | None = None, kind: str = "") -> Any:
    reply = Reply(status, make_message_error(status, message, kind or None), headers or {})
    return lambda request: reply


def _answer(text: str | None, **parts: Any) -> Callable[[ReceivedRequest], Reply]:
    reply = Reply(body=make_message_body(text, **parts))
    return lambda request: reply


def _use_up(counted: str, reset: str) -> Callable[[ReceivedRequest], Reply]:
    headers = {"Date": _DATE, _LEFT.format(counted): "0", _RESET.format(counted): reset}
    return lambda request: replace(make_echo(request), headers=headers)


def _change(change: Callable[[dict[str, Any]], object]) -> Callable[[ReceivedRequest], Reply]:
    def make(request: ReceivedRequest) -> Reply:
        body = dict(make_echo(request).body)  # type: ignore[arg-type]
        change(body)
        return Reply(body=body)

    return make


_TOOL_USE = {"type": "tool_use", "id": "toolu_1", "name": "search", "input": {}}
_THINKING = {"type": "thinking", "thinking": "Let me see.", "signature": "c2ln"}
_REFUSED = {"type": "refusal", "category": "cyber", "explanation": "I would rather not."}
_NAN = float("nan")
_LIMITED, _NO_CREDIT = Cause.RATE_LIMIT, Cause.QUOTA_EXHAUSTED

_OWN = (
    *(
        Fault(f"status-{status}", f"status {status}", _fail(status), cause, stops_member=status == HTTPStatus.NOT_FOUND)
        for status, cause in _STATUSES.items()
    ),
    Fault("overloaded", "500, `overloaded_error`", _fail(500, kind="overloaded_error"), Cause.OVERLOADED),
    Fault("too-long", "400 that speaks of the length", _fail(400, "prompt is too long: 9 > 8"), Cause.CONTEXT_LENGTH),
    Fault(
        "no-credit",
        "400 that speaks of the credit",
        _fail(400, "Your credit balance is too low."),
        Cause.QUOTA_EXHAUSTED,
    ),
    Fault("wait-seconds", "429, `retry-after: 1`", _fail(429, headers={"retry-after": "1"}), Cause.RATE_LIMIT, 1.0),
    Fault(
        "wait-day", "429, `retry-after: 86400`", _fail(429, headers={"retry-after": "86400"}), Cause.RATE_LIMIT, 86400.0
    ),
    Fault("wait-text", "429, `retry-after: soon`", _fail(429, headers={"retry-after": "soon"}), Cause.RATE_LIMIT),
    Fault(
        "wait-used-up",
        "429; nothing is left of the tokens",
        _fail(429, headers={"Date": _DATE, _LEFT.format("tokens"): "0", _RESET.format("tokens"): _LATER}),
        Cause.RATE_LIMIT,
        6.0,
    ),
    *(
        Fault(f"used-up-{counted}", f"an answer; nothing is left of the {counted}", _use_up(counted, _LATER), pause=6.0)
        for counted in ("requests", "tokens", "input-tokens", "output-tokens")
    ),
    Fault("used-up-unknown", "an answer; nothing is left until `soon`", _use_up("requests", "soon")),
    Fault("inner-error", "200 with an error", lambda request: Reply(body=make_message_error(500, "x")), Cause.SERVER),
    Fault(
        "inner-overload",
        "200 with an `overloaded_error`",
        lambda request: Reply(body=make_message_error(529, "x")),
        Cause.OVERLOADED,
    ),
    *(
        Fault(f"{name}-content", f"`content` {what}", _change(change), Cause.BAD_REPLY, maybe_billed=True)
        for name, what, change in (
            ("no", "is missing", lambda body: body.pop("content")),
            ("null", "is null", lambda body: body.update(content=None)),
            ("text", "is a text", lambda body: body.update(content="x")),
        )
    ),
    Fault("empty-content", "`content: []`", _answer(None)),
    Fault("refusal", "`stop_reason: refusal`", _answer(None, stop_reason="refusal", stop_details=_REFUSED)),
    Fault("late-refusal", "a text that a refusal ends", _answer("First you", stop_reason="refusal")),
    Fault("length", "`stop_reason: max_tokens`", _answer("Once upon a", stop_reason="max_tokens")),
    Fault("window", "the context window is full", _answer("Once", stop_reason="model_context_window_exceeded")),
    Fault("pause", "`stop_reason: pause_turn`", _answer("Let me", stop_reason="pause_turn")),
    Fault("stop-sequence", "a stop sequence", _answer("One", stop_reason="stop_sequence", stop_sequence="two")),
    Fault("tool-use", "a call of a tool, and no text", _answer(None, stop_reason="tool_use", before=[_TOOL_USE])),
    Fault("thinking", "thinking before the text", _answer("So.", before=[_THINKING])),
    Fault("odd-block", "a content block that nobody knows", _answer("So.", before=[{"type": "hologram", "x": 1}])),
    Fault("odd-reason", "a `stop_reason` that nobody knows", _answer("All the same.", stop_reason="because")),
    Fault("odd-letters", "half of a surrogate pair, NUL, U+2028, U+202E", _answer("a\ud800b\0c\u2028d\u202ee")),
    Fault("no-usage", "no usage", _change(lambda body: body.pop("usage"))),
    Fault("negative-usage", "less than no tokens", _answer("So.", usage={"input_tokens": -1, "output_tokens": -2})),
    Fault("nan-usage", "`NaN` tokens", _answer("So.", usage={"input_tokens": _NAN, "output_tokens": 1})),
)

#: Every fault, by name.
MESSAGE_FAULTS: dict[str, Fault] = {fault.name: fault for fault in (*_OWN, *_OF_ANY_SERVER)}
