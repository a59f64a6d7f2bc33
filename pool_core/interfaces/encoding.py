"""Plain values as JSON bytes, fast and without losing any text.

msgspec does the work. What it refuses and JSON allows, lone surrogates, goes through the standard
library: a model that answers half an emoji must not cost its cell.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isfinite
from typing import Any

import msgspec

from pool_core.interfaces.values import Answer, Usage

__all__ = ["decode_answer", "decode_json", "encode_answer", "encode_document", "encode_json", "encode_lines"]

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()
_answer_decoder = msgspec.json.Decoder(Answer)


def encode_json(value: Any) -> bytes:
    """``value`` as JSON. Raises `TypeError` for what is no plain value; NaN and infinities become null."""
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        plain = _drop_non_finite(msgspec.to_builtins(value))
        return json.dumps(plain, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode()


def encode_lines(values: Sequence[Any]) -> bytes:
    """Each of ``values`` as JSON, as `encode_json` writes it, and the end of a line after it."""
    try:
        return _encoder.encode_lines(values)
    except UnicodeEncodeError:
        return b"".join(encode_json(value) + b"\n" for value in values)


def encode_document(value: Any) -> bytes:
    """``value`` as an indented JSON document for people and programs; what is no plain value as its text."""
    plain = _drop_non_finite(msgspec.to_builtins(value, enc_hook=str))
    return json.dumps(plain, indent=2, ensure_ascii=True, allow_nan=False).encode() + b"\n"


def _drop_non_finite(value: Any) -> Any:
    match value:
        case float():
            return value if isfinite(value) else None
        case dict():
            return {key: _drop_non_finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_drop_non_finite(item) for item in value]
        case _:
            return value


def decode_json(data: bytes) -> Any:
    """The value of what `encode_json` wrote."""
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError:
        return json.loads(data)


def encode_answer(answer: Answer) -> bytes:
    """An answer as JSON, complete."""
    return encode_json(answer)


def decode_answer(data: bytes) -> Answer:
    """The answer of what `encode_answer` wrote."""
    try:
        return _answer_decoder.decode(data)
    except msgspec.DecodeError:
        values = json.loads(data)
        usage = values.pop("usage", None)
        return Answer(**values, usage=Usage(**usage) if usage else None)
