"""The scripted server keeps its word: scripts, echoes, cuts, counters, and a clean end."""

from __future__ import annotations

import asyncio
import gc
import http.client
import json
import socket
import threading
import time

import pytest

from pool_core.testing.server import Fault, ReceivedRequest, Reply, ScriptedServer, _send_reply, make_chat_body
from pool_core.testing.virtual_time import run_virtual

CHAT = {"model": "m", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "Hi"}]}


def send(server, body=CHAT, path="/v1/chat/completions", *, method="POST", connection=None):
    """Send one request and return status, headers, and the body read as JSON."""
    own = connection or http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        own.request(method, path, None if body is None else json.dumps(body))
        reply = own.getresponse()
        return reply.status, reply.headers, json.loads(reply.read())
    finally:
        if connection is None:
            own.close()


def send_raw(server, data):
    """Send bytes and return all that comes until the connection ends."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        client.sendall(data)
        received = b""
        while chunk := client.recv(65536):
            received += chunk
        return received


def receive_until_reset(client):
    """Yield what comes. An end of the connection without a reset fails the test."""
    while True:
        try:
            chunk = client.recv(65536)
        except ConnectionResetError:
            return
        assert chunk, "the connection was closed, not reset"
        yield chunk


RAW = b'POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n\r\n{"prompt":"a"}'


@pytest.mark.parametrize(
    ("path", "body", "read"),
    [
        ("/v1/chat/completions", CHAT, lambda reply: reply["choices"][0]["message"]["content"]),
        ("/v1/completions", {"prompt": "Hi"}, lambda reply: reply["choices"][0]["text"]),
    ],
)
def test_echoes_the_prompt_and_nothing_else_varies(path, body, read):
    with ScriptedServer() as server:
        status, headers, reply = send(server, body, path)
        assert send(server, body, path)[2] == reply
    assert (status, headers["content-type"], read(reply)) == (200, "application/json", "echo: Hi")
    assert reply["usage"]["completion_tokens"] == 2


def test_content_in_parts_is_echoed_as_json():
    parts = [{"type": "text", "text": "Hi"}]
    with ScriptedServer() as server:
        reply = send(server, {"messages": [{"role": "user", "content": parts}]})[2]
    assert reply["choices"][0]["message"]["content"] == f"echo: {json.dumps(parts)}"


def test_lists_models():
    with ScriptedServer() as server:
        assert send(server, None, "/v1/models", method="GET")[2]["data"][0]["id"] == "scripted-model"


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/v2/x", CHAT, 404, "no such route: POST /v2/x"),
        ("/v1/completions", CHAT, 400, "the body needs 'prompt'"),
        ("/v1/chat/completions", [1], 400, "the body needs 'messages'"),
    ],
)
def test_refuses_what_a_real_server_refuses(path, body, status, message):
    with ScriptedServer() as server:
        got = send(server, body, path)
    assert (got[0], got[2]["error"]["message"]) == (status, message)


def test_a_list_is_used_up_in_order_and_then_echoes():
    replies = [Reply(503), Reply(429, {"error": "slow"}, {"Retry-After": "2"}), Reply(body=make_chat_body("ready"))]
    with ScriptedServer(replies) as server:
        got = [send(server) for _ in range(4)]
    assert [status for status, _, _ in got] == [503, 429, 200, 200]
    assert got[0][2]["error"]["message"] == "scripted status 503"
    assert got[1][1]["retry-after"] == "2"
    texts = [reply["choices"][0]["message"]["content"] for _, _, reply in got[2:]]
    assert texts == ["ready", "echo: Hi"]


def test_a_function_sees_the_request_and_may_leave_it_to_the_echo():
    def make_reply(request: ReceivedRequest) -> Reply | None:
        return Reply(500) if request.body["model"] == "bad" else None

    with ScriptedServer(make_reply) as server:
        assert [send(server, CHAT | {"model": model})[0] for model in ("bad", "good")] == [500, 200]


def test_records_what_arrived_and_keeps_connections():
    before = time.monotonic()
    with ScriptedServer() as server:
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        for _ in range(2):
            send(server, connection=client)
        client.close()
        send(server, None, "/v1/models?limit=1", method="GET")
    first, second, third = server.requests
    assert (first.method, first.path, first.body) == ("POST", "/v1/chat/completions", CHAT)
    assert first.headers["host"] == f"127.0.0.1:{server.port}"
    assert json.loads(first.raw) == CHAT
    assert before <= first.received_at <= second.received_at <= time.monotonic()
    assert [request.connection for request in server.requests] == [0, 0, 1]
    assert (third.path, third.body) == ("/v1/models", None)


def test_a_repeated_header_is_joined():
    with ScriptedServer() as server:
        send_raw(server, b"GET /v1/models HTTP/1.1\r\nX-A: 1\r\nx-a: 2\r\nConnection: close\r\n\r\n")
    assert server.requests[0].headers["x-a"] == "1, 2"


def test_either_side_may_end_the_connection():
    with ScriptedServer([Reply(headers={"Connection": "close"})]) as server:
        assert send_raw(server, RAW).endswith(b"}")
        assert send_raw(server, RAW.replace(b"Host: x", b"Connection: close")).endswith(b"}")


def test_headers_of_a_reply_win():
    with ScriptedServer(
        [Reply(200, b"\xff", {"Content-Type": "text/html", "Content-Length": "9"}, cut="body")]
    ) as server:
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        client.request("POST", "/v1/completions", "{}")
        reply = client.getresponse()
        assert (reply.headers["content-type"], reply.headers["content-length"]) == ("text/html", "9")
        client.close()


def test_sends_a_body_in_chunks():
    body = make_chat_body("x" * 200_000)
    with ScriptedServer([Reply(body=body, headers={"Transfer-Encoding": "chunked"})]) as server:
        status, headers, reply = send(server)
    assert (status, headers["content-length"], reply) == (200, None, body)


@pytest.mark.parametrize("cut", ["before", "headers", "body"])
def test_a_cut_resets_the_connection_where_it_says(cut):
    with ScriptedServer([Reply(body=b"0123456789", cut=cut)]) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
            client.sendall(RAW)
            received = b"".join(receive_until_reset(client))
        assert send(server)[0] == 200
    head, blank, body = received.partition(b"\r\n\r\n")
    assert bool(head) == (cut != "before")
    assert bool(blank) == (cut == "body")
    assert body == (b"01234" if cut == "body" else b"")


def test_a_connection_can_end_behind_a_whole_reply():
    with ScriptedServer([Reply(body=b"0123456789", cut="after")]) as server:
        received = send_raw(server, RAW)
        assert send(server)[0] == 200
    assert received.endswith(b"0123456789")
    assert b"connection: close" not in received.lower()


class Written:
    """A connection that keeps what is written to it, and when."""

    def __init__(self):
        self.writes = []

    def write(self, data):
        self.writes.append((asyncio.get_running_loop().time(), data))

    async def drain(self):
        pass


@pytest.mark.parametrize("drip", ["headers", "body"])
def test_bytes_are_written_one_by_one(drip):
    """What arrives together is for the network to say: what is written is looked at."""
    connection = Written()
    request = ReceivedRequest("POST", "/v1/completions", {}, {"prompt": "a"}, b'{"prompt":"a"}', 0.0, 0)
    run_virtual(_send_reply(connection, request, Reply(drip=drip, drip_seconds=2.0)))
    (begun, first), *rest = connection.writes
    head, blank, body = b"".join(data for _, data in connection.writes).partition(b"\r\n\r\n")
    assert first == (b"" if drip == "headers" else head + blank)
    assert [len(data) for _, data in rest] == [1] * (len(body) if drip == "body" else len(head + blank + body))
    assert [when - begun for when, _ in rest] == pytest.approx([2.0 * number for number in range(1, len(rest) + 1)])


@pytest.mark.parametrize("drip", ["headers", "body"])
def test_bytes_that_come_one_by_one_are_a_reply(drip):
    with ScriptedServer([Reply(drip=drip, drip_seconds=0.001)]) as server:
        client = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        with client:
            client.sendall(RAW)
            received = b""
            while not received.endswith(b"}}"):
                received += client.recv(65536)
    assert received.startswith(b"HTTP/1.1 200")
    assert received.count(b"echo: a") == 1


def test_a_client_may_hang_up_while_bytes_come_one_by_one():
    with ScriptedServer([Reply(drip="body", drip_seconds=0.001, body=b"0" * 1_000_000)]) as server:
        client = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        client.sendall(RAW)
        client.recv(1)
        client.close()
        assert send(server)[0] == 200


def test_sends_raw_bytes_as_they_are_and_ends_the_connection():
    with ScriptedServer([Reply(raw=b"what?")]) as server:
        assert send_raw(server, RAW) == b"what?"


def test_a_header_can_come_twice():
    with ScriptedServer([Reply(headers={"X-A": ["1", "2"]})]) as server:
        assert send(server)[1].get_all("x-a") == ["1", "2"]


def test_counts_the_faults_that_it_has_fired():
    fault = Fault("bad", "a bad request", lambda request: Reply(400 + len(request.path)))
    with ScriptedServer([fault, Reply(503), fault]) as server:
        statuses = [send(server)[0] for _ in range(4)]
    assert statuses == [420, 503, 420, 200]
    assert server.fired == {"bad": 2}


def test_a_function_can_fire_faults():
    cut = Fault("cut", "a reset", lambda request: Reply(cut="before"))
    with ScriptedServer(lambda request: cut if request.body["model"] == "bad" else None) as server:
        with pytest.raises(ConnectionError):
            send(server, CHAT | {"model": "bad"})
        assert send(server)[0] == 200
    assert server.fired == {"cut": 1}


def test_a_fault_that_is_still_under_way_counts_when_the_server_stops():
    slow = Fault("slow", "nothing", lambda request: Reply(delay=3600))
    with ScriptedServer([slow]) as server:
        client = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        client.sendall(RAW)
        while not server.requests:
            time.sleep(0.001)
        assert server.fired == {}
    client.close()
    assert server.fired == {"slow": 1}


def test_counts_what_is_in_flight():
    with ScriptedServer([Reply(), *[Reply(delay=3600)] * 3]) as server:
        send(server)
        assert server.max_in_flight == 1
        clients = [socket.create_connection(("127.0.0.1", server.port), timeout=60) for _ in range(3)]
        for client in clients:
            client.sendall(RAW)
        while len(server.requests) < 4:
            time.sleep(0.001)
    for client in clients:
        client.close()
    assert server.max_in_flight == 3


def test_a_delay_is_waited_for():
    with ScriptedServer([Reply(delay=0.05)]) as server:
        start = time.monotonic()
        send(server)
    assert time.monotonic() - start >= 0.05


def test_stops_at_once_with_a_request_under_way_and_leaves_no_thread():
    with ScriptedServer([Reply(delay=3600)]) as server:
        client = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        client.sendall(RAW)
        while not server.requests:
            time.sleep(0.001)
        start = time.monotonic()
    assert time.monotonic() - start < 600
    assert client.recv(10) == b""
    client.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "scripted-server"]
    assert server._socket.fileno() == -1  # whether somebody listens at the port says nothing: it is free again


def test_connections_that_come_in_the_moment_of_the_end_are_closed():
    busy, ending = threading.Event(), threading.Event()

    def hold(request):
        busy.set()
        ending.wait(60)

    with ScriptedServer(hold) as server:
        clients = [socket.create_connection(("127.0.0.1", server.port), timeout=60)]
        clients[0].sendall(RAW)
        assert busy.wait(60)
        clients += [socket.create_connection(("127.0.0.1", server.port), timeout=60) for _ in range(5)]
        server._loop.call_soon_threadsafe(server._stopping.set)  # what `stop` begins with, while all of them wait
        ending.set()
    gc.collect()  # what was not closed warns
    for client in clients[1:]:
        assert client.recv(10) == b""
    for client in clients:
        client.close()


def test_a_client_that_hangs_up_harms_nothing():
    big = Reply(body=b"0" * 20_000_000)
    with ScriptedServer([big]) as server:
        client = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        client.sendall(RAW)
        client.recv(1)
        client.close()
        assert send(server)[0] == 200


def test_may_be_stopped_twice_and_without_start():
    server = ScriptedServer()
    server.stop()
    server.start()
    server.stop()
    server.stop()


def test_an_exception_of_the_script_fails_the_test():
    def make_reply(request: ReceivedRequest) -> Reply:
        raise KeyError(request.path)

    with pytest.raises(KeyError, match="/v1/completions"), ScriptedServer(make_reply) as server:
        assert send_raw(server, RAW) == b""


def test_works_beside_an_event_loop_of_the_test():
    async def call(server):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(RAW)
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return line

    with ScriptedServer() as server:
        assert asyncio.run(call(server)) == b"HTTP/1.1 200 OK\r\n"
