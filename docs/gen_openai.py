"""Tables of the page on pool-openai, made of those that the backend reads."""

from __future__ import annotations

import html

from pool_openai.finish_reasons import FINISH_REASONS

from pool_core.http.breakages import BREAKAGES
from pool_core.http.causes import CODES, FIELD_PHRASES, PHRASES, STATUSES, Verdict
from pool_core.interfaces.values import Cause

__all__ = ["make_openai_tables"]


def make_openai_tables() -> list[str]:
    """What each reply and each broken call means to the backend ``openai``."""

    def write(verdict: Verdict) -> str:
        return f"`{verdict.cause}`" + (", and the member is stopped" if verdict.stops_member else "")

    statuses = [("3xx", Verdict(Cause.BAD_REQUEST, stops_member=True)), *STATUSES.items()]
    statuses += [("other 4xx", Verdict(Cause.BAD_REQUEST)), ("other 5xx", Verdict(Cause.SERVER))]
    codes: dict[Verdict, list[str]] = {}
    for code, verdict in CODES.items():
        codes.setdefault(verdict, []).append(f"`{code}`")
    reasons: dict[str, list[str]] = {}
    for theirs, ours in FINISH_REASONS.items():
        reasons.setdefault(ours, []).append(f"`{theirs}`")
    return [
        "",
        "## What goes wrong, and what it means",
        "",
        "[Causes](causes.md) says what the engine does with each cause. *May be billed* means that the server has",
        "worked on the call, though no answer came: it is sent again once at most.",
        "",
        "### Statuses",
        "",
        "| status | cause |",
        "|---|---|",
        *(f"| {status} | {write(verdict)} |" for status, verdict in statuses),
        "",
        "A 400 or 422 that names a field of the request other than the prompt and the seed (`param`, or `loc`) stops",
        "the member: that field is sent with every row. Redirects are never followed.",
        "",
        "### Codes and types of providers' errors",
        "",
        "They know better than the status; only a 413 is always `context_length`. They count as well where a reply",
        "with status 200 holds an error. Such an error without a known code has the cause of the status that it",
        "names, else `server`.",
        "",
        "| codes | cause |",
        "|---|---|",
        *(f"| {', '.join(words)} | {write(verdict)} |" for verdict, words in codes.items()),
        "",
        "Some servers only say it in the message of a 400 or 422:",
        "",
        "| message | said by | cause |",
        "|---|---|---|",
        *(f"| <code>{html.escape(text)}</code> | {who} | {write(row)} |" for text, (row, who) in PHRASES.items()),
        "",
        "And some name the field that they do not take in the message alone, llama-cpp-python with the status 500:",
        "",
        "| behind | said by |",
        "|---|---|",
        *(f"| <code>{html.escape(text)}</code> | {who} |" for text, who in FIELD_PHRASES.items()),
        "",
        "### Connections, and replies that cannot be read",
        "",
        "| what happens | cause | may be billed |",
        "|---|---|---|",
        *(
            f"| {row.when} | {write(Verdict(row.cause, row.stops_member))} | {'yes' if row.maybe_billed else ''} |"
            for row in BREAKAGES
        ),
        "| the reply has not begun within `first_byte_timeout` | `timeout` | yes |",
        "| the reply is not JSON: cut off, invalid UTF-8, a web page, empty, too deep | `bad_reply` | yes |",
        "| the reply has no choices | `bad_reply` | yes |",
        "| the reply has more than `max_answer_bytes` | `bad_request` | yes |",
        "",
        "### Waits",
        "",
        "`retry-after-ms` comes first, then `Retry-After` in seconds or as a date, held against the reply's own",
        "`Date`. What is negative, not finite, no number or there twice says nothing. Where",
        "`x-ratelimit-remaining-requests` or `-tokens` is 0, the time in `x-ratelimit-reset-*` (`6m0s`, `1s`, `20ms`)",
        "pauses the quota before the next request is refused.",
        "",
        "### Answers",
        "",
        "Why the model stopped has one word, whatever the server's is. One that is not known is kept, and logged",
        "once.",
        "",
        "| the server says | finish_reason |",
        "|---|---|",
        *(f"| {', '.join(words)} | `{ours}` |" for ours, words in reasons.items()),
        "",
        "Of several choices the first of the lowest index is taken. Usage that is missing, negative or no number is",
        "not known, and never 0. Refusal, reasoning and tool calls are kept beside the text; content in parts is",
        "joined. `NaN`, `Infinity` and numbers of thousands of digits are read as null: beside an answer they are no",
        "reason to lose it.",
    ]
