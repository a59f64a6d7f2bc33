"""Writes the errors of one backend: what the tables of `causes` say, in words, with the key masked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import msgspec

from pool_core.errors import BackendError
from pool_core.http.breakages import find_breakage
from pool_core.http.causes import Complaint, Verdict, classify, read_complaint
from pool_core.http.config import HttpConfig
from pool_core.http.keys import Key
from pool_core.http.waits import read_exhaustion, read_retry_after
from pool_core.interfaces.values import Cause

if TYPE_CHECKING:
    from pyreqwest.exceptions import PyreqwestError

__all__ = ["Failures", "read_steps"]

_LONGEST_MESSAGE = 300
_LONGEST_EXCERPT = 200
_LONGEST_CODE = 64


@dataclass(frozen=True, slots=True)
class Failures:
    """Writes the errors of one backend: what, where, and what to do; never a key, never a header."""

    config: HttpConfig
    key: Key | None = None
    #: Reads how long a limit of which nothing is left takes to take requests again, see `waits.read_exhaustion`.
    read_exhaustion: Callable[[Mapping[str, str]], float | None] = read_exhaustion

    def of_status(self, status: int, headers: Mapping[str, str], body: bytes, sent: bytes) -> BackendError:
        """The error of a reply with a status other than 2xx.

        Args:
            headers: what `waits` and a redirect need of them, by names in lower case.
            body: the reply's.
            sent: the request's body.
        """
        if 300 <= status < 400:  # noqa: PLR2004
            return self._of_redirect(status, headers.get("location"))
        try:
            complaint = read_complaint(msgspec.json.decode(body))
        except (ValueError, RecursionError):
            complaint = None
        verdict = classify(status, complaint, _list_fields(sent))
        phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
        said = self._write_complaint(complaint, body)
        text = f"{status} {phrase}".strip() + (f": {said}" if said else "")
        if identifier := headers.get("request-id") or headers.get("x-request-id"):
            text += f" [request {self.clean(identifier, _LONGEST_CODE)}]"  # providers ask for it
        wait = read_retry_after(headers)
        if wait is None and verdict.cause is Cause.RATE_LIMIT:
            wait = self.read_exhaustion(headers)
        return self._write(verdict, text, self._advise(verdict), retry_after=wait)

    def of_inner_error(self, complaint: Complaint, body: bytes) -> BackendError:
        """The error of a reply that claims success and holds an error."""
        verdict = classify(HTTPStatus.OK, complaint)
        said = self._write_complaint(complaint, body)
        return self._write(verdict, f"200 OK with an error: {said}", self._advise(verdict))

    def of_unreadable_body(self, body: bytes) -> BackendError:
        """The error of a reply that is no JSON object."""
        text = f"not JSON: {self._write_excerpt(body)}" if body else "not JSON: the reply is empty"
        hint = self.config.address_hint
        return self._write(Verdict(Cause.BAD_REPLY), text, hint, maybe_billed=True)

    def of_missing_answer(self, part: str, body: bytes) -> BackendError:
        """The error of a reply without an answer in it: there is no ``part``."""
        text = f"the reply has no {part}: {self._write_excerpt(body)}"
        return self._write(Verdict(Cause.BAD_REPLY), text, maybe_billed=True)

    def of_large_body(self, limit: int) -> BackendError:
        """The error of a reply above ``limit`` bytes. Asking again would be paid again, for the same."""
        text = f"the reply has more than {limit} bytes"
        hint = "lower max_tokens, or raise max_answer_bytes"
        return self._write(Verdict(Cause.BAD_REQUEST), text, hint, maybe_billed=True)

    def of_late_reply(self) -> BackendError:
        """The error of a reply that did not begin in time."""
        text = f"no reply from {self._server} began within {self.config.first_byte_timeout:g} s"
        hint = "raise first_byte_timeout, or leave it out"
        return self._write(Verdict(Cause.TIMEOUT), text, hint, maybe_billed=True)

    def of_exception(self, error: PyreqwestError, timeout: float) -> BackendError:
        """The error of a call that brought no whole reply. ``timeout`` is the call's own, in seconds."""
        steps = read_steps(error)
        row = find_breakage(error, steps)
        reason = self.clean(re.sub(r" \(os error \d+\)$", "", steps[-1]), _LONGEST_MESSAGE)
        text = row.text.format(
            server=self._server,
            reason=reason[:1].lower() + reason[1:],
            connect_timeout=self.config.connect_timeout,
            timeout=timeout,
        )
        return self._write(Verdict(row.cause, row.stops_member), text, row.hint, maybe_billed=row.maybe_billed)

    def _of_redirect(self, status: int, location: str | None) -> BackendError:
        try:
            to = urlsplit(urljoin(self.config.url, location or ""))
            origin = f"{to.scheme}://{to.hostname}" + ("" if to.port is None else f":{to.port}")
        except ValueError:
            location = None
        goal = self.clean(f"redirect to {origin}", _LONGEST_MESSAGE) if location else "redirect without a valid address"
        hint = "redirects are never followed; set base_url to the address of the server itself"
        return self._write(classify(status), f"{status}: {goal}", hint)

    @property
    def _server(self) -> str:
        """Host and port."""
        url = urlsplit(self.config.base_url)
        host = f"[{url.hostname}]" if ":" in str(url.hostname) else url.hostname
        return f"{host}:{url.port or (443 if url.scheme == 'https' else 80)}"

    def _write(
        self,
        verdict: Verdict,
        text: str,
        hint: str = "",
        *,
        retry_after: float | None = None,
        maybe_billed: bool = False,
    ) -> BackendError:
        return BackendError(
            verdict.cause,
            text,
            retry_after=retry_after,
            stops_member=verdict.stops_member,
            maybe_billed=maybe_billed,
            where=f"POST {self.config.url}",
            hint=hint,
        )

    def _write_complaint(self, complaint: Complaint | None, body: bytes) -> str:
        """The server's own message and code, or the start of the body where there is none."""
        if complaint is None or not complaint.message:
            return self._write_excerpt(body)
        message = self.clean(complaint.message, _LONGEST_MESSAGE)
        code = self.clean(complaint.code or complaint.type, _LONGEST_CODE)
        return f"{message} ({code})" if code and code not in message else message

    def _write_excerpt(self, body: bytes) -> str:
        return self.clean(body.decode("utf-8", "backslashreplace"), _LONGEST_EXCERPT)

    def clean(self, text: str, limit: int) -> str:
        """``text`` without the key, cut to ``limit`` characters, and those that could fool a terminal escaped."""
        masked = self.key.mask(text) if self.key else text
        cut = masked.strip()[:limit]
        return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in cut)

    def _advise(self, verdict: Verdict) -> str:
        match verdict.cause:
            case Cause.AUTH if self.config.key_reference is None:
                return "no key was sent; set api_key to env:NAME or file:PATH"
            case Cause.AUTH:
                return f"check the key in {self.config.key_reference}"
            case Cause.QUOTA_EXHAUSTED:
                return "add credit at the provider, then run again"
            case Cause.CONTEXT_LENGTH:
                return "shorten the prompt or lower max_tokens"
            case Cause.BAD_REQUEST if verdict.option:
                name = self.clean(verdict.option, _LONGEST_CODE)
                more = self.config.option_hints.get(verdict.option, "")
                said = f"{name} is sent with every row, and this server does not take it as it is"
                return f"{said}; {more}" if more else said
            case Cause.BAD_REQUEST if verdict.stops_member:
                return "check base_url and model"
            case _:
                return ""


def _list_fields(sent: bytes) -> Sequence[str]:
    """The names of the fields of a request's body."""
    try:
        return tuple(msgspec.json.decode(sent, type=dict[str, msgspec.Raw]))
    except (ValueError, RecursionError):
        return ()


def read_steps(error: PyreqwestError) -> list[str]:
    """The messages of an exception, from the outermost to the reason."""
    from pyreqwest.exceptions import DetailedPyreqwestError  # noqa: PLC0415 - whoever raised it imported it

    causes = error.details["causes"] if isinstance(error, DetailedPyreqwestError) else None
    return [error.message, *(cause["message"] for cause in causes or ())]
