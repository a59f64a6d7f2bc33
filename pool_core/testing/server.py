"""A small OpenAI-compatible server for tests, which answers as its script says.

::

    with ScriptedServer([Reply(status=429, headers={"Retry-After": "1"})]) as server:
        ...  # the first request to server.url gets the 429, all later ones an echo of their prompt
    assert len(server.requests) == 2

It listens on 127.0.0.1, on a free port, in a thread of its own; it speaks HTTP/1.1 with kept
connections and ``/v1/chat/completions``, ``/v1/completions`` and ``/v1/models``. It never streams.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias
from urllib.parse import urlsplit

__all__ = ["ReceivedRequest", "Reply", "ScriptedServer", "make_chat_body", "make_text_body"]


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One request as it arrived."""

    method: str
    path: str
    #: Names in lower case; the values of a repeated header are joined by commas.
    headers: Mapping[str, str]
    #: The body read as JSON, None where it is empty or not JSON.
    body: Any
    raw: bytes
    #: `time.monotonic` when the whole request was there, in seconds.
    received_at: float
    #: Number of the connection that it came on, from 0.
    connection: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server does with one request."""

    status: int = 200
    #: Sent as it is, or as JSON. None stands for the echo where the status is 200, else for an error object.
    body: bytes | Mapping[str, Any] | None = None
    #: Added to ``Content-Type`` and ``Content-Length``, or in their place: a false ``Content-Length`` is sent
    #: as it stands, and ``Transfer-Encoding: chunked`` sends the body in chunks.
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Seconds to wait before the first byte.
    delay: float = 0.0
    #: Reset the connection: before any byte, within the headers, or within the body.
    cut: Literal["before", "headers", "body"] | None = None


#: Replies used up one per request, then echoes; or a function that makes the reply to each request, where
#: None stands for the echo. The function runs in the server's thread, one call at a time.
Script: TypeAlias = Sequence[Reply] | Callable[[ReceivedRequest], Reply | None]


def make_chat_body(text: str | None, *, finish_reason: str = "stop", **message: Any) -> dict[str, Any]:
    """The body of a chat completion with ``text``. ``message`` adds fields to its message."""
    return _make_body(
        "chat.completion", text, finish_reason, {"message": {"role": "assistant", "content": text} | message}
    )


def make_text_body(text: str, *, finish_reason: str = "stop") -> dict[str, Any]:
    """The body of a text completion with ``text``."""
    return _make_body("text_completion", text, finish_reason, {"text": text})


def _make_body(kind: str, text: str | None, finish_reason: str, content: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"reply-{zlib.crc32((text or '').encode('utf-8', 'surrogatepass')):08x}",
        "object": kind,
        "created": 0,
        "model": "scripted-model",
        "choices": [{"index": 0, **content, "finish_reason": finish_reason, "logprobs": None}],
        "usage": {"prompt_tokens": 7, "completion_tokens": len((text or "").split()), "total_tokens": 7},
    }


def _make_error(message: str, kind: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def _answer(request: ReceivedRequest) -> Reply:
    """The echo of a prompt, the list of models, or the error that a real server would give."""
    match request.method, request.path:
        case "GET", "/v1/models":
            return Reply(body={"object": "list", "data": [{"id": "scripted-model", "object": "model"}]})
        case "POST", "/v1/chat/completions":
            name = "messages"
        case "POST", "/v1/completions":
            name = "prompt"
        case method, path:
            return Reply(404, _make_error(f"no such route: {method} {path}", "invalid_request_error"))
    if not isinstance(request.body, dict) or not request.body.get(name):
        return Reply(400, _make_error(f"the body needs {name!r}", "invalid_request_error"))
    text = f"echo: {_read_prompt(request.body[name])}"
    return Reply(body=make_chat_body(text) if name == "messages" else make_text_body(text))


def _read_prompt(prompt: Any) -> str:
    """The text of a prompt, or of the last message of a chat."""
    content = prompt[-1].get("content") if isinstance(prompt, list) and isinstance(prompt[-1], dict) else prompt
    return content if isinstance(content, str) else json.dumps(content)


class ScriptedServer:
    """The server. Use it in a ``with`` statement, or call `start` and `stop`; it runs once."""

    def __init__(self, script: Script = (), *, ssl_context: ssl.SSLContext | None = None) -> None:
        #: Every request so far, in order of arrival.
        self.requests: list[ReceivedRequest] = []
        #: Most requests that were being answered at one time.
        self.max_in_flight = 0
        #: The port that it listens on, 0 before `start`.
        self.port = 0
        self._make_reply = script if callable(script) else _use_up(script)
        self._ssl_context = ssl_context
        self._in_flight = 0
        self._connections: list[asyncio.Task[None]] = []
        self._failure: Exception | None = None
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="scripted-server", daemon=True)

    @property
    def url(self) -> str:
        """What clients take as their base URL, such as ``http://127.0.0.1:40123/v1``."""
        return f"{'https' if self._ssl_context else 'http'}://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Listen, and answer in a thread of its own."""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread.start()

    def stop(self) -> None:
        """Close every connection and end the thread. May be called twice.

        Raises:
            Exception: what the script's function raised, if it did.
        """
        if not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _run(self) -> None:
        self._loop.run_until_complete(self._listen())
        self._loop.close()

    async def _listen(self) -> None:
        server = await asyncio.start_server(self._accept, sock=self._socket, ssl=self._ssl_context, backlog=1024)
        await self._stopping.wait()
        server.close()
        for connection in self._connections:
            connection.cancel()
        ends = await asyncio.gather(*self._connections, return_exceptions=True)
        self._failure = next((end for end in ends if isinstance(end, Exception)), None)
        await server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.append(asyncio.ensure_future(self._serve(reader, writer, len(self._connections))))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> None:
        writer.transport.set_write_buffer_limits(0)  # so that drain() waits until all is sent
        try:
            while (request := await _read_request(reader, connection)) is not None:
                self.requests.append(request)
                self._in_flight += 1
                self.max_in_flight = max(self.max_in_flight, self._in_flight)
                try:
                    if not await self._send(writer, request):
                        return
                finally:
                    self._in_flight -= 1
        except ConnectionError:
            return  # clients may hang up whenever they like
        finally:
            await _close(writer)

    async def _send(self, writer: asyncio.StreamWriter, request: ReceivedRequest) -> bool:
        """Reply to ``request``. Returns whether the connection can take another one."""
        reply = self._make_reply(request) or Reply()
        await asyncio.sleep(reply.delay)
        head, body = _write_reply(reply, request)
        match reply.cut:
            case None:
                data = head + body
            case "before":
                data = b""
            case "headers":
                data = head[: len(head) // 2]
            case "body":
                data = head + body[: len(body) // 2]
        writer.write(data)
        await writer.drain()
        if reply.cut is not None:
            # closing a socket that lingers for no time sends a reset
            option = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
        return reply.cut is None and b"connection: close" not in head and request.headers.get("connection") != "close"


def _use_up(replies: Sequence[Reply]) -> Callable[[ReceivedRequest], Reply | None]:
    left = iter(tuple(replies))
    return lambda request: next(left, None)


async def _read_request(reader: asyncio.StreamReader, connection: int) -> ReceivedRequest | None:
    """The next request, None where the client has hung up."""
    try:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers: dict[str, str] = {}
        for line in filter(None, lines[1:]):
            name, _, value = line.partition(":")
            name, value = name.strip().lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
    except asyncio.IncompleteReadError:
        return None
    method, target, _ = lines[0].split(" ")
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    return ReceivedRequest(method, urlsplit(target).path, headers, body, raw, time.monotonic(), connection)


def _write_reply(reply: Reply, request: ReceivedRequest) -> tuple[bytes, bytes]:
    """The bytes of the headers and of the body."""
    if reply.body is None:
        told = _make_error(f"scripted status {reply.status}", "scripted")
        default = _answer(request) if reply.status == HTTPStatus.OK else Reply(reply.status, told)
        reply = replace(reply, status=default.status, body=default.body)
    body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
    headers = {"content-type": "application/json"} | {name.lower(): value for name, value in reply.headers.items()}
    if headers.get("transfer-encoding") == "chunked":
        chunks = [body[i : i + 65536] for i in range(0, len(body), 65536)]
        body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    else:
        headers.setdefault("content-length", str(len(body)))
    phrase = HTTPStatus(reply.status).phrase if reply.status in set(HTTPStatus) else "Unknown"
    lines = [f"HTTP/1.1 {reply.status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1"), body


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    try:
        await writer.wait_closed()
    except OSError:
        return  # the client closed first
