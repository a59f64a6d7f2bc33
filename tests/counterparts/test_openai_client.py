"""OpenAI's own client takes the test server for OpenAI: answers, choices, errors, files and batches."""

from __future__ import annotations

import io
import json
from importlib.util import find_spec

import pytest

from pool_core.testing.batches import BatchApi
from pool_core.testing.faults import FAULTS
from pool_core.testing.replies import Reply, make_error_body
from pool_core.testing.server import ScriptedServer, make_chat_body

if find_spec("openai") is None:
    pytest.skip("not installed: openai, the official client", allow_module_level=True)

import openai

ASKED = [{"role": "user", "content": "Hi"}]
#: What the client makes of a status.
CLASSES = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    409: openai.ConflictError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    503: openai.InternalServerError,
    529: openai.InternalServerError,
}


@pytest.fixture
def connect():
    """Makes a client of a server, which tries nothing twice."""
    clients = []

    def connect(server, **options):
        clients.append(openai.OpenAI(base_url=server.url, api_key="sk-test", max_retries=0, timeout=60.0, **options))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


def test_it_lists_models(connect):
    with ScriptedServer() as server:
        assert [model.id for model in connect(server).models.list()] == ["scripted-model"]


def test_a_chat(connect):
    with ScriptedServer() as server:
        answer = connect(server).chat.completions.create(model="m", messages=ASKED, temperature=0, seed=7)
    assert type(answer).__name__ == "ChatCompletion"
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", "echo: Hi", "stop")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (7, 2, 9)
    assert answer.model == "scripted-model"
    assert server.requests[0].headers["authorization"] == "Bearer sk-test"


def test_a_text_completion(connect):
    with ScriptedServer() as server:
        answer = connect(server).completions.create(model="m", prompt="Once")
    assert [(choice.text, choice.finish_reason) for choice in answer.choices] == [("echo: Once", "stop")]


def test_several_choices(connect):
    with ScriptedServer() as server:
        chat = connect(server).chat.completions.create(model="m", messages=ASKED, n=3)
        text = connect(server).completions.create(model="m", prompt="Once", n=2)
    assert [(choice.index, choice.message.content) for choice in chat.choices] == [(n, "echo: Hi") for n in range(3)]
    assert [(choice.index, choice.text) for choice in text.choices] == [(n, "echo: Once") for n in range(2)]
    assert (chat.usage.prompt_tokens, chat.usage.completion_tokens) == (7, 6)


@pytest.mark.parametrize("wanted", [0, -1, "three", True, 1.5])
def test_a_wrong_number_of_choices_is_refused(wanted, connect):
    with ScriptedServer() as server, pytest.raises(openai.BadRequestError) as caught:
        connect(server).chat.completions.create(model="m", messages=ASKED, n=wanted)
    assert caught.value.param == "n"


@pytest.mark.parametrize("status", CLASSES)
def test_a_status_is_the_exception_of_its_class(status, connect):
    error = make_error_body("It failed.", "a_type", code="a_code", param="a_field")
    with ScriptedServer([Reply(status, error)]) as server, pytest.raises(CLASSES[status]) as caught:
        connect(server).chat.completions.create(model="m", messages=ASKED)
    assert type(caught.value) is CLASSES[status]
    assert caught.value.status_code == status
    assert (caught.value.code, caught.value.type, caught.value.param) == ("a_code", "a_type", "a_field")
    assert "It failed." in caught.value.message
    assert len(server.requests) == 1


def test_an_empty_request_is_refused(connect):
    with ScriptedServer() as server, pytest.raises(openai.BadRequestError, match="the body needs 'messages'"):
        connect(server).chat.completions.create(model="m", messages=[])


@pytest.mark.parametrize("name", ["reset-first", "reset-headers", "reset-body"])
def test_a_broken_connection_is_one(name, connect):
    with ScriptedServer([FAULTS[name]]) as server, pytest.raises(openai.APIConnectionError):
        connect(server).chat.completions.create(model="m", messages=ASKED)


def test_it_waits_as_the_server_asks_and_tries_again(connect):
    """With the client's own retries, which the others have off."""
    with ScriptedServer([Reply(429, headers={"retry-after-ms": "1"})]) as server:
        client = connect(server).with_options(max_retries=1)
        assert client.chat.completions.create(model="m", messages=ASKED).choices[0].message.content == "echo: Hi"
    assert len(server.requests) == 2


def test_a_refusal_and_a_call_of_a_tool(connect):
    with ScriptedServer([FAULTS["refusal"], FAULTS["tool-call"]]) as server:
        client = connect(server)
        refused = client.chat.completions.create(model="m", messages=ASKED).choices[0]
        called = client.chat.completions.create(model="m", messages=ASKED).choices[0]
    assert (refused.message.content, bool(refused.message.refusal)) == (None, True)
    assert [call.function.name for call in called.message.tool_calls] == ["search"]
    assert called.finish_reason == "tool_calls"


def make_lines(count):
    body = {"model": "m", "messages": ASKED}
    lines = [
        {"custom_id": f"row-{n}", "method": "POST", "url": "/v1/chat/completions", "body": {**body, "seed": n}}
        for n in range(count)
    ]
    return io.BytesIO(b"".join(json.dumps(line).encode() + b"\n" for line in lines))


def run_batch(client, count, looks=10):
    """Upload, make, look at it until it ends."""
    file = client.files.create(file=("rows.jsonl", make_lines(count)), purpose="batch")
    assert (file.object, file.purpose) == ("file", "batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"name": "mine"}
    )
    seen = [batch.status]
    while batch.status not in ("completed", "failed", "expired", "cancelled"):
        assert len(seen) < looks
        batch = client.batches.retrieve(batch.id)
        seen.append(batch.status)
    return batch, seen


def read_file(client, name):
    return [json.loads(line) for line in client.files.content(name).text.splitlines()]


def test_a_batch_is_uploaded_polled_and_downloaded(connect):
    def answer(body):
        return Reply(500, make_error_body("It failed.")) if body["seed"] == 1 else make_chat_body(f"{body['seed']}!")

    with ScriptedServer(BatchApi(answer=answer)) as server:
        client = connect(server)
        batch, seen = run_batch(client, 3)
        assert seen == ["validating", "validating", "in_progress", "finalizing", "completed"]
        assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (3, 2, 1)
        done = read_file(client, batch.output_file_id)
        assert {one["custom_id"]: one["response"]["body"]["choices"][0]["message"]["content"] for one in done} == {
            "row-0": "0!",
            "row-2": "2!",
        }
        (failed,) = read_file(client, batch.error_file_id)
        assert (failed["custom_id"], failed["response"]["status_code"]) == ("row-1", 500)
        assert [one.id for one in client.batches.list(limit=1)] == [batch.id]
        assert batch.metadata == {"name": "mine"}


def test_batches_are_listed_page_by_page(connect):
    with ScriptedServer(BatchApi()) as server:
        client = connect(server)
        made = [run_batch(client, 1)[0].id for _ in range(3)]
        assert [one.id for one in client.batches.list(limit=2)] == made[::-1]


@pytest.mark.parametrize("end", ["failed", "expired", "cancelled"])
def test_a_batch_that_does_not_complete(end, connect):
    with ScriptedServer(BatchApi(ends=end)) as server:
        batch, _ = run_batch(connect(server), 4)
        assert batch.status == end
        assert batch.request_counts.completed == (0 if end == "failed" else 2)


def test_a_batch_that_cannot_be_says_why(connect):
    twice = make_lines(1).getvalue() * 2
    with ScriptedServer(BatchApi()) as server:
        client = connect(server)
        file = client.files.create(file=("rows.jsonl", twice), purpose="batch")
        made = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
        while made.status != "failed":
            made = client.batches.retrieve(made.id)
        assert [one.message for one in made.errors.data] == ["The custom_id of each request must be there and unique."]
        with pytest.raises(openai.BadRequestError, match="a batch needs an input file"):
            client.batches.create(input_file_id="file-no", endpoint="/v1/chat/completions", completion_window="24h")
        with pytest.raises(openai.NotFoundError):
            client.batches.retrieve("batch_no")


def test_a_batch_is_cancelled(connect):
    with ScriptedServer(BatchApi()) as server:
        client = connect(server)
        file = client.files.create(file=("rows.jsonl", make_lines(4)), purpose="batch")
        made = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
        made = client.batches.cancel(made.id)
        while made.status != "cancelled":
            made = client.batches.retrieve(made.id)
        assert made.id
