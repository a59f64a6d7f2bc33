"""What went wrong with a call: statuses, providers' error codes and exceptions become causes.

The tables decide the cause; `Failures` writes the errors of one backend, with the key masked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import msgspec

from pool_core.errors import BackendError
from pool_core.interfaces.values import Cause
from pool_openai.config import OpenAIConfig
from pool_openai.keys import Key
from pool_openai.retry_after import read_retry_after

if TYPE_CHECKING:  # the client is imported by those who call a server: checking a recipe is not among them
    from pyreqwest.exceptions import PyreqwestError

__all__ = ["Complaint", "Failures", "classify", "read_complaint", "read_steps"]

#: Statuses whose cause is not that of their class: 3xx and 4xx ``bad_request``, 5xx ``server``.
STATUSES = {
    401: Cause.AUTH,
    402: Cause.QUOTA_EXHAUSTED,
    403: Cause.AUTH,
    407: Cause.AUTH,
    408: Cause.TIMEOUT,
    409: Cause.SERVER,
    413: Cause.CONTEXT_LENGTH,
    425: Cause.SERVER,
    429: Cause.RATE_LIMIT,
    503: Cause.OVERLOADED,
    529: Cause.OVERLOADED,
}

#: Codes and types of providers' errors. They know better than the status.
CODES = {
    "account_deactivated": Cause.AUTH,
    "authentication_error": Cause.AUTH,
    "invalid_api_key": Cause.AUTH,
    "invalid_authentication": Cause.AUTH,
    "invalid_organization": Cause.AUTH,
    "permission_denied": Cause.AUTH,
    "permission_error": Cause.AUTH,
    "billing_hard_limit_reached": Cause.QUOTA_EXHAUSTED,
    "billing_not_active": Cause.QUOTA_EXHAUSTED,
    "insufficient_balance": Cause.QUOTA_EXHAUSTED,
    "insufficient_quota": Cause.QUOTA_EXHAUSTED,
    "context_length_exceeded": Cause.CONTEXT_LENGTH,
    "exceed_context_size_error": Cause.CONTEXT_LENGTH,
    "request_too_large": Cause.CONTEXT_LENGTH,
    "string_above_max_length": Cause.CONTEXT_LENGTH,
    "content_filter": Cause.CONTENT_FILTER,
    "content_policy_violation": Cause.CONTENT_FILTER,
    "moderation_blocked": Cause.CONTENT_FILTER,
    "rate_limit_error": Cause.RATE_LIMIT,
    "rate_limit_exceeded": Cause.RATE_LIMIT,
    "engine_overloaded": Cause.OVERLOADED,
    "overloaded_error": Cause.OVERLOADED,
    "server_overloaded": Cause.OVERLOADED,
    "slow_down": Cause.OVERLOADED,
    "model_not_found": Cause.BAD_REQUEST,
    "server_error": Cause.SERVER,
}

#: Types too general to stand against a status. They count where an error comes with status 200.
GENERAL_TYPES = {"invalid_request_error": Cause.BAD_REQUEST, "not_found_error": Cause.BAD_REQUEST}

#: What servers say in the message of a 400 when they give no code of their own.
PHRASES = {
    "maximum context length": Cause.CONTEXT_LENGTH,  # vLLM
    "credit balance is too low": Cause.QUOTA_EXHAUSTED,  # Anthropic
}

_LONGEST_MESSAGE = 300
_LONGEST_EXCERPT = 200
_LONGEST_CODE = 64


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a server says is wrong."""

    message: str = ""
    code: str = ""
    type: str = ""
    #: The status that the error itself names, where it does.
    status: int | None = None


def read_complaint(reply: Any) -> Complaint | None:
    """The error in a reply that was read as JSON, None where there is none."""
    if not isinstance(reply, dict):
        return None
    found = reply.get("error") or reply.get("errors") or reply.get("message") or reply.get("detail")
    if isinstance(found, list) and found:
        found = found[0]
    if isinstance(found, str):
        return Complaint(found, _read_word(reply.get("code")), _read_word(reply.get("type")))
    if not isinstance(found, dict):
        return None
    status = found.get("code")
    return Complaint(
        _read_word(found.get("message") or found.get("msg")),
        _read_word(found.get("code")),
        _read_word(found.get("type")),
        status if isinstance(status, int) and 400 <= status < 600 else None,  # noqa: PLR2004
    )


def _read_word(value: Any) -> str:
    return value if isinstance(value, str) else ""


def classify(status: int, complaint: Complaint | None = None) -> Cause:
    """The cause of a failed call. A status of 2xx means that the error came in a reply that claims success."""
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
        return GENERAL_TYPES.get(words[1], Cause.SERVER)
    if status == HTTPStatus.BAD_REQUEST:
        for phrase, cause in PHRASES.items():
            if phrase in complaint.message.lower():
                return cause
    return STATUSES.get(status, Cause.SERVER if status >= 500 else Cause.BAD_REQUEST)  # noqa: PLR2004


@dataclass(frozen=True, slots=True)
class Failures:
    """Writes the errors of one backend: what, where, and what to do; never a key, never a header."""

    config: OpenAIConfig
    key: Key | None = None

    def of_status(self, status: int, headers: Mapping[str, str], body: bytes) -> BackendError:
        """The error of a reply with a status other than 2xx. ``headers`` has names in lower case."""
        if 300 <= status < 400:  # noqa: PLR2004
            return self._of_redirect(status, headers.get("location"))
        try:
            complaint = read_complaint(msgspec.json.decode(body))
        except (ValueError, RecursionError):
            complaint = None
        cause = classify(status, complaint)
        phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
        said = self._write_complaint(complaint, body)
        text = f"{status} {phrase}".strip() + (f": {said}" if said else "")
        hint = "check base_url and model" if status == HTTPStatus.NOT_FOUND else self._advise(cause)
        lost = status == HTTPStatus.NOT_FOUND
        return self._write(cause, text, hint, read_retry_after(headers), stops_member=lost)

    def of_inner_error(self, complaint: Complaint, body: bytes) -> BackendError:
        """The error of a reply that claims success and holds an error."""
        cause = classify(HTTPStatus.OK, complaint)
        return self._write(
            cause, f"200 OK with an error: {self._write_complaint(complaint, body)}", self._advise(cause)
        )

    def of_unreadable_body(self, body: bytes) -> BackendError:
        """The error of a reply that is no JSON object."""
        text = f"not JSON: {self._write_excerpt(body)}" if body else "not JSON: the reply is empty"
        return self._write(Cause.SERVER, text, "check base_url; most servers want it to end in /v1")

    def of_missing_choices(self, body: bytes) -> BackendError:
        """The error of a reply without an answer in it."""
        return self._write(Cause.EMPTY, f"the reply has no choices: {self._write_excerpt(body)}")

    def of_large_body(self) -> BackendError:
        """The error of a reply above the limit. Asking again would be paid again, for the same."""
        text = f"the reply has more than {self.config.max_answer_bytes} bytes"
        return self._write(Cause.BAD_REQUEST, text, "lower max_tokens, or raise max_answer_bytes")

    def of_exception(self, error: PyreqwestError, timeout: float) -> BackendError:
        """The error of a call that brought no whole reply. ``timeout`` is the call's own, in seconds."""
        cause = _classify_exception(error)
        steps = read_steps(error)
        reason = self._clean(re.sub(r" \(os error \d+\)$", "", steps[-1]), _LONGEST_MESSAGE)
        reason = reason[:1].lower() + reason[1:]
        connecting = "client error (Connect)" in steps
        if connecting and "certificate" in reason:
            hint = "set ca_file to the certificate of the authority that signed the server's"
            text = f"{self._server} cannot be trusted: {reason}"
            return self._write(Cause.BAD_REQUEST, text, hint, stops_member=True)
        hint = "check base_url and that the server runs"
        if cause is Cause.TIMEOUT and connecting:
            text = f"cannot reach {self._server}: no connection within {self.config.connect_timeout:g} s"
        elif cause is Cause.TIMEOUT:
            text, hint = (
                f"no whole answer from {self._server} within {timeout:g} s",
                "raise the timeout or lower max_tokens",
            )
        elif connecting:
            text = f"cannot reach {self._server}: {reason}"
            if "InvalidContentType" in reason:
                hint = "the server may speak http, not https"
        elif cause is Cause.SERVER and "error reading a body from connection" not in steps:
            text = f"{self._server} sent what is no valid HTTP reply: {reason}"
        else:
            cause, hint = (Cause.TRANSPORT if cause is Cause.SERVER else cause), ""
            text = f"the connection to {self._server} broke: {reason}"
        return self._write(cause, text, hint)

    def _of_redirect(self, status: int, location: str | None) -> BackendError:
        try:
            to = urlsplit(urljoin(self.config.url, location or ""))
            origin = f"{to.scheme}://{to.hostname}" + ("" if to.port is None else f":{to.port}")
        except ValueError:
            location = None
        goal = (
            self._clean(f"redirect to {origin}", _LONGEST_MESSAGE) if location else "redirect without a valid address"
        )
        hint = "redirects are never followed; set base_url to the address of the server itself"
        return self._write(Cause.BAD_REQUEST, f"{status}: {goal}", hint, stops_member=True)

    @property
    def _server(self) -> str:
        """Host and port."""
        url = urlsplit(self.config.base_url)
        host = f"[{url.hostname}]" if ":" in str(url.hostname) else url.hostname
        return f"{host}:{url.port or (443 if url.scheme == 'https' else 80)}"

    def _write(
        self,
        cause: Cause,
        text: str,
        hint: str = "",
        retry_after: float | None = None,
        *,
        stops_member: bool = False,
    ) -> BackendError:
        where = f"POST {self.config.url}"
        return BackendError(cause, text, retry_after=retry_after, stops_member=stops_member, where=where, hint=hint)

    def _write_complaint(self, complaint: Complaint | None, body: bytes) -> str:
        """The server's own message and code, or the start of the body where there is none."""
        if complaint is None or not complaint.message:
            return self._write_excerpt(body)
        message = self._clean(complaint.message, _LONGEST_MESSAGE)
        code = self._clean(complaint.code or complaint.type, _LONGEST_CODE)
        return f"{message} ({code})" if code and code not in message else message

    def _write_excerpt(self, body: bytes) -> str:
        return self._clean(body.decode("utf-8", "backslashreplace"), _LONGEST_EXCERPT)

    def _clean(self, text: str, limit: int) -> str:
        """``text`` without the key, cut to ``limit`` characters, and those that could fool a terminal escaped."""
        masked = self.key.mask(text) if self.key else text
        cut = masked.strip()[:limit]
        return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in cut)

    def _advise(self, cause: Cause) -> str:
        match cause:
            case Cause.AUTH if self.config.key_reference is None:
                return "no key was sent; set api_key to env:NAME or file:PATH"
            case Cause.AUTH:
                return f"check the key in {self.config.key_reference}"
            case Cause.QUOTA_EXHAUSTED:
                return "add credit at the provider, then run again"
            case Cause.CONTEXT_LENGTH:
                return "shorten the prompt or lower max_tokens"
            case _:
                return ""


def _classify_exception(error: PyreqwestError) -> Cause:
    from pyreqwest.exceptions import DecodeError, RequestTimeoutError  # noqa: PLC0415 - whoever raised it imported it

    match error:
        case RequestTimeoutError():
            return Cause.TIMEOUT
        case DecodeError():
            return Cause.SERVER
        case _:
            return Cause.TRANSPORT


def read_steps(error: PyreqwestError) -> list[str]:
    """The messages of an exception, from the outermost to the reason."""
    from pyreqwest.exceptions import DetailedPyreqwestError  # noqa: PLC0415

    causes = error.details["causes"] if isinstance(error, DetailedPyreqwestError) else None
    return [error.message, *(cause["message"] for cause in causes or ())]
