"""What replies mean, as tables: statuses, and providers' error codes and phrases.

One row per case; the page of reference is made of them. `classify` reads them. `breakages` has the
table of calls that bring no whole reply.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pool_core.interfaces.values import Cause

__all__ = [
    "CODES",
    "FIELD_PHRASES",
    "PHRASES",
    "STATUSES",
    "Complaint",
    "Verdict",
    "classify",
    "read_complaint",
]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a failed call means."""

    cause: Cause
    #: Every further call of the member would fail alike.
    stops_member: bool = False
    #: The field of the request that the server does not take, where that stops the member.
    option: str = ""


_STOPS = Verdict(Cause.BAD_REQUEST, stops_member=True)

#: Statuses that do not mean what their class does: 4xx ``bad_request``, 5xx ``server``. All of 3xx stop the member.
STATUSES = {
    401: Verdict(Cause.AUTH),
    402: Verdict(Cause.QUOTA_EXHAUSTED),
    403: Verdict(Cause.AUTH),
    404: _STOPS,
    405: _STOPS,
    407: Verdict(Cause.AUTH),
    408: Verdict(Cause.TIMEOUT),
    409: Verdict(Cause.SERVER),
    410: _STOPS,
    413: Verdict(Cause.CONTEXT_LENGTH),
    425: Verdict(Cause.SERVER),
    429: Verdict(Cause.RATE_LIMIT),
    503: Verdict(Cause.OVERLOADED),
    529: Verdict(Cause.OVERLOADED),
}

#: Codes and types of providers' errors, in lower case. They know better than the status.
CODES = {
    "account_deactivated": Verdict(Cause.AUTH),
    "authentication_error": Verdict(Cause.AUTH),
    "invalid_api_key": Verdict(Cause.AUTH),
    "invalid_authentication": Verdict(Cause.AUTH),
    "invalid_organization": Verdict(Cause.AUTH),
    "permission_denied": Verdict(Cause.AUTH),
    "permission_error": Verdict(Cause.AUTH),
    "unsupported_country_region_territory": Verdict(Cause.AUTH),
    "billing_error": Verdict(Cause.QUOTA_EXHAUSTED),
    "billing_hard_limit_reached": Verdict(Cause.QUOTA_EXHAUSTED),
    "billing_not_active": Verdict(Cause.QUOTA_EXHAUSTED),
    "insufficient_balance": Verdict(Cause.QUOTA_EXHAUSTED),
    "insufficient_quota": Verdict(Cause.QUOTA_EXHAUSTED),
    "context_length_exceeded": Verdict(Cause.CONTEXT_LENGTH),
    "exceed_context_size_error": Verdict(Cause.CONTEXT_LENGTH),
    "request_too_large": Verdict(Cause.CONTEXT_LENGTH),
    "string_above_max_length": Verdict(Cause.CONTEXT_LENGTH),
    "content_filter": Verdict(Cause.CONTENT_FILTER),
    "content_policy_violation": Verdict(Cause.CONTENT_FILTER),
    "moderation_blocked": Verdict(Cause.CONTENT_FILTER),
    "rate_limit_error": Verdict(Cause.RATE_LIMIT),
    "rate_limit_exceeded": Verdict(Cause.RATE_LIMIT),
    "engine_overloaded": Verdict(Cause.OVERLOADED),
    "overloaded_error": Verdict(Cause.OVERLOADED),
    "server_overloaded": Verdict(Cause.OVERLOADED),
    "slow_down": Verdict(Cause.OVERLOADED),
    "deploymentnotfound": _STOPS,
    "model_decommissioned": _STOPS,
    "model_not_found": _STOPS,
    "timeout_error": Verdict(Cause.TIMEOUT),
    "api_error": Verdict(Cause.SERVER),
    "server_error": Verdict(Cause.SERVER),
}

#: Types too general to stand against a status. They count where an error comes with status 200.
GENERAL_TYPES = {
    "invalid_request_error": Verdict(Cause.BAD_REQUEST),
    "not_found_error": Verdict(Cause.BAD_REQUEST),
}

#: What servers say in the message of a 400 or 422 when they give no code of their own; and who says so.
PHRASES = {
    "maximum context length": (Verdict(Cause.CONTEXT_LENGTH), "vLLM"),
    "`inputs` must have less than": (Verdict(Cause.CONTEXT_LENGTH), "TGI"),
    "`inputs` tokens + `max_new_tokens` must be": (Verdict(Cause.CONTEXT_LENGTH), "TGI"),
    "credit balance is too low": (Verdict(Cause.QUOTA_EXHAUSTED), "Anthropic"),
    "prompt is too long": (Verdict(Cause.CONTEXT_LENGTH), "Anthropic"),
    "exceed context limit": (Verdict(Cause.CONTEXT_LENGTH), "Anthropic"),
    "server is pinned to": (_STOPS, "transformers serve"),
}

#: llama-cpp-python answers a request that is not valid with 500, and what FastAPI says of it.
_INVALID = "'loc': ('body', '"

#: Behind what a server names the field that it does not take where it says so in the message alone; and who does.
FIELD_PHRASES = {
    "Unexpected fields in the request: {'": "transformers serve",
    _INVALID: "llama-cpp-python",
}

#: Fields of a request that differ from row to row: what a server says about them is no word about the next row.
_FIELDS_OF_A_ROW = frozenset({"messages", "prompt", "seed", "system"})


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a server says is wrong."""

    message: str = ""
    code: str = ""
    type: str = ""
    #: The status that the error itself names, where it does.
    status: int | None = None
    #: The field of the request that it is about.
    option: str = ""


def read_complaint(reply: Any) -> Complaint | None:
    """The error in a reply that was read as JSON, None where there is none."""
    if not isinstance(reply, dict):
        return None
    found = reply.get("error") or reply.get("errors") or reply.get("message") or reply.get("detail")
    if isinstance(found, list) and found:
        found = found[0]
    if isinstance(found, str):
        return Complaint(
            found, _read_word(reply.get("code")), _read_word(reply.get("type")), option=_read_option(reply, found)
        )
    if not isinstance(found, dict):
        return None
    status = found.get("code")
    message = _read_word(found.get("message") or found.get("msg"))
    return Complaint(
        message,
        _read_word(found.get("code")),
        _read_word(found.get("type")),
        status if isinstance(status, int) and 400 <= status < 600 else None,  # noqa: PLR2004
        _read_option(found, message),
    )


def _read_word(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _read_option(error: dict[str, Any], message: str) -> str:
    """The top-level field that an error is about: OpenAI names it in ``param``, FastAPI in ``loc``, others in words."""
    place = error.get("loc")
    if isinstance(place, list) and place[:1] == ["body"] and len(place) > 1:
        return _read_word(place[1])
    if named := _read_word(error.get("param")).partition(".")[0].partition("[")[0]:
        return named
    behind = next((message.partition(phrase)[2] for phrase in FIELD_PHRASES if phrase in message), "")
    return behind.partition("'")[0]


def classify(status: int, complaint: Complaint | None = None, sent: Sequence[str] = ()) -> Verdict:
    """What a failed call means.

    Args:
        status: the reply's. One of 2xx means that the error came in a reply that claims success.
        complaint: what the server says is wrong.
        sent: the fields of the request's body.
    """
    complaint = complaint or Complaint()
    words = (complaint.code.lower(), complaint.type.lower())
    claims_success = 200 <= status < 300  # noqa: PLR2004
    if claims_success:
        status = complaint.status or HTTPStatus.INTERNAL_SERVER_ERROR
    # providers also call a request that is too large for any window "rate_limit_exceeded"
    if status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        for word in words:
            if word in CODES:
                return CODES[word]
    if claims_success and complaint.status is None:
        return GENERAL_TYPES.get(words[1], Verdict(Cause.SERVER))
    return _classify_status(status, complaint, sent)


def _classify_status(status: int, complaint: Complaint, sent: Sequence[str]) -> Verdict:
    if status == HTTPStatus.INTERNAL_SERVER_ERROR and _INVALID in complaint.message:
        status = HTTPStatus.UNPROCESSABLE_ENTITY
    if status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY):
        for phrase, (verdict, _) in PHRASES.items():
            if phrase in complaint.message.lower():
                return verdict
        if complaint.option in sent and complaint.option not in _FIELDS_OF_A_ROW:
            return Verdict(Cause.BAD_REQUEST, stops_member=True, option=complaint.option)
    if status < 400:  # noqa: PLR2004
        return _STOPS
    return STATUSES.get(status, Verdict(Cause.SERVER if status >= 500 else Cause.BAD_REQUEST))  # noqa: PLR2004
