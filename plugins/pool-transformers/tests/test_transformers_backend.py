"""The backend with an engine that is a function: batches, halving, parameters, closing. Needs no torch."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest
from pool_transformers.backend import Transformers
from pool_transformers.config import TransformersConfig
from pool_transformers.rows import Job, NoRoomError, cut_at_stop

from pool_core.errors import BackendError
from pool_core.interfaces.values import Answer, Cause, Message, Prompt
from pool_core.registry.discovery import discover_records
from pool_core.testing.virtual_time import run_virtual


class StubEngine:
    """Answers with what it was asked, and has room for so many rows."""

    def __init__(self, room=1000):
        self.room = room
        self.batches = []
        self.stopped = False

    def generate(self, jobs):
        self.batches.append(len(jobs))
        if len(jobs) > self.room:
            raise NoRoomError("tried to allocate 20 MiB")
        return [self.answer(job) for job in jobs]

    def answer(self, job):
        text = job.prompt.messages[-1].content
        return BackendError(Cause.BAD_REQUEST, "no") if text == "refuse" else Answer(f"{text}!")

    def stop(self):
        self.stopped = True


@pytest.fixture
def answer_all(make_request):
    """Answer texts at once; returns the engine and what came of each."""

    def run(texts, engine, **config):
        async def work():
            backend = Transformers(TransformersConfig(model="m", **config))
            backend.load = lambda _config: engine
            await backend.open()
            try:
                calls = [backend.generate(make_request(text)) for text in texts]
                return await asyncio.gather(*calls, return_exceptions=True)
            finally:
                await backend.aclose()

        found = run_virtual(work(), threads=True)
        return [one.text if isinstance(one, Answer) else one for one in found]

    return run


def test_requests_that_come_together_are_one_batch(answer_all):
    engine = StubEngine()
    assert answer_all([f"{n}" for n in range(10)], engine, batch_size=4) == [f"{n}!" for n in range(10)]
    assert sorted(engine.batches) == [2, 4, 4]
    assert engine.stopped


def test_a_request_waits_no_longer_than_it_may(make_request):
    async def work():
        backend = Transformers(TransformersConfig(model="m", max_wait_ms=40))
        backend.load = lambda _config: StubEngine()
        await backend.open()
        loop = asyncio.get_running_loop()
        before = loop.time()
        await backend.generate(make_request("one"))
        await backend.aclose()
        return loop.time() - before

    assert run_virtual(work(), threads=True) == pytest.approx(0.04)


def test_a_batch_that_does_not_fit_is_halved_and_all_are_answered(answer_all):
    engine = StubEngine(room=3)
    assert answer_all([f"{n}" for n in range(8)], engine, batch_size=8) == [f"{n}!" for n in range(8)]
    assert engine.batches == [8, 4, 2, 2, 2, 2]


def test_later_batches_begin_with_what_fitted(make_request):
    async def work():
        engine = StubEngine(room=2)
        backend = Transformers(TransformersConfig(model="m", batch_size=8))
        backend.load = lambda _config: engine
        await backend.open()
        for _ in range(2):
            await asyncio.gather(*(backend.generate(make_request(f"{n}")) for n in range(8)))
        await backend.aclose()
        return engine.batches

    assert run_virtual(work(), threads=True) == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]


def test_a_request_that_does_not_fit_alone_fails_alone(answer_all):
    class Picky(StubEngine):
        def generate(self, jobs):
            if any(job.prompt.messages[-1].content == "huge" for job in jobs):
                raise NoRoomError("tried to allocate 20 MiB")
            return super().generate(jobs)

    found = answer_all(["a", "huge", "b"], Picky())
    assert (found[0], found[2]) == ("a!", "b!")
    assert found[1].cause is Cause.CONTEXT_LENGTH
    assert str(found[1]) == (
        "the request alone does not fit the device's memory: tried to allocate 20 MiB\n"
        "  shorten the prompt, lower max_tokens, or use a smaller dtype"
    )


def test_an_error_of_one_row_is_its_own(answer_all):
    found = answer_all(["a", "refuse", "b"], StubEngine())
    assert (found[0], found[1].cause, found[2]) == ("a!", Cause.BAD_REQUEST, "b!")


def test_closing_stops_what_is_under_way(make_request):
    class Slow(StubEngine):
        begun, ended = threading.Event(), threading.Event()

        def generate(self, jobs):
            self.begun.set()
            assert self.ended.wait(60)
            return super().generate(jobs)

        def stop(self):
            self.ended.set()

    async def work():
        engine = Slow()
        backend = Transformers(TransformersConfig(model="m"))
        backend.load = lambda _config: engine
        await backend.open()
        call = asyncio.ensure_future(backend.generate(make_request("a")))
        await asyncio.to_thread(engine.begun.wait, 60)
        await backend.aclose()
        with pytest.raises(BackendError) as caught:
            await call
        return caught.value.cause

    assert asyncio.run(work()) is Cause.CANCELLED


def test_a_parameter_that_nobody_would_heed_is_refused():
    backend = Transformers(TransformersConfig(model="m"))
    with pytest.raises(BackendError) as caught:
        backend.encode(Prompt.chat("hi"), {"frequency_penalty": 1, "n": 2, "top_k": 3})
    assert caught.value.stops_member
    assert str(caught.value) == (
        "transformers is not given frequency_penalty, n\n"
        "  it knows max_tokens, min_p, repetition_penalty, seed, stop, temperature, top_k, top_p"
    )


def test_an_image_is_refused_before_anything_is_sent():
    backend = Transformers(TransformersConfig(model="m"))
    prompt = Prompt((Message("user", [{"type": "text", "text": "see"}, {"type": "image_url"}]),))
    with pytest.raises(BackendError) as caught:
        backend.encode(prompt, {})
    assert str(caught.value) == "this backend takes text, and a message has image_url"


def test_what_decides_an_answer_is_in_the_body_or_the_identity(tmp_path):
    def describe(**config):
        backend = Transformers(TransformersConfig.model_validate({"model": "m", **config}))
        return backend.identity, backend.encode(Prompt.chat("hi"), {})

    base = describe()
    assert describe(batch_size=1, max_wait_ms=5, device_map="auto") == base
    for change in ({"model": "n"}, {"revision": "r"}, {"dtype": "float16"}, {"max_tokens": 9}, {"name": "other"}):
        assert describe(**change) != base


def test_a_folder_beside_the_recipe_comes_before_a_name_on_the_hub(tmp_path):
    (tmp_path / "mine").mkdir()
    config = TransformersConfig.model_validate({"model": "mine"}, context={"folder": tmp_path})
    assert config.model == str(tmp_path / "mine")
    assert Transformers(config).model == "mine"
    config = TransformersConfig.model_validate({"model": "we/notus-7b"}, context={"folder": tmp_path})
    assert (config.model, Transformers(config).model) == ("we/notus-7b", "notus-7b")


def test_it_runs_in_a_process_of_its_own_and_says_what_it_can():
    assert Transformers.isolated
    able = Transformers.capabilities(TransformersConfig(model="m", takes="text"), {})
    assert (able.takes, able.seed, able.stop, able.schema, able.offer) == ("text", True, True, False, None)


@pytest.mark.parametrize(
    ("text", "stops", "expected"),
    [
        ("one two three", ("two",), ("one ", True)),
        ("one two three", ("three", "two"), ("one ", True)),
        ("one", ("two",), ("one", False)),
        ("one", (), ("one", False)),
    ],
)
def test_text_ends_before_the_first_stop_string(text, stops, expected):
    assert cut_at_stop(text, stops) == expected


def test_a_job_has_what_was_asked_for():
    job = Job.make(Prompt.chat("hi"), {"stop": "x", "temperature": 0.5, "seed": 3}, 20)
    assert (job.stop, job.temperature, job.seed, job.max_tokens) == (("x",), 0.5, 3, 20)
    assert Job.make(Prompt.chat("hi"), {"stop": ["a", ""], "max_tokens": 7}, 20).stop == ("a",)


LISTED = """
import sys
from pool_core.registry import Registry
registry = Registry.discover()
assert [entry for entry in registry.entries("backend") if entry.qualified == "transformers/transformers"]
import pool_transformers.backend
print(sorted({"torch", "transformers", "numpy", "tokenizers", "accelerate"} & set(sys.modules)))
"""


@pytest.mark.skipif(
    not any(record.name == "transformers" for record in discover_records()), reason="not installed: transformers"
)
def test_listing_and_importing_the_plugin_imports_no_library():
    done = subprocess.run([sys.executable, "-c", LISTED], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "[]\n"
