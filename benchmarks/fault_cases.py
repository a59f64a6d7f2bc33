"""The faults as data: what the server does, to which rows, and what is right.

Rows are asked in prompts that name them, as in ``Say hello to row-07.``, so the server knows whose request it
has. Requests that name no row, such as a probe of the model, always get an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from fault_judge import Expectation

from pool_core.testing.server import Reply, make_chat_body

__all__ = ["CONTROL", "FAULTS", "FAULTY", "ROWS", "Case", "Fault"]

#: Rows of each run, and the one that has the fault where only one has it.
ROWS = 20
FAULTY = 7

#: The reply to the n-th request of a row, n counted from 0, given the address of another server; None for an answer.
MakeReply: TypeAlias = Callable[[int, str], Reply | None]


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that a server does."""

    name: str
    make_reply: MakeReply
    expected: Expectation
    #: Whether only the row `FAULTY` meets it, or every row.
    rows: Literal["one", "every"] = "one"
    #: The header that carries the key.
    auth: Literal["bearer", "api-key"] = "bearer"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, in one case or in a few that belong together."""

    name: str
    #: What the server does, and what is right; both for the table.
    title: str
    right: str
    cases: tuple[Case, ...]


#: A failure that may pass: asked again, after waits, at most three times. So do the defaults of AWS' SDKs (3 requests),
#: OpenAI's (3) and Data Designer's (4); more only multiplies an outage.
PASSING = Expectation(2, 4)
#: A reply that came whole, or almost, and is not usable: it was paid for, so it is asked again once at most.
PAID = Expectation(1, 2)
#: A reply that would come again: not asked again.
FINAL = Expectation(1, 1)
#: What stops the whole account: each row asked once at most.
STOPPING = Expectation(0, 1)
#: A wait in seconds that is longer than the first wait that any of the systems chooses itself.
MOMENT = 3.5
AFTER_MOMENT = Expectation(2, 2, "ok", wait=MOMENT)


def _complain(message: str, kind: str, code: str) -> dict[str, Any]:
    """The body of an error, in OpenAI's form and with its words."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


FAILED = _complain("The server had an error while processing your request.", "server_error", "server_error")
LIMITED = _complain("Rate limit reached for requests.", "requests", "rate_limit_exceeded")
NO_QUOTA = _complain(
    "You exceeded your current quota, please check your plan and billing details.",
    "insufficient_quota",
    "insufficient_quota",
)
BAD_KEY = _complain("Incorrect API key provided.", "invalid_request_error", "invalid_api_key")
NO_MODEL = _complain("The model does not exist.", "invalid_request_error", "model_not_found")
HTML = b"<!DOCTYPE html><html><body><h1>Sign in to the network</h1></body></html>"
WHOLE = b'{"id": "a", "object": "chat.completion", "created": 0, "model": "scripted-model", "choices": [{"index": 0, '
BAD_UTF_8 = WHOLE + b'"message": {"role": "assistant", "content": "\xff\xfe"}, "finish_reason": "stop"}]}'
MEGABYTES = 50


def _always(reply: Reply) -> MakeReply:
    return lambda number, other: reply


def _say(text: str | None, finish_reason: str = "stop", **message: Any) -> MakeReply:
    return _always(Reply(body=make_chat_body(text, finish_reason=finish_reason, **message)))


def _once(reply: Reply) -> MakeReply:
    return lambda number, other: None if number else reply


def _redirect(number: int, other: str) -> Reply:
    return Reply(307, {"error": {"message": "Moved."}}, headers={"location": f"{other}/chat/completions"})


def _send_large_body(number: int, other: str) -> Reply:
    return Reply(body=make_chat_body("x" * (MEGABYTES << 20)))


#: Without a fault. A system that does not pass it is not measured.
CONTROL = Case("control", lambda number, other: None, Expectation(1, 1, "ok"), "every")

FAULTS = (
    Fault(
        "500",
        "status 500, steadily",
        "asked again after waits, 2 to 4 requests; the row fails",
        (Case("500", _always(Reply(500, FAILED)), PASSING),),
    ),
    Fault(
        "529",
        "status 529 (overloaded), steadily",
        "as 500",
        (
            Case(
                "529",
                _always(Reply(529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})),
                PASSING,
            ),
        ),
    ),
    Fault(
        "reset",
        "connection reset in the middle of the body",
        "was probably paid for: asked again once at most; the row fails",
        (Case("reset", _always(Reply(cut="body")), PAID),),
    ),
    Fault(
        "quota",
        "status 429 `insufficient_quota`, every row",
        "no wait brings credit: no row asked again, and the run ends",
        (Case("quota", _always(Reply(429, NO_QUOTA)), STOPPING, "every"),),
    ),
    Fault(
        "a day",
        "status 429 with `Retry-After: 86400`, every row",
        "not asked again before, and the run ends",
        (Case("day", _always(Reply(429, LIMITED, {"Retry-After": "86400"})), STOPPING, "every"),),
    ),
    Fault(
        "a moment",
        f"status 429 once, with `Retry-After: {MOMENT}` or `retry-after-ms: {MOMENT * 1000:.0f}`",
        f"asked again after {MOMENT} s and not before; the row is good",
        (
            Case("seconds", _once(Reply(429, LIMITED, {"Retry-After": str(MOMENT)})), AFTER_MOMENT),
            Case("ms", _once(Reply(429, LIMITED, {"retry-after-ms": f"{MOMENT * 1000:.0f}"})), AFTER_MOMENT),
        ),
    ),
    Fault(
        "401, 404",
        "status 401 or 404, every row",
        "no row asked again, and the run ends",
        (
            Case("401", _always(Reply(401, BAD_KEY)), STOPPING, "every"),
            Case("404", _always(Reply(404, NO_MODEL)), STOPPING, "every"),
        ),
    ),
    Fault(
        "HTML",
        "status 200 with a page of HTML",
        "asked again once at most; the row fails with an error of the system's own",
        (Case("html", _always(Reply(body=HTML, headers={"Content-Type": "text/html"})), PAID),),
    ),
    Fault(
        "broken body",
        "status 200 with JSON that breaks off, or is no UTF-8",
        "as HTML",
        (
            Case("broken off", _always(Reply(body=WHOLE)), PAID),
            Case("no UTF-8", _always(Reply(body=BAD_UTF_8)), PAID),
        ),
    ),
    Fault(
        "error in 200",
        'status 200 with `{"error": ...}`',
        "treated as the error that it names, here as 500 or as a broken body: 1 to 4 requests; the row fails",
        (Case("error", _always(Reply(body=FAILED)), Expectation(1, 4)),),
    ),
    Fault(
        "no choices",
        "status 200 with `choices: []`",
        "as HTML",
        (Case("no choices", _always(Reply(body={**make_chat_body("x"), "choices": []})), PAID),),
    ),
    Fault(
        "no content",
        "a refusal without content, or content null",
        "a refusal is never asked again, null once at most; the row fails",
        (
            Case("refusal", _say(None, refusal="I cannot help with that."), FINAL),
            Case("null", _say(None), PAID),
        ),
    ),
    Fault(
        "cut off",
        "`finish_reason` is `length` or `content_filter`",
        "the same again would end the same: never asked again; the row fails",
        (
            Case("length", _say("half an answ", "length"), FINAL),
            Case("content_filter", _say("half an answ", "content_filter"), FINAL),
        ),
    ),
    Fault(
        "surrogate",
        "half of a surrogate pair in the text",
        "costs its own row at most",
        (Case("surrogate", _say("half an emoji: \ud83d."), Expectation(1, 2, "any")),),
    ),
    Fault(
        "redirect",
        "status 307 to another server, every row",
        "never followed: no prompt leaves",
        (Case("redirect", _redirect, Expectation(0, 1, "any"), "every"),),
    ),
    Fault(
        "50 MB",
        f"a body of {MEGABYTES} MiB",
        "bounded: not taken for an answer, not asked again",
        (Case("large", _send_large_body, FINAL),),
    ),
    Fault(
        "key",
        "status 307 to another server: the key, as bearer or in the header `api-key`",
        "not sent there, even by those who follow",
        (
            Case("bearer", _redirect, Expectation(0, 1, "any", may_stray=True), "every"),
            Case("api-key", _redirect, Expectation(0, 1, "any", may_stray=True), "every", "api-key"),
        ),
    ),
)
