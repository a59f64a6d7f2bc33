"""What goes into a batch and what comes out of it: lines of JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import uuid4

import msgspec

from pool_core.errors import BackendError
from pool_core.http.causes import read_complaint
from pool_core.http.failures import Failures
from pool_core.interfaces.values import Answer, Cause
from pool_openai.wire import decode_reply

__all__ = ["MOST_BYTES", "measure_line", "read_results", "write_form", "write_lines"]

#: Bytes of one input file; OpenAI takes 200 MB.
MOST_BYTES = 100 * 1024 * 1024


def measure_line(body: bytes) -> int:
    """Bytes that a request takes in an input file, with what stands around its body."""
    return len(body) + 200


def write_lines(bodies: Mapping[str, bytes], endpoint: str) -> bytes:
    """An input file of the bodies by custom id, which are written as they are."""
    place = endpoint.encode()
    return b"".join(
        b'{"custom_id":"%b","method":"POST","url":"%b","body":%b}\n' % (custom_id.encode(), place, body)
        for custom_id, body in bodies.items()
    )


def write_form(content: bytes) -> tuple[bytes, str]:
    """The form that uploads an input file, and its content type."""
    boundary = uuid4().hex
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="batch.jsonl"\r\n'
        "Content-Type: application/jsonl\r\n\r\n"
    )
    return head.encode() + content + f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


class _Response(msgspec.Struct):
    status_code: int = 0
    body: msgspec.Raw = msgspec.Raw(b"")


class _Result(msgspec.Struct):
    custom_id: str
    response: _Response | None = None
    error: Any = None


_DECODER = msgspec.json.Decoder(_Result)


def read_results(
    files: Iterable[bytes], bodies: Mapping[str, bytes], failures: Failures
) -> dict[str, Answer | BackendError]:
    """The results of an output and an error file, by custom id; of one that stands there twice the first.

    Lines that cannot be read, and those of other requests, give nothing.

    Args:
        bodies: the bodies that were sent, by custom id; empty where they are not known any more.
    """
    found: dict[str, Answer | BackendError] = {}
    for content in files:
        for line in content.split(b"\n"):
            result = _read_line(line)
            if result is not None and result.custom_id in bodies:
                found.setdefault(result.custom_id, _judge(result, bodies[result.custom_id], failures))
    return found


def _read_line(line: bytes) -> _Result | None:
    try:
        return _DECODER.decode(line)
    except (ValueError, RecursionError):
        pass
    try:  # what the fast way does not take: halves of surrogate pairs
        value = json.loads(line)
        response = value.get("response")
        made = None
        if response is not None:
            made = _Response(int(response["status_code"]), msgspec.Raw(json.dumps(response["body"]).encode()))
        return _Result(str(value["custom_id"]), made, value.get("error"))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _judge(result: _Result, sent: bytes, failures: Failures) -> Answer | BackendError:
    response = result.response
    if response is None:
        complaint = read_complaint({"error": result.error})
        if complaint is not None and complaint.code == "batch_expired":
            return BackendError(
                Cause.RATE_LIMIT,
                "the provider did not come to it before the batch expired",
                retry_after=1.0,
                where=f"POST {failures.config.url}",
            )
        body = json.dumps(result.error).encode()
        return failures.of_inner_error(complaint, body) if complaint else failures.of_missing_answer("response", body)
    body = bytes(response.body)
    if not 200 <= response.status_code < 300:  # noqa: PLR2004
        return failures.of_status(response.status_code, {}, body, sent)
    chat = failures.config.url.endswith("/chat/completions")
    try:
        return decode_reply(body, "chat" if chat else "completions", failures)
    except BackendError as error:
        return error
