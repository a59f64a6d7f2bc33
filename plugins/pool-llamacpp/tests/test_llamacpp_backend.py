"""The backend with an engine that is a function. Needs no llama.cpp."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest
from pool_llamacpp.backend import PARAMETERS, LlamaCpp
from pool_llamacpp.config import LlamaCppConfig

from pool_core.errors import BackendError
from pool_core.interfaces.values import Answer, Cause, Message, Prompt
from pool_core.registry.discovery import discover_records


class StubEngine:
    """Answers with what it was asked, and notes what is done to it."""

    def __init__(self):
        self.done = []
        self.at_once = 0
        self.most_at_once = 0

    def answer(self, prompt, options):
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.done.append(dict(options))
        self.at_once -= 1
        return Answer(f"{prompt.messages[-1].content}!")

    def stop(self):
        self.done.append("stop")

    def close(self):
        self.done.append("close")


def run_backend(work, engine, **config):
    async def run():
        backend = LlamaCpp(LlamaCppConfig(path="m.gguf", **config))
        backend.load = lambda _config: engine
        await backend.open()
        try:
            return await work(backend)
        finally:
            await backend.aclose()
            await backend.aclose()

    return asyncio.run(run())


def test_requests_are_answered_one_after_the_other_and_the_memory_is_freed(make_request):
    engine = StubEngine()

    async def work(backend):
        return await asyncio.gather(*(backend.generate(make_request(f"{n}", seed=n)) for n in range(20)))

    found = run_backend(work, engine)
    assert [answer.text for answer in found] == [f"{n}!" for n in range(20)]
    assert engine.most_at_once == 1
    assert engine.done[-2:] == ["stop", "close"]
    assert engine.done[3] == {"max_tokens": 512, "seed": 3}


def test_closing_waits_for_what_is_under_way_and_frees_then(make_request):
    class Slow(StubEngine):
        begun, ended = threading.Event(), threading.Event()

        def answer(self, prompt, options):
            self.begun.set()
            assert self.ended.wait(60)
            return super().answer(prompt, options)

        def stop(self):
            self.ended.set()

    engine = Slow()

    async def work(backend):
        call = asyncio.ensure_future(backend.generate(make_request("a")))
        await asyncio.to_thread(engine.begun.wait, 60)
        await backend.aclose()
        return await call

    assert run_backend(work, engine).text == "a!"
    assert engine.done[-1] == "close"


def test_without_a_model_nothing_is_answered(make_request):
    backend = LlamaCpp(LlamaCppConfig(path="m.gguf"))
    with pytest.raises(BackendError, match="the model is not loaded"):
        asyncio.run(backend.generate(make_request("a")))


def test_a_parameter_that_nobody_would_heed_is_refused():
    backend = LlamaCpp(LlamaCppConfig(path="m.gguf"))
    with pytest.raises(BackendError) as caught:
        backend.encode(Prompt.chat("hi"), {"n": 2, "top_k": 3})
    assert caught.value.stops_member
    assert str(caught.value) == f"llama.cpp is not given n\n  it knows {', '.join(sorted(PARAMETERS))}"


def test_an_image_is_refused_before_anything_is_sent():
    backend = LlamaCpp(LlamaCppConfig(path="m.gguf"))
    with pytest.raises(BackendError) as caught:
        backend.encode(Prompt((Message("user", [{"type": "image_url"}]),)), {})
    assert (caught.value.cause, str(caught.value)) == (
        Cause.BAD_REQUEST,
        "this backend takes text, and a message has image_url",
    )


def test_what_decides_an_answer_is_in_the_body_or_the_identity(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF")

    def describe(**config):
        backend = LlamaCpp(LlamaCppConfig(**{"path": path, **config}))
        return backend.identity, backend.encode(Prompt.chat("hi"), {})

    base = describe()
    assert describe(gpu_layers=0, threads=1) == base
    for change in ({"path": tmp_path / "n.gguf"}, {"context": 9}, {"grammar": 'root ::= "a"'}, {"max_tokens": 9}):
        assert describe(**change) != base
    path.write_bytes(b"GGUF, another")
    assert describe() != base


def test_a_schema_goes_before_the_configured_grammar():
    backend = LlamaCpp(LlamaCppConfig(path="m.gguf", grammar='root ::= "a"'))
    prompt = Prompt(Prompt.chat("hi").messages, schema={"type": "object"})
    assert b"grammar" in backend.encode(Prompt.chat("hi"), {})
    assert b"grammar" not in backend.encode(prompt, {})
    assert b"schema" in backend.encode(prompt, {})


def test_it_runs_in_a_process_of_its_own_and_says_what_it_can():
    assert LlamaCpp.isolated
    able = LlamaCpp.capabilities(LlamaCppConfig(path="m.gguf", takes="text"), {})
    assert (able.takes, able.seed, able.stop, able.schema, able.offer) == ("text", True, True, True, None)


LISTED = """
import sys
from pool_core.registry import Registry
registry = Registry.discover()
assert [entry for entry in registry.entries("backend") if entry.qualified == "llamacpp/llamacpp"]
import pool_llamacpp.backend
print(sorted({"llama_cpp", "numpy"} & set(sys.modules)))
"""


@pytest.mark.skipif(
    not any(record.name == "llamacpp" for record in discover_records()), reason="not installed: llamacpp"
)
def test_listing_and_importing_the_plugin_imports_no_library():
    done = subprocess.run([sys.executable, "-c", LISTED], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "[]\n"
