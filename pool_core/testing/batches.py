"""A server of OpenAI's files and batches endpoints for tests: a script of `server.ScriptedServer`.

::

    batches = BatchApi(answer=lambda body: make_chat_body("yes"))
    with ScriptedServer(batches) as server:
        ...  # upload a file to server.url, make a batch of it, poll it, read its files
    assert batches.paid.total() == 3

It checks what the API checks: a file is of JSON Lines with unique custom ids, all for one endpoint. A batch is
``validating``, ``in_progress`` and ``finalizing`` before it is ``completed``, one step a poll; its output comes in
another order than its input. Requests are answered, and paid, when the batch is made.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from pool_core.testing.replies import ReceivedRequest, Reply, make_chat_body, make_error_body

__all__ = ["BatchApi"]

#: The statuses of a batch, one a poll.
_STEPS = ("validating", "in_progress", "finalizing")
_ENDS = ("completed", "failed", "expired", "cancelled")
_BOUNDARY = re.compile(r'boundary="?([^";]+)"?')


def _echo(body: Any) -> dict[str, Any]:
    return make_chat_body(f"echo: {body['messages'][-1]['content']}")


@dataclass(slots=True)
class _Batch:
    """One batch, as the API shows it, and what comes of it."""

    shown: dict[str, Any]
    output: bytes
    errors: bytes
    #: How it ends.
    end: str
    polls: int = 0


@dataclass(slots=True)
class BatchApi:
    """Answers requests for files and batches. What it has done can be read; what it does is set in its fields."""

    #: The body of the answer to a request's body; or a `Reply` with another status, for the error file.
    answer: Callable[[Any], dict[str, Any] | Reply] = _echo
    #: How the batches end: ``completed``, ``expired`` and ``cancelled`` with the first half done, ``failed`` with none.
    ends: str = "completed"
    #: Custom ids, by their place in the input from 0, whose lines are in neither file.
    lost: Collection[int] = ()
    #: Seen before each request is answered, and after what it asks for was done; it may return another reply.
    before: Callable[[ReceivedRequest], Reply | None] = lambda request: None
    after: Callable[[ReceivedRequest], Reply | None] = lambda request: None
    #: How often each body was answered and is paid.
    paid: Counter[str] = field(default_factory=Counter)
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, _Batch] = field(default_factory=dict)

    def __call__(self, request: ReceivedRequest) -> Reply:
        if (other := self.before(request)) is not None:
            return other
        reply = self._route(request)
        return self.after(request) or reply

    def _route(self, request: ReceivedRequest) -> Reply:
        parts = request.path.removeprefix("/v1/").split("/")
        match request.method, *parts:
            case "POST", "files":
                return self._keep_file(request)
            case "GET", "files", name, "content":
                return Reply(body=self.files[name]) if name in self.files else _refuse(404, "no such file")
            case "POST", "batches":
                return self._make_batch(request.body)
            case "GET", "batches":
                return self._list(request)
            case "GET", "batches", name if name in self.batches:
                return Reply(body=self._poll(self.batches[name]))
            case "POST", "batches", name, "cancel" if name in self.batches:
                self.batches[name].end = "cancelled"
                return Reply(body=self._poll(self.batches[name]))
            case _:
                return _refuse(404, f"no such route: {request.method} {request.path}")

    def _keep_file(self, request: ReceivedRequest) -> Reply:
        boundary = _BOUNDARY.search(request.headers.get("content-type", ""))
        fields = {} if boundary is None else _read_form(request.raw, boundary[1].encode())
        if fields.get("purpose") != b"batch" or not fields.get("file"):
            return _refuse(400, "a file for batches needs `file` and `purpose: batch`")
        name = f"file-{len(self.files)}"
        self.files[name] = fields["file"]
        return Reply(body={"id": name, "object": "file", "bytes": len(fields["file"]), "purpose": "batch"})

    def _make_batch(self, asked: Any) -> Reply:
        if asked.get("completion_window") != "24h" or asked.get("input_file_id") not in self.files:
            return _refuse(400, "a batch needs an input file and `completion_window: 24h`")
        lines = [json.loads(line) for line in self.files[asked["input_file_id"]].splitlines()]
        name = f"batch_{len(self.batches)}"
        shown = {
            "id": name,
            "object": "batch",
            "endpoint": asked["endpoint"],
            "errors": None,
            "input_file_id": asked["input_file_id"],
            "status": "validating",
            "output_file_id": None,
            "error_file_id": None,
            "created_at": len(self.batches),
            "metadata": asked.get("metadata"),
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
        }
        end = self.ends
        if problem := _find_problem(lines, asked["endpoint"]):
            end = "failed"
            shown["errors"] = {"object": "list", "data": [{"code": "invalid_request", "message": problem, "line": 1}]}
        output, errors = self._answer(lines, end)
        self.batches[name] = _Batch(shown, output, errors, end)
        return Reply(body=shown)

    def _answer(self, lines: list[dict[str, Any]], end: str) -> tuple[bytes, bytes]:
        """The lines of the output and of the error file, in another order than that of the input."""
        output: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        done = {"completed": len(lines), "failed": 0}.get(end, len(lines) // 2)
        for number, line in enumerate(lines):
            result = {"id": f"result_{number}", "custom_id": line["custom_id"], "response": None, "error": None}
            if number >= done:
                if end == "expired":
                    told = "This request could not be executed before the completion window expired."
                    errors.append({**result, "error": {"code": "batch_expired", "message": told}})
                continue
            made = self.answer(line["body"])
            self.paid[json.dumps(line["body"], sort_keys=True)] += 1
            if number in self.lost:
                continue
            failed = isinstance(made, Reply)
            status, body = (made.status, made.body) if isinstance(made, Reply) else (200, made)
            response = {"status_code": status, "request_id": f"req_{number}", "body": body}
            (errors if failed else output).append({**result, "response": response})
        return _write_lines(reversed(output)), _write_lines(reversed(errors))

    def _poll(self, batch: _Batch) -> dict[str, Any]:
        shown = batch.shown
        if shown["status"] in _ENDS:
            return shown
        shown["status"] = _STEPS[batch.polls] if batch.polls < len(_STEPS) else batch.end
        batch.polls += 1
        if shown["status"] in _ENDS:
            for key, content in (("output_file_id", batch.output), ("error_file_id", batch.errors)):
                if content:
                    shown[key] = f"file-{len(self.files)}"
                    self.files[shown[key]] = content
            counts = {"completed": batch.output.count(b"\n"), "failed": batch.errors.count(b"\n")}
            shown["request_counts"] |= counts
        return shown

    def _list(self, request: ReceivedRequest) -> Reply:
        """The newest first, a page at a time."""
        names = list(reversed(self.batches))
        after = request.query.get("after")
        if after is not None:
            names = names[names.index(after) + 1 :]
        limit = int(request.query.get("limit", "20"))
        data = [self.batches[name].shown for name in names[:limit]]
        last = data[-1]["id"] if data else None
        return Reply(body={"object": "list", "data": data, "last_id": last, "has_more": len(names) > limit})


def _find_problem(lines: list[dict[str, Any]], endpoint: str) -> str:
    ids = [line.get("custom_id") for line in lines]
    if len(set(ids)) < len(ids) or not all(ids):
        return "The custom_id of each request must be there and unique."
    if any(line.get("url") != endpoint or line.get("method") != "POST" for line in lines):
        return "All requests must be for the endpoint of the batch."
    return ""


def _read_form(raw: bytes, boundary: bytes) -> dict[str, bytes]:
    """The fields of a form with parts."""
    fields: dict[str, bytes] = {}
    for part in raw.split(b"--" + boundary)[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]+)"', head)
        if name is not None:
            fields[name[1].decode()] = content.removesuffix(b"\r\n")
    return fields


def _write_lines(lines: Any) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def _refuse(status: int, message: str) -> Reply:
    return Reply(status, make_error_body(message, "invalid_request_error"))
