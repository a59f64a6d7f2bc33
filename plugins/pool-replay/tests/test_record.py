"""The backend that records: nothing changes for the one who asks, and the replay says the same."""

from __future__ import annotations

import asyncio

import pytest
from pool_replay.record import Record, RecordConfig
from pool_replay.recording import read_recording
from pool_replay.replay import Replay, ReplayConfig

from pool_core.errors import BackendError
from pool_core.interfaces.backend import Backend, BackendSpec
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.values import Answer, Capabilities, Cause, Message, Prompt, Request, Usage
from pool_core.testing.virtual_time import run_virtual

ANSWERS = [
    Answer("plain", "stop", Usage(3, 4), "scripted-1"),
    Answer("lone \ud800 surrogate \udfff, ü, \u2028, \x00, 😀", "length"),
    Answer(None, "stop", refusal="I would rather not \udc00."),
    Answer("", None, Usage(None, 0), reasoning="first this\nthen that \ud801"),
    Answer(
        None,
        "tool_calls",
        tool_calls=[{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}],
        extra={"logprobs": {"content": [{"token": "a", "logprob": -0.125}]}, "id": "x", "none": None},
    ),
]
PROMPTS = [
    Prompt.chat("one", "system"),
    Prompt(text="two"),
    Prompt((Message("user", [{"type": "text", "text": "three"}]),)),
    Prompt.chat("four", "system"),
    Prompt((Message("user", "five"),), schema={"type": "object"}),
]


class Scripted(Backend[PluginConfig]):
    """Answers from a list, in order; a BackendError in it is raised."""

    def __init__(self, script, delay=0.0, open_error=None):
        super().__init__(PluginConfig())
        self.script = list(script)
        self.delay = delay
        self.open_error = open_error
        self.events = []

    model = "scripted"
    endpoint = "scripted:here"
    identity = "scripted:here?2"
    quota = "scripted:quota"

    def encode(self, prompt, sampling):
        return b"encoded by the inner backend"

    def describe_headers(self):
        return {"x-of": "the inner backend"}

    async def open(self):
        self.events.append("open")
        if self.open_error:
            raise self.open_error

    async def refresh(self):
        self.events.append("refresh")
        return True

    async def generate(self, request):
        answer = self.script.pop(0)
        await asyncio.sleep(self.delay / (1 + request.id))
        if isinstance(answer, BackendError):
            raise answer
        return answer

    async def aclose(self):
        self.events.append("aclose")


def make_record(path, inner):
    return Record.build(RecordConfig(path=path, backend={"use": "scripted"}), {"backend": inner})


def ask(prompt, number=0, sample=0, sampling=None):
    return Request(number, prompt, sampling or {}, sample, b"", 60.0)


def record(path, script, requests):
    async def main():
        backend = make_record(path, Scripted(script))
        await backend.open()
        try:
            return [await backend.generate(request) for request in requests]
        finally:
            await backend.aclose()

    return asyncio.run(main())


def replay(path, requests):
    async def main():
        backend = Replay(ReplayConfig(model="scripted", path=path))
        await backend.open()
        found = [await backend.generate(request) for request in requests]
        await backend.aclose()
        return found

    return asyncio.run(main())


def test_replay_gives_the_answers_that_were_recorded(tmp_path):
    path = tmp_path / "recording.jsonl"
    requests = [ask(prompt) for prompt in PROMPTS]
    assert record(path, ANSWERS, requests) == ANSWERS
    assert replay(path, requests) == ANSWERS


def test_samples_parameters_and_schemas_of_one_prompt_are_told_apart(tmp_path):
    path = tmp_path / "recording.jsonl"
    prompt = Prompt.chat("one")
    requests = [
        ask(prompt, sample=0),
        ask(prompt, sample=1),
        ask(prompt, sampling={"temperature": 0.5, "stop": ("x",)}),
        ask(prompt, sampling={"temperature": 1.0}),
        ask(Prompt(prompt.messages, schema={"type": "string"})),
    ]
    answers = [Answer(str(number)) for number in range(5)]
    record(path, answers, requests)
    assert replay(path, requests) == answers
    assert replay(path, requests[::-1]) == answers[::-1]


def test_recorded_request_is_not_recorded_again(tmp_path):
    path = tmp_path / "recording.jsonl"
    requests = [ask(PROMPTS[0]), ask(PROMPTS[0])]
    assert record(path, [Answer("first"), Answer("second")], requests) == [Answer("first"), Answer("second")]
    assert record(path, [Answer("third")], requests[:1]) == [Answer("third")]
    assert [entry.answer.text for entry in read_recording(path)] == ["first"]


def test_errors_come_through_and_are_not_recorded(tmp_path):
    path = tmp_path / "recording.jsonl"
    with pytest.raises(BackendError, match="busy") as caught:
        record(path, [BackendError(Cause.RATE_LIMIT, "busy", retry_after=3.0)], [ask(PROMPTS[0])])
    assert caught.value.retry_after == 3.0
    assert list(read_recording(path)) == []
    record(path, [Answer("later")], [ask(PROMPTS[0])])
    assert replay(path, [ask(PROMPTS[0])]) == [Answer("later")]


def test_lines_of_concurrent_calls_never_mix(tmp_path):
    path = tmp_path / "recording.jsonl"

    async def main():
        backend = make_record(path, Scripted([Answer("x" * 10_000)] * 50, delay=1.0))
        await backend.open()
        await asyncio.gather(*(backend.generate(ask(Prompt.chat(str(n)), n)) for n in range(50)))
        await backend.aclose()

    run_virtual(main())
    entries = list(read_recording(path))
    assert [entry.prompt.messages[0].content for entry in entries] == [str(n) for n in reversed(range(50))]
    assert {entry.answer.text for entry in entries} == {"x" * 10_000}


def test_two_members_may_record_into_one_file(tmp_path):
    path = tmp_path / "recording.jsonl"

    async def main():
        backends = [make_record(path, Scripted([Answer(name)])) for name in "ab"]
        for backend in backends:
            await backend.open()
        for number, backend in enumerate(backends):
            await backend.generate(ask(Prompt.chat(str(number))))
        for backend in backends:
            await backend.aclose()

    asyncio.run(main())
    assert [entry.answer.text for entry in read_recording(path)] == ["a", "b"]
    assert path.read_text().count('"recording"') == 1


def test_everything_else_is_the_inner_backends(tmp_path):
    inner = Scripted([])
    backend = make_record(tmp_path / "recording.jsonl", inner)
    assert (backend.model, backend.endpoint, backend.quota) == ("scripted", "scripted:here", "scripted:quota")
    assert backend.identity == "scripted:here?2"
    assert backend.describe_headers() == {"x-of": "the inner backend"}
    assert backend.encode(PROMPTS[0], {}) == b"encoded by the inner backend"
    can = Capabilities("text", seed=True, stop=False, schema=True)
    assert Record.capabilities(backend.config, {"backend": can}) == can
    assert backend.config.backend == BackendSpec(use="scripted")

    paused = []
    backend.pause = paused.append

    async def main():
        await backend.open()
        inner.pause(2.0)
        assert await backend.refresh() is True
        await backend.aclose()
        await backend.aclose()

    asyncio.run(main())
    assert inner.events == ["open", "refresh", "aclose", "aclose"]
    assert paused == [2.0]


def test_file_that_cannot_be_written_stops_open_before_the_inner_backend_is_contacted(tmp_path):
    inner = Scripted([])
    with pytest.raises(BackendError, match="cannot be written"):
        asyncio.run(make_record(tmp_path / "none" / "recording.jsonl", inner).open())
    assert inner.events == []


def test_inner_backend_that_does_not_open_leaves_no_open_file(tmp_path):
    backend = make_record(tmp_path / "recording.jsonl", Scripted([], open_error=BackendError(Cause.AUTH, "no key")))
    with pytest.raises(BackendError, match="no key"):
        asyncio.run(backend.open())
    assert backend._writer._file is None


def test_broken_recording_stops_open(tmp_path):
    path = tmp_path / "recording.jsonl"
    path.write_text("broken\n")
    with pytest.raises(BackendError, match="is no JSON"):
        asyncio.run(make_record(path, Scripted([])).open())


def test_paid_answer_comes_through_when_it_cannot_be_recorded_and_the_first_failure_is_logged(tmp_path, caplog):
    path = tmp_path / "recording.jsonl"
    wrong = Answer("a", extra={"raw": b"no JSON"})
    answers = [wrong, wrong, Answer("b")]
    assert record(path, answers, [ask(prompt) for prompt in PROMPTS[:3]]) == answers
    assert [entry.answer for entry in read_recording(path)] == [Answer("b")]
    assert [one.levelname for one in caplog.records] == ["ERROR"]
    assert "the recording is incomplete: the answer of scripted cannot be recorded: bytes is no JSON" in caplog.text


def test_no_method_of_a_backend_is_forgotten():
    own = {"build", "open", "generate", "aclose", "capabilities"}
    passed_on = {"model", "endpoint", "identity", "quota", "encode", "describe_headers", "refresh", "note_durable"}
    # the plan looks at `isolated`; the engine sets `pause` and `folder`, and `open` passes them on
    set_elsewhere = {"Config", "isolated", "pause", "folder"}
    assert {name for name in vars(Backend) if not name.startswith("_")} - set_elsewhere == own | passed_on
    assert own | passed_on <= vars(Record).keys()
