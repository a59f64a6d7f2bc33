"""The backend that answers from a recording."""

from __future__ import annotations

import asyncio

import pytest
from pool_replay.recording import Entry, RecordingWriter
from pool_replay.replay import Replay, ReplayConfig
from pydantic import ValidationError

from pool_core.errors import BackendError
from pool_core.interfaces.values import Answer, Capabilities, Cause, Message, Prompt, Request
from pool_core.testing.virtual_time import run_virtual

ENTRIES = [
    Entry("a", Prompt.chat("hi", "be kind"), 0, Answer("kind")),
    Entry("a", Prompt.chat("hi", "be kind"), 1, Answer("kind again")),
    Entry("a", Prompt.chat("bye", "be kind"), 0, Answer("cool"), {"temperature": 0.0}),
    Entry("a", Prompt.chat("bye", "be kind"), 0, Answer("warm"), {"temperature": 1.0}),
    Entry("b", Prompt.chat("hi"), 0, Answer("of b")),
    Entry("t", Prompt(text="once upon"), 0, Answer(" a time")),
]
SAME_USER_MESSAGE = (
    "It has the same user message with the system prompt 'be kind', not with {}. "
    "Make the task's prompt the same, or set `match: user`."
)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "recording.jsonl"
    record(path, ENTRIES)
    return path


def record(path, entries):
    writer = RecordingWriter(path)
    writer.open()
    for entry in entries:
        writer.append(entry)
    writer.close()


def ask(backend, prompt, sample=0, sampling=None, timeout=60.0):
    sampling = sampling or {}
    return Request(1, prompt, sampling, sample, backend.encode(prompt, sampling), timeout)


def replay(path, prompt, *, sample=0, sampling=None, model="a", **config):
    async def main():
        backend = Replay(ReplayConfig(model=model, path=path, **config))
        await backend.open()
        try:
            return await backend.generate(ask(backend, prompt, sample, sampling))
        finally:
            await backend.aclose()

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("model", "prompt", "sample", "text"),
    [
        ("a", Prompt.chat("hi", "be kind"), 0, "kind"),
        ("a", Prompt.chat("hi", "be kind"), 1, "kind again"),
        ("b", Prompt.chat("hi"), 0, "of b"),
        ("t", Prompt(text="once upon"), 0, " a time"),
    ],
)
def test_model_prompt_and_sample_find_the_answer(path, model, prompt, sample, text):
    assert replay(path, prompt, model=model, sample=sample) == Answer(text)


@pytest.mark.parametrize(
    ("sampling", "text"), [({"temperature": 0.0}, "cool"), ({"temperature": 1.0}, "warm"), ({"temperature": 5}, "cool")]
)
def test_sampling_decides_between_several_entries_and_else_the_first_answers(path, sampling, text):
    assert replay(path, Prompt.chat("bye", "be kind"), sampling=sampling).text == text


def test_user_message_alone_matches_where_asked_for(path):
    assert replay(path, Prompt.chat("hi", "be harsh"), match="user").text == "kind"
    earlier = (Message("user", "before"), Message("assistant", "yes"))
    assert replay(path, Prompt((*earlier, Message("user", "hi"))), match="user", sample=1).text == "kind again"
    assert replay(path, Prompt(text="once upon"), match="user", model="t").text == " a time"


@pytest.mark.parametrize(
    ("prompt", "more", "hint"),
    [
        (Prompt.chat("hi", "be kind"), {"sample": 7}, "It has this prompt with sample 0, 1, not with sample 7."),
        (Prompt.chat("hi"), {}, "It has this prompt for b: check `model`."),
        (Prompt.chat("hi", "be kind"), {"model": "z"}, "It has this prompt for a: check `model`."),
        (Prompt.chat("new"), {"model": "z"}, "It has nothing of z: check `model`."),
        (Prompt(text="new"), {}, "Its prompts of a are not of the kind that `takes: text` asks for."),
        (
            Prompt.chat("hi", "be harsh"),
            {},
            SAME_USER_MESSAGE.format("the system prompt 'be harsh'"),
        ),
        (
            Prompt((Message("user", "x"), Message("assistant", "y" * 200), Message("user", "hi"))),
            {},
            SAME_USER_MESSAGE.format("no system prompt and 3 turns"),
        ),
        (Prompt.chat("new"), {}, "It has 2 other prompts of a. The backend `record` adds this one."),
        (Prompt.chat("new"), {"match": "user"}, "It has 2 other prompts of a. The backend `record` adds this one."),
    ],
)
def test_missing_answer_is_an_error_that_says_what_differs(path, prompt, more, hint):
    with pytest.raises(BackendError) as caught:
        replay(path, prompt, **more)
    error = caught.value
    assert error.cause is Cause.BAD_REQUEST
    assert error.message == f"the recording {path} has no answer of {more.get('model', 'a')} for this prompt"
    assert error.hint == f"{hint} Models in the recording: a, b, t."


def test_hint_for_an_empty_recording_and_for_many_models(tmp_path):
    record(tmp_path / "empty.jsonl", [])
    with pytest.raises(BackendError, match=r"The recording is empty\. The backend `record` fills it\."):
        replay(tmp_path / "empty.jsonl", Prompt.chat("hi"))
    record(tmp_path / "many.jsonl", [Entry(f"m{n}", Prompt.chat("hi"), 0, Answer("x")) for n in range(8)])
    with pytest.raises(BackendError, match=r"Models in the recording: m0, m1, m2, m3, m4 and 3 more\."):
        replay(tmp_path / "many.jsonl", Prompt.chat("hi"))


def test_long_system_prompts_are_shortened_in_hints(tmp_path):
    record(tmp_path / "long.jsonl", [Entry("a", Prompt.chat("hi", "s" * 1000), 0, Answer("x"))])
    with pytest.raises(BackendError) as caught:
        replay(tmp_path / "long.jsonl", Prompt.chat("hi"))
    assert "ssss..." in caught.value.hint
    assert len(caught.value.hint) < 300


def test_missing_file_is_said_by_open(tmp_path):
    with pytest.raises(BackendError, match=r"none\.jsonl cannot be read"):
        replay(tmp_path / "none.jsonl", Prompt.chat("hi"))


def test_generate_without_open_is_an_error(path):
    backend = Replay(ReplayConfig(model="a", path=path))
    with pytest.raises(BackendError, match="is not open\n  Call `open` first"):
        asyncio.run(backend.generate(ask(backend, Prompt.chat("hi"))))


def test_each_answer_takes_the_latency_and_calls_overlap(path):
    async def main():
        loop = asyncio.get_running_loop()
        backend = Replay(ReplayConfig(model="a", path=path, latency=1.5))
        await backend.open()
        started = loop.time()
        requests = [ask(backend, Prompt.chat("hi", "be kind"), sample) for sample in (0, 1)]
        found = await asyncio.gather(*(backend.generate(request) for request in requests))
        await backend.aclose()
        return [answer.text for answer in found], loop.time() - started

    assert run_virtual(main()) == (["kind", "kind again"], 1.5)


def test_latency_beyond_the_time_limit_is_a_timeout(path):
    async def main():
        loop = asyncio.get_running_loop()
        backend = Replay(ReplayConfig(model="a", path=path, latency=10))
        await backend.open()
        with pytest.raises(BackendError, match="no answer within 2 s") as caught:
            await backend.generate(ask(backend, Prompt.chat("hi", "be kind"), timeout=2.0))
        await backend.aclose()
        return caught.value.cause, loop.time()

    assert run_virtual(main()) == (Cause.TIMEOUT, 2.0)


def test_identity_changes_with_the_content_and_the_match_but_not_with_the_latency(path):
    def identify(**config):
        return Replay(ReplayConfig(model="a", path=path, **config)).identity

    before = identify()
    assert before.startswith("replay:recording.jsonl?match=exact&sha256=")
    assert identify(latency=3) == before
    assert identify(match="user") != before
    with path.open("a") as file:
        file.write("\n")
    assert identify() != before


def test_identity_of_a_missing_file_raises_nothing(tmp_path):
    backend = Replay(ReplayConfig(model="a", path=tmp_path / "none.jsonl"))
    assert backend.identity == backend.endpoint == "replay:none.jsonl"


def test_only_a_model_that_is_not_in_the_recording_stops_its_member(path):
    for model, stops in (("z", True), ("a", False)):
        with pytest.raises(BackendError) as caught:
            replay(path, Prompt.chat("new"), model=model)
        assert caught.value.stops_member is stops


def test_quota_is_that_of_the_model_and_reads_no_file(tmp_path):
    one, other = (Replay(ReplayConfig(model=model, path=tmp_path / "none.jsonl")) for model in ("a", "b"))
    assert one.quota != other.quota
    assert one.model == "a"


def test_capabilities_follow_takes(path):
    for takes in ("chat", "text"):
        config = ReplayConfig(model="a", path=path, takes=takes)
        assert Replay.capabilities(config, {}) == Capabilities(takes, seed=True, stop=True, schema=takes == "chat")
        for constrains in (True, False):
            config = ReplayConfig(model="a", path=path, takes=takes, json_schema=constrains)
            assert Replay.capabilities(config, {}).schema is constrains


@pytest.mark.parametrize("wrong", [{"latency": -1}, {"latency": "nan"}, {"match": "fuzzy"}, {"speed": 1}])
def test_wrong_configuration_is_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        ReplayConfig(**{"model": "a", "path": "x.jsonl", **wrong})


def test_path_is_relative_to_the_recipes_folder(tmp_path):
    config = ReplayConfig.model_validate({"model": "a", "path": "x.jsonl"}, context={"folder": tmp_path})
    assert config.path == tmp_path / "x.jsonl"
