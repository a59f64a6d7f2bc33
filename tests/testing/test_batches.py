"""The server of files and batches: it checks what the API checks, and a batch goes its way."""

from __future__ import annotations

import http.client
import json

import pytest

from pool_core.testing.batches import BatchApi
from pool_core.testing.server import ScriptedServer


@pytest.fixture
def call():
    """A server of batches, and calls to it: the status and the reply."""
    api = BatchApi()
    with ScriptedServer(api) as server:

        def send(method, path, body=b"", kind="application/json"):
            client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            client.request(method, f"/v1/{path}", content, {"Content-Type": kind})
            reply = client.getresponse()
            found = reply.status, reply.read()
            client.close()
            return found

        send.api = api
        yield send


def upload(call, lines, purpose="batch"):
    content = "".join(json.dumps(line) + "\n" for line in lines)
    parts = (("purpose", purpose), ("file", content))
    form = "".join(f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in parts)
    status, reply = call("POST", "files", f"{form}--b--\r\n".encode(), "multipart/form-data; boundary=b")
    return status, json.loads(reply).get("id")


def make_line(number, url="/v1/chat/completions"):
    body = {"model": "m", "messages": [{"role": "user", "content": f"text {number}"}]}
    return {"custom_id": str(number), "method": "POST", "url": url, "body": body}


def make_batch(call, lines):
    _, file = upload(call, lines)
    asked = {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    return json.loads(call("POST", "batches", asked)[1])


def poll(call, batch):
    return json.loads(call("GET", f"batches/{batch}")[1])


def read_file(call, file):
    return [json.loads(line) for line in call("GET", f"files/{file}/content")[1].splitlines()]


def test_a_batch_goes_its_way_and_comes_in_another_order(call):
    batch = make_batch(call, [make_line(n) for n in range(3)])
    assert batch["status"] == "validating"
    seen = [poll(call, batch["id"]) for _ in range(5)]
    assert [one["status"] for one in seen] == ["validating", "in_progress", "finalizing", "completed", "completed"]
    assert seen[-1]["request_counts"] == {"total": 3, "completed": 3, "failed": 0}
    results = read_file(call, seen[-1]["output_file_id"])
    assert [one["custom_id"] for one in results] == ["2", "1", "0"]
    assert results[0]["response"]["body"]["choices"][0]["message"]["content"] == "echo: text 2"
    assert call.api.paid.total() == 3


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([make_line(1), make_line(1)], "The custom_id of each request must be there and unique."),
        ([make_line(1, "/v1/completions")], "All requests must be for the endpoint of the batch."),
    ],
)
def test_what_the_api_refuses_fails_as_a_whole(call, lines, problem):
    batch = make_batch(call, lines)
    shown = [poll(call, batch["id"]) for _ in range(4)][-1]
    assert (shown["status"], shown["errors"]["data"][0]["message"]) == ("failed", problem)
    assert (shown["output_file_id"], call.api.paid.total()) == (None, 0)


def test_a_cancelled_batch_has_what_was_done(call):
    batch = make_batch(call, [make_line(1)])
    call("POST", f"batches/{batch['id']}/cancel")
    assert [poll(call, batch["id"]) for _ in range(4)][-1]["status"] == "cancelled"


def test_batches_are_listed_the_newest_first_a_page_at_a_time(call):
    for number in range(3):
        make_batch(call, [make_line(number)])
    first = json.loads(call("GET", "batches?limit=2")[1])
    assert ([one["id"] for one in first["data"]], first["has_more"]) == (["batch_2", "batch_1"], True)
    rest = json.loads(call("GET", f"batches?limit=2&after={first['last_id']}")[1])
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == (["batch_0"], False)


def test_what_is_not_there_is_a_404_and_what_is_wrong_a_400(call):
    assert call("GET", "batches/none")[0] == 404
    assert call("GET", "files/none/content")[0] == 404
    assert call("DELETE", "files/none")[0] == 404
    assert call("POST", "batches", {"input_file_id": "none", "completion_window": "24h"})[0] == 400
    assert upload(call, [make_line(1)], purpose="assistants")[0] == 400
