"""An OpenAI-compatible server for benchmarks: one process, raw HTTP/1.1, latencies as a schedule says.

A call takes about 14 us of its core without latency and 50 with, so that it is never what is measured. ``python
server.py`` prints its port; ``POST /config`` takes the load and forgets what was counted, ``GET /stats`` says what was.
A call's row is read from its prompt (``row-123.``), and the answer names model and row, so that outputs can be checked.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # as a script, its own folder is there alone
from speed.schedule import Load, ModelLoad

__all__ = ["make_answer"]

WORDS = " ".join(f"word{number % 10}" for number in range(140))


def make_answer(model: str, row: int) -> str:
    """The text that a model answers for a row: about 850 bytes."""
    return f"{model} answers row-{row}. {WORDS}"


class Counts:
    """What arrived for one model."""

    def __init__(self) -> None:
        self.requests = 0
        self.limited = 0
        self.inflight = 0
        self.most_inflight = 0
        self.first = 0.0
        self.last = 0.0
        self.attempts: defaultdict[int, int] = defaultdict(int)

    def write(self) -> dict[str, Any]:
        """All of it, for the client; times are those of the system's monotonic clock."""
        return {
            "requests": self.requests,
            "limited": self.limited,
            "most_inflight": self.most_inflight,
            "first": self.first,
            "last": self.last,
            "rows": len(self.attempts),
        }


class State:
    """The load that is played, and what was counted since it was set."""

    def __init__(self) -> None:
        self.load = Load({})
        self.models: defaultdict[str, Counts] = defaultdict(Counts)
        self.connections = 0

    def configure(self, body: bytes) -> None:
        """Play another load."""
        config = json.loads(body)
        self.load = Load({name: ModelLoad(**one) for name, one in config["models"].items()}, config["seed"])
        self.models.clear()
        self.connections = 0


class Connection(asyncio.Protocol):
    """One connection: replies in the order of the requests; a client that pipelines is not expected."""

    def __init__(self, state: State, loop: asyncio.AbstractEventLoop) -> None:
        self.state = state
        self.loop = loop
        self.buffer = b""
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.state.connections += 1

    def data_received(self, data: bytes) -> None:
        self.buffer = self.buffer + data if self.buffer else data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end]
            length = _read_length(head)
            if length < 0:  # chunks: complete when the last one is there
                stop = self.buffer.find(b"0\r\n\r\n", end + 4)
                if stop < 0:
                    return
                body, rest = _join_chunks(self.buffer[end + 4 : stop + 5]), stop + 5
            else:
                rest = end + 4 + length
                if len(self.buffer) < rest:
                    return
                body = self.buffer[end + 4 : rest]
            self.buffer = self.buffer[rest:]
            self.answer(head, body)

    def answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"POST") and b"/chat/completions" in head[:60]:
            self.answer_chat(body)
        elif head.startswith(b"POST /config"):
            self.state.configure(body)
            self.reply(b"{}")
        elif head.startswith(b"GET /stats"):
            models = {name: counts.write() for name, counts in self.state.models.items()}
            self.reply(json.dumps({"models": models, "connections": self.state.connections}).encode())
        elif b"/models" in head[:60]:
            names = [{"id": name, "object": "model"} for name in ("m0", "m1", "m2")]
            self.reply(json.dumps({"object": "list", "data": names}).encode())
        else:
            self.reply(b'{"error": {"message": "no such page"}}', b"404 Not Found")

    def answer_chat(self, body: bytes) -> None:
        now = time.monotonic()
        model, row = _read_model(body), _read_row(body)
        if row < 0:  # a probe or a dry run: no row, and not counted
            self.reply(_make_body(model, row))
            return
        counts = self.state.models[model]
        counts.requests += 1
        counts.first = counts.first or now
        counts.inflight += 1
        counts.most_inflight = max(counts.most_inflight, counts.inflight)
        attempt = counts.attempts[row]
        counts.attempts[row] += 1
        seconds, limited = self.state.load.draw(model, row, attempt)
        if seconds:
            self.loop.call_at(self.loop.time() + seconds, self.finish, counts, model, row, limited)
        else:
            self.finish(counts, model, row, limited)

    def finish(self, counts: Counts, model: str, row: int, limited: bool) -> None:
        counts.inflight -= 1
        counts.last = time.monotonic()
        if limited:
            counts.limited += 1
            wait = self.state.load.models[model].retry_after
            error = b'{"error": {"message": "slow down", "type": "rate_limit_error", "code": "rate_limit_exceeded"}}'
            self.reply(error, b"429 Too Many Requests", b"retry-after: %g\r\n" % wait)
        else:
            self.reply(_make_body(model, row))

    def reply(self, body: bytes, status: bytes = b"200 OK", more: bytes = b"") -> None:
        self.transport.write(
            b"HTTP/1.1 %b\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n%b"
            % (status, more, len(body), body)
        )


def _read_length(head: bytes) -> int:
    """The length of the body, or -1 where it comes in chunks."""
    lower = head.lower()
    start = lower.find(b"\ncontent-length:")
    if start < 0:
        return -1 if b"transfer-encoding: chunked" in lower else 0
    stop = lower.find(b"\r", start)
    return int(lower[start + 16 : stop if stop >= 0 else len(lower)])


def _join_chunks(data: bytes) -> bytes:
    parts, position = [], 0
    while True:
        stop = data.index(b"\r\n", position)
        size = int(data[position:stop].split(b";")[0], 16)
        if not size:
            return b"".join(parts)
        parts.append(data[stop + 2 : stop + 2 + size])
        position = stop + 2 + size + 2


def _read_model(body: bytes) -> str:
    start = body.find(b'"model"')
    start = body.find(b'"', start + 8) + 1
    return body[start : body.find(b'"', start)].decode()


def _read_row(body: bytes) -> int:
    start = body.find(b"row-")
    if start < 0:
        return -1
    return int(body[start + 4 : body.find(b".", start)])


def _make_body(model: str, row: int) -> bytes:
    return (
        b'{"id":"chatcmpl-%d","object":"chat.completion","created":1700000000,"model":"%b","choices":[{"index":0,"message":'
        b'{"role":"assistant","content":"%b"},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":80,'
        b'"completion_tokens":140,"total_tokens":220}}' % (row, model.encode(), make_answer(model, row).encode())
    )


async def serve() -> None:
    """Serve until the process is told to end, or its standard input ends: nobody is left to tell it."""
    loop = asyncio.get_running_loop()
    state, ended = State(), asyncio.Event()
    server = await loop.create_server(lambda: Connection(state, loop), "127.0.0.1", 0, backlog=4096)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_reader(sys.stdin.fileno(), ended.set)
    print(server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()


def main() -> None:
    """Serve on a core of its own where there are several."""
    if hasattr(os, "sched_setaffinity") and len(cores := sorted(os.sched_getaffinity(0))) > 1:
        os.sched_setaffinity(0, {cores[-1]})
    asyncio.run(serve())


if __name__ == "__main__":
    main()
