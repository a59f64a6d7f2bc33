"""What LiteLLM's exceptions mean: by class, and by the provider's own code where one is told.

Classes are known by their names, so that nothing of LiteLLM is imported to read the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pool_core.errors import BackendError
from pool_core.http.causes import CODES, Complaint, Verdict, classify, read_complaint
from pool_core.http.keys import Key
from pool_core.http.waits import WAIT_HEADERS, read_retry_after
from pool_core.interfaces.values import Cause

__all__ = ["CLASSES", "read_headers", "translate_error"]

_STOPS = Verdict(Cause.BAD_REQUEST, stops_member=True)
_LONGEST = 300

#: The first class of an exception that stands here decides. `APIError` has the cause of its status.
CLASSES = {
    "AuthenticationError": Verdict(Cause.AUTH),
    "PermissionDeniedError": Verdict(Cause.AUTH),
    "PaymentRequiredError": Verdict(Cause.QUOTA_EXHAUSTED),
    "BudgetExceededError": Verdict(Cause.QUOTA_EXHAUSTED),
    "ContextWindowExceededError": Verdict(Cause.CONTEXT_LENGTH),
    "ContentPolicyViolationError": Verdict(Cause.CONTENT_FILTER),
    "NotFoundError": _STOPS,
    "LiteLLMUnknownProvider": _STOPS,
    "UnsupportedParamsError": _STOPS,
    "UnsupportedEndpointError": _STOPS,
    "EndpointNotSupportedByModelError": _STOPS,
    "RateLimitError": Verdict(Cause.RATE_LIMIT),
    "Timeout": Verdict(Cause.TIMEOUT),
    "APITimeoutError": Verdict(Cause.TIMEOUT),
    "ServiceUnavailableError": Verdict(Cause.OVERLOADED),
    "BadGatewayError": Verdict(Cause.SERVER),
    "InternalServerError": Verdict(Cause.SERVER),
    "APIResponseValidationError": Verdict(Cause.BAD_REPLY),
    "APIConnectionError": Verdict(Cause.TRANSPORT),
    "UnprocessableEntityError": Verdict(Cause.BAD_REQUEST),
    "BadRequestError": Verdict(Cause.BAD_REQUEST),
}

#: Causes after which the provider may have worked on the call.
_MAYBE_BILLED = frozenset({Cause.TIMEOUT, Cause.TRANSPORT, Cause.BAD_REPLY})


def translate_error(error: Exception, endpoint: str, key: Key | None, sent: Sequence[str] = ()) -> BackendError:
    """What an exception of LiteLLM's means, in words without the key. ``sent`` are the fields of the request."""
    verdict = _find_verdict(error, sent)
    message = str(getattr(error, "message", None) or error)
    text = message if key is None else key.mask(message)
    shown = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text.strip()[:_LONGEST])
    return BackendError(
        verdict.cause,
        f"{type(error).__name__}: {shown}",
        retry_after=read_retry_after(read_headers(getattr(getattr(error, "response", None), "headers", None))),
        stops_member=verdict.stops_member,
        maybe_billed=verdict.cause in _MAYBE_BILLED,
        where=endpoint,
        hint=_advise(verdict),
    )


def _find_verdict(error: Exception, sent: Sequence[str]) -> Verdict:
    complaint = _read_complaint(error)
    for word in (complaint.code.lower(), complaint.type.lower()):
        if word in CODES:
            return CODES[word]
    names = [kind.__name__ for kind in type(error).__mro__]
    if "InternalServerError" in names and _is_connection(error):
        return Verdict(Cause.TRANSPORT)  # LiteLLM calls a broken connection that too
    if "JSONDecodeError" in names or ("InternalServerError" in names and _is_unreadable(error)):
        return Verdict(Cause.BAD_REPLY)
    found = next((CLASSES[name] for name in names if name in CLASSES), None)
    status = getattr(error, "status_code", None)
    if found is None or found.cause is Cause.BAD_REQUEST:
        if not isinstance(status, int) or not 300 <= status < 600:  # noqa: PLR2004
            return found or Verdict(Cause.SERVER if "APIError" in names else Cause.PLUGIN)
        return found if found is not None and found.stops_member else classify(status, complaint, sent)
    return found


def _read_complaint(error: Exception) -> Complaint:
    """What the provider says is wrong, as far as LiteLLM passes it on."""
    body = getattr(error, "body", None)
    found = read_complaint({"error": body}) if isinstance(body, Mapping) else None
    return found or Complaint(str(getattr(error, "message", "")))


def _list_reasons(error: Exception) -> list[str]:
    """The names of the classes of what an exception came of."""
    names: list[str] = []
    reason: BaseException | None = error.__cause__ or error.__context__
    for _ in range(8):
        if reason is None:
            break
        names += [kind.__name__ for kind in type(reason).__mro__]
        reason = reason.__cause__ or reason.__context__
    return names


def _is_connection(error: Exception) -> bool:
    return "APIConnectionError" in _list_reasons(error)


def _is_unreadable(error: Exception) -> bool:
    return bool({"JSONDecodeError", "UnicodeDecodeError"}.intersection(_list_reasons(error)))


def read_headers(headers: Any) -> dict[str, str]:
    """What the provider's headers say of waits, as far as LiteLLM passes them on."""
    if headers is None:
        return {}
    try:
        return {name: str(headers[name]) for name in WAIT_HEADERS if name in headers}
    except Exception:  # noqa: BLE001 - whatever LiteLLM has put there, a wait is not worth a cell
        return {}


def _advise(verdict: Verdict) -> str:
    match verdict.cause:
        case Cause.AUTH:
            return "check the key, and that api_key points to it"
        case Cause.QUOTA_EXHAUSTED:
            return "add credit at the provider, then run again"
        case Cause.CONTEXT_LENGTH:
            return "shorten the prompt or lower max_tokens"
        case Cause.BAD_REQUEST if verdict.stops_member:
            return "check model, api_base and the sampling parameters: LiteLLM or the provider does not know one"
        case _:
            return ""
