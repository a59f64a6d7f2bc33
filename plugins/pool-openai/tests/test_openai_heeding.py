"""What an answer shows to have been ignored is marked and logged, and its text is kept as it came."""

from __future__ import annotations

import asyncio

import pytest
from pool_openai.backend import OpenAI
from pool_openai.batch_backend import OpenAIBatch
from pool_openai.batch_config import OpenAIBatchConfig
from pool_openai.config import OpenAIConfig
from pool_openai.heeding import find_ignored

from pool_core.interfaces.values import Answer, Prompt, Request, Usage
from pool_core.testing.batches import BatchApi
from pool_core.testing.server import Reply, ScriptedServer, make_chat_body

ANSWER = Answer("one, two, three", "stop", Usage(7, 5))


@pytest.mark.parametrize(
    ("asked", "ignored"),
    [
        ({}, []),
        ({"stop": ["two"]}, ["stop"]),
        ({"stop": ["four", "three"]}, ["stop"]),
        ({"stop": "one"}, ["stop"]),
        ({"stop": ["four", ""]}, []),
        ({"stop": []}, []),
        ({"stop": None}, []),
        ({"stop": [7]}, []),
        ({"stop": 7}, []),
        ({"max_tokens": 3}, ["max_tokens"]),
        ({"max_tokens": 4}, []),  # the token that ends it may have been counted
        ({"max_tokens": 5}, []),
        ({"max_completion_tokens": 2}, ["max_completion_tokens"]),
        ({"max_tokens": "3"}, []),
        ({"logprobs": True}, ["logprobs"]),
        ({"logprobs": False}, []),
        ({"logprobs": 0}, []),
        ({"temperature": 0, "seed": 7, "top_p": 0.1}, []),
        ({"stop": ["two"], "max_tokens": 1, "logprobs": True}, ["stop", "max_tokens", "logprobs"]),
    ],
)
def test_an_answer_tells_what_was_ignored(asked, ignored):
    assert list(find_ignored(ANSWER, asked)) == ignored


@pytest.mark.parametrize("answer", [Answer(None, "stop"), Answer("", "stop", Usage(None, None)), Answer("one", "stop")])
def test_what_an_answer_does_not_tell_is_not_held_against_its_server(answer):
    assert find_ignored(answer, {"stop": ["two"], "max_tokens": 1}) == {}


def test_log_probabilities_that_came_and_those_of_no_text():
    assert find_ignored(Answer("a", extra={"logprobs": {"content": []}}), {"logprobs": True}) == {}
    assert find_ignored(Answer(None, tool_calls=[{}]), {"logprobs": True}) == {}


def test_it_is_marked_and_logged_once(make_request, caplog):
    body = make_chat_body("one, two, three")

    async def run(url):
        backend = OpenAI(OpenAIConfig(model="m", base_url=url))
        await backend.open()
        sampling = {"stop": ["two"], "max_tokens": 1, "extra": {"logprobs": True}}
        answers = [await backend.generate(make_request(backend, sampling=sampling)) for _ in range(2)]
        await backend.aclose()
        return answers

    with ScriptedServer([Reply(body=body), Reply(body=body)]) as server:
        answers = asyncio.run(run(server.url))
    for answer in answers:
        assert answer.text == "one, two, three"
        assert answer.extra["ignored"] == ["stop", "max_tokens", "logprobs"]
        assert answer.extra["id"] == body["id"]
    told = [message.removeprefix(f"POST {server.url}/chat/completions: ") for message in caplog.messages]
    sent = "was sent with the request, and the answer has"
    assert told == [
        f"stop {sent} a stop string in its text, which the server has kept or ignored",
        f"max_tokens {sent} 3 tokens by the server's own count, more than 1",
        f"logprobs {sent} none; some servers want top_logprobs as well",
    ]


def test_fields_of_the_configuration_count_and_sampling_comes_first(ask, caplog):
    with ScriptedServer([Reply(body=make_chat_body("one, two, three"))]) as server:
        answer = ask(server.url, sampling={"max_tokens": 90}, extra={"max_completion_tokens": 1})
    assert answer.extra["ignored"] == ["max_completion_tokens"]


def test_what_is_heeded_leaves_no_mark(ask, caplog):
    with ScriptedServer([Reply(body=make_chat_body("one, "))]) as server:
        answer = ask(server.url, sampling={"stop": ["two"], "max_tokens": 9})
    assert "ignored" not in answer.extra
    assert caplog.messages == []


def test_a_batch_tells_as_well(tmp_path, caplog):
    async def run(url):
        backend = OpenAIBatch(OpenAIBatchConfig(model="m", base_url=url, idle=0.01, poll=0.01))
        backend.folder = tmp_path
        prompt, sampling = Prompt.chat("Hi"), {"stop": ["echo"]}
        await backend.open()
        try:
            body = backend.encode(prompt, sampling)
            return await backend.generate(Request(0, prompt, sampling, 0, body, 60.0, b"key"))
        finally:
            await backend.aclose()

    with ScriptedServer(BatchApi()) as server:
        answer = asyncio.run(run(server.url))
    assert (answer.text, answer.extra["ignored"]) == ("echo: Hi", ["stop"])
    assert "stop was sent with the request" in caplog.text
