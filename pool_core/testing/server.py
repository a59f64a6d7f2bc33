"""A small OpenAI-compatible server for tests, which answers as its script says.

::

    with ScriptedServer([Reply(status=429, headers={"Retry-After": "1"})]) as server:
        ...  # the first request to server.url gets the 429, all later ones an echo of their prompt
    assert len(server.requests) == 2

It listens on 127.0.0.1, on a free port, in a thread of its own; it speaks HTTP/1.1 with kept
connections and ``/v1/chat/completions``, ``/v1/completions`` and ``/v1/models``, and Anthropic's
``/v1/messages``. It never streams.

A script may name faults as well, and the server counts those that it has fired::

    with ScriptedServer([FAULTS["truncated-json"]]) as server:
        ...
    assert server.fired == {"truncated-json": 1}
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from pool_core.testing.replies import Fault, ReceivedRequest, Reply, make_chat_body, make_text_body, write_reply

__all__ = ["Fault", "ReceivedRequest", "Reply", "ScriptedServer", "make_chat_body", "make_text_body"]


#: Replies and faults used up one per request, then echoes; or a function that makes the reply to each request,
#: where None stands for the echo. The function runs in the server's thread, one call at a time.
Script: TypeAlias = Sequence[Reply | Fault] | Callable[[ReceivedRequest], Reply | Fault | None]


class ScriptedServer:
    """The server. Use it in a ``with`` statement, or call `start` and `stop`; it runs once."""

    def __init__(self, script: Script = (), *, ssl_context: ssl.SSLContext | None = None) -> None:
        #: Every request so far, in order of arrival.
        self.requests: list[ReceivedRequest] = []
        #: How often each fault was fired, by name. A fault counts when the server is done with it, or its client
        #: has gone; one that is slow counts when the server is stopped.
        self.fired: Counter[str] = Counter()
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
        self._loop = asyncio.SelectorEventLoop()
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
        self._loop.remove_reader(self._socket)
        await asyncio.sleep(0)  # what was accepted until now is a connection then, and ends with the others
        server.close()
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        ends = await asyncio.gather(*self._connections, return_exceptions=True)
        self._failure = next((end for end in ends if isinstance(end, Exception)), None)
        await server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._stopping.is_set():
            writer.transport.abort()
            return
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
        made = self._make_reply(request) or Reply()
        if isinstance(made, Reply):
            return await _send_reply(writer, request, made)
        try:
            return await _send_reply(writer, request, made.make_reply(request))
        finally:
            self.fired[made.name] += 1


async def _send_reply(writer: asyncio.StreamWriter, request: ReceivedRequest, reply: Reply) -> bool:
    """Send ``reply``. Returns whether the connection can take another request."""
    await asyncio.sleep(reply.delay)
    head, body = write_reply(reply, request)
    match reply.cut:
        case None | "after":
            data = head + body
        case "before":
            data = b""
        case "headers":
            data = head[: len(head) // 2]
        case "body":
            data = head + body[: len(body) // 2]
    at_once = {None: len(data), "headers": 0, "body": len(head)}[reply.drip]
    writer.write(data[:at_once])
    await writer.drain()
    for byte in data[at_once:]:
        await asyncio.sleep(reply.drip_seconds)
        writer.write(bytes([byte]))
        await writer.drain()
    if reply.cut in ("before", "headers", "body"):
        # closing a socket that lingers for no time sends a reset
        option = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
    ends = reply.cut is not None or reply.raw is not None or b"connection: close" in head
    return not ends and request.headers.get("connection") != "close"


def _use_up(replies: Sequence[Reply | Fault]) -> Callable[[ReceivedRequest], Reply | Fault | None]:
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
    url = urlsplit(target)
    query = dict(parse_qsl(url.query))
    return ReceivedRequest(method, url.path, headers, body, raw, time.monotonic(), connection, query)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    try:
        await writer.wait_closed()
    except OSError:
        return  # the client closed first
