"""What calls mean that bring no whole reply, as a table; the page of reference is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pool_core.interfaces.values import Cause

__all__ = ["BREAKAGES", "Breakage", "find_breakage"]

_CONNECTING = "client error (Connect)"
_IN_BODY = "error reading a body from connection"
_CHECK_SERVER = "check base_url and that the server runs"


@dataclass(frozen=True, slots=True)
class Breakage:
    """One way in which a call brings no whole reply. ``text`` and ``hint`` are what is said of it."""

    when: str
    cause: Cause
    text: str
    hint: str = ""
    #: The name of pyreqwest's exception, or of one that it derives from: this table is read without the client.
    kind: str = "PyreqwestError"
    #: What the messages of the exception must hold, one of them each.
    steps: tuple[str, ...] = ()
    maybe_billed: bool = False
    stops_member: bool = False


_BROKE = "the connection to {server} broke: {reason}"
_TIMEOUT = "RequestTimeoutError"

#: The first that fits decides.
BREAKAGES = (
    Breakage(
        "the server's certificate is not trusted",
        Cause.BAD_REQUEST,
        "{server} cannot be trusted: {reason}",
        "set ca_file to the certificate of the authority that signed the server's",
        steps=(_CONNECTING, "certificate"),
        stops_member=True,
    ),
    Breakage(
        "no connection within `connect_timeout`",
        Cause.TIMEOUT,
        "cannot reach {server}: no connection within {connect_timeout:g} s",
        _CHECK_SERVER,
        kind=_TIMEOUT,
        steps=(_CONNECTING,),
    ),
    Breakage(
        "no whole reply within the call's time limit, however many bytes came",
        Cause.TIMEOUT,
        "no whole answer from {server} within {timeout:g} s",
        "raise the timeout or lower max_tokens",
        kind=_TIMEOUT,
        maybe_billed=True,
    ),
    Breakage(
        "the server does not speak TLS",
        Cause.TRANSPORT,
        "cannot reach {server}: {reason}",
        "the server may speak http, not https",
        steps=(_CONNECTING, "InvalidContentType"),
    ),
    Breakage(
        "no connection: refused, no such host, no TLS",
        Cause.TRANSPORT,
        "cannot reach {server}: {reason}",
        _CHECK_SERVER,
        steps=(_CONNECTING,),
    ),
    Breakage(
        "the connection breaks, or ends, within the reply's body",
        Cause.TRANSPORT,
        "the connection to {server} broke within its reply: {reason}",
        steps=(_IN_BODY,),
        maybe_billed=True,
    ),
    Breakage(
        "what comes is no HTTP, or not compressed as it says",
        Cause.BAD_REPLY,
        "{server} sent what is no valid HTTP reply: {reason}",
        _CHECK_SERVER,
        kind="DecodeError",
        maybe_billed=True,
    ),
    Breakage("the connection breaks before the reply, or within its headers", Cause.TRANSPORT, _BROKE),
)


def find_breakage(error: Exception, steps: Sequence[str]) -> Breakage:
    """The row of `BREAKAGES` for an exception and its messages, from the outermost to the reason."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return next(
        row
        for row in BREAKAGES
        if row.kind in kinds and all(any(wanted in step for step in steps) for wanted in row.steps)
    )
