"""The server that benchmarks are run against: a real process and real sockets."""

from __future__ import annotations

import http.client
import json

import pytest
from speed.play import run_server
from speed.schedule import Load, ModelLoad
from speed.server import make_answer


@pytest.fixture(scope="module")
def server():
    with run_server() as running:
        yield running


@pytest.fixture
def ask(server):
    """Ask for a row on one connection; gives the status, the headers and the reply."""
    connection = http.client.HTTPConnection(*server.url.split("/")[2].split(":"), timeout=60)

    def send(model, text, **options):
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": text}]}).encode()
        if options.get("encode_chunked"):
            body = iter([body[:10], body[10:]])
        connection.request("POST", "/m0/v1/chat/completions", body, **options)
        reply = connection.getresponse()
        return reply.status, reply.headers, json.loads(reply.read())

    yield send
    connection.close()


def test_an_answer_names_model_and_row(server, ask):
    server.play(Load({}))
    for row in (7, 123):
        status, _, reply = ask("m1", f"Say something to row-{row}. At length.")
        assert status == 200
        assert reply["choices"][0]["message"]["content"] == make_answer("m1", row)
    seen = server.read()["m1"]
    assert (seen.requests, seen.rows, seen.limited, seen.most_inflight) == (2, 2, 0, 1)
    assert 0 < seen.first <= seen.last


def test_a_body_in_chunks_is_understood(server, ask):
    server.play(Load({}))
    headers = {"Transfer-Encoding": "chunked"}
    status, _, reply = ask("m0", "Say something to row-5.", headers=headers, encode_chunked=True)
    assert (status, reply["choices"][0]["message"]["content"]) == (200, make_answer("m0", 5))


def test_an_answer_takes_the_time_of_its_schedule(server, ask):
    load = Load({"m0": ModelLoad(0.05)})
    server.play(load)
    for row in range(3):
        ask("m0", f"row-{row}.")
    assert server.read()["m0"].span >= sum(load.draw("m0", row, 0)[0] for row in range(3)) - 0.01  # timers are rounded


def test_a_row_that_has_to_come_back_is_answered_then(server, ask):
    server.play(Load({"m0": ModelLoad(limited=1.0, retry_after=1.5)}))
    status, headers, _ = ask("m0", "row-1.")
    assert (status, headers["retry-after"]) == (429, "1.5")
    assert ask("m0", "row-1.")[0] == 200
    seen = server.read()["m0"]
    assert (seen.requests, seen.limited, seen.rows) == (2, 1, 1)


def test_what_has_no_row_is_answered_and_not_counted(server, ask):
    server.play(Load({}))
    assert ask("m0", "Are you there?")[0] == 200
    assert server.read() == {}
