"""The body of a request: parameters from several sources in one object, written as JSON. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import msgspec

from pool_core.errors import BackendError
from pool_core.interfaces.values import Cause

__all__ = ["add_parameters", "encode_body", "refuse"]


def add_parameters(body: dict[str, Any], more: Mapping[str, Any], source: str) -> None:
    """Add ``more`` to ``body`` in the order of the names. What is None or an empty list is not sent.

    Args:
        source: where they come from, as an error names it: ``sampling``, ``extra``.

    Raises:
        BackendError: one of them asks for several answers or parts of one, is there already, or is no finite number.
    """
    for name in sorted(more):
        value = more[name]
        if value is None or value == []:
            continue
        if name in ("stream", "n"):
            refuse(f"{source} cannot set {name}: each request is for one whole answer", f"remove {name}")
        if name in body:
            refuse(f"{name} is set twice, the second time by {source}", "remove one of the two")
        if isinstance(value, float) and not math.isfinite(value):
            refuse(f"{name} is {value}, which JSON has no word for", "give a finite number")
        body[name] = value


def encode_body(body: Mapping[str, Any]) -> bytes:
    """``body`` as JSON. Raises `BackendError` where a value cannot be written, or is text that UTF-8 cannot hold."""
    try:
        return _ENCODER.encode(body)
    except UnicodeEncodeError:
        refuse(
            "the prompt or a parameter holds half of a surrogate pair, which is no valid text", "clean that row's text"
        )
    except (TypeError, RecursionError) as error:
        refuse(f"the prompt or a parameter cannot be written as JSON: {error}", "use plain JSON values")


def refuse(message: str, hint: str) -> NoReturn:
    """Raise the error of a request that is not sent, since the server would refuse it, or answer something else."""
    raise BackendError(Cause.BAD_REQUEST, message, hint=hint)


def _simplify(value: Any) -> Any:
    """Make plain what msgspec does not know: read-only mappings and sequences of any kind."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


_ENCODER = msgspec.json.Encoder(enc_hook=_simplify)
