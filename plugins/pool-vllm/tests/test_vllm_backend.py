"""The adapter with a stand-in for vLLM's engine: what it is given, and what comes of its errors."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from pool_vllm.backend import PARAMETERS, Vllm
from pool_vllm.config import VllmConfig

from pool_core.errors import BackendError
from pool_core.interfaces.values import Cause, Message, Prompt
from pool_core.registry.discovery import discover_records


def run_backend(work, **config):
    async def run():
        backend = Vllm(VllmConfig.model_validate({"model": "m", **config}))
        await backend.open()
        try:
            return await work(backend)
        finally:
            await backend.aclose()
            await backend.aclose()

    return asyncio.run(run())


def test_an_answer_has_text_reason_and_usage(make_request):
    async def work(backend):
        return await backend.generate(make_request("hi", seed=1, max_tokens=3))

    answer = run_backend(work, model="we/m")
    assert len(answer.text.split()) == 3
    assert (answer.finish_reason, answer.model) == ("length", "m")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (len("user: hi\n"), 3)


def test_a_schema_constrains(make_request):
    prompt = Prompt(Prompt.chat("hi").messages, schema={"type": "object", "required": ["colour"]})

    async def work(backend):
        return await backend.generate(make_request("", prompt=prompt))

    assert run_backend(work).text == '{"colour": "red"}'


@pytest.mark.parametrize(
    ("text", "cause", "message"),
    [
        ("dead", Cause.SERVER, "vLLM's engine is dead: the core ended"),
        ("fails", Cause.SERVER, "vLLM failed: a kernel failed"),
        ("lost", Cause.SERVER, "vLLM failed: a worker is gone"),
        ("full", Cause.OVERLOADED, "vLLM takes no more at the moment: the queue is full"),
        ("wrong", Cause.BAD_REQUEST, "vLLM refuses the request: no such thing"),
        ("nothing", Cause.BAD_REPLY, "vLLM gave no output"),
        ("abort", Cause.SERVER, "vLLM gave the request up"),
        ("x" * 500, Cause.CONTEXT_LENGTH, "the prompt has 507 tokens, and the model takes 400 with the answer"),
    ],
)
def test_each_error_has_a_cause(make_request, text, cause, message):
    async def work(backend):
        with pytest.raises(BackendError) as caught:
            await backend.generate(make_request(text))
        return caught.value

    error = run_backend(work)
    assert (error.cause, error.message, error.stops_member) == (cause, message, text == "dead")


def test_a_release_that_has_no_errors_of_its_own_is_understood(make_request, monkeypatch):
    """0.26 refuses with `ValueError` alone, and its two errors of the engine have no base of vLLM's."""
    import vllm.v1.engine.async_llm

    for name in ("GracefulHTTPError", "VLLMClientError", "VLLMServerError"):
        monkeypatch.delattr(vllm.exceptions, name)

    async def work(backend):
        with pytest.raises(BackendError, match="vLLM refuses the request: temperature must be non-negative"):
            await backend.generate(make_request("hi", temperature=-1))
        with pytest.raises(BackendError, match="vLLM failed: a kernel failed"):
            await backend.generate(make_request("fails"))

    run_backend(work)


def test_a_parameter_that_vllm_refuses_and_a_role_that_the_template_refuses(make_request):
    async def work(backend):
        with pytest.raises(BackendError, match="vLLM refuses the request: temperature must be non-negative"):
            await backend.generate(make_request("hi", temperature=-1))
        with pytest.raises(BackendError, match="the model's chat template refuses it: no such role"):
            await backend.generate(make_request("hi", role="odd"))

    run_backend(work)


@pytest.mark.parametrize("turns", [1, 2, 3], ids=["taken in", "waiting", "still waiting"])
def test_a_call_that_is_given_up_is_aborted_and_closing_shuts_down(make_request, turns):
    async def work(backend):
        engine = backend._engine._engine
        call = asyncio.ensure_future(backend.generate(make_request("hi")))
        for _ in range(turns):
            await asyncio.sleep(0)
        assert engine.unfinished == ["1"]
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        return engine

    engine = run_backend(work, engine={"stub_seconds": 60.0})
    assert engine.unfinished == []
    assert engine.stopped


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model": "nowhere"}, "the model nowhere cannot be loaded: nowhere is no model"),
        (
            {"model": "broken"},
            (
                "the model broken cannot be loaded: Engine core initialization failed. See root cause above.\n"
                "  see what vLLM wrote, with `isolate: false`"
            ),
        ),
        (
            {"model": "base"},
            (
                "the model base has no chat template\n"
                "  write `takes: text` in the backend and a `prompt_format` in the member"
            ),
        ),
    ],
)
def test_a_model_that_cannot_be_used_says_why(config, message):
    with pytest.raises(BackendError) as caught:
        run_backend(None, **config)
    assert str(caught.value) == message


@pytest.mark.parametrize(("said", "expected"), [(None, "spawn"), ("fork", "fork")])
def test_the_engines_process_is_no_fork_unless_somebody_says_so(monkeypatch, said, expected):
    if said:
        monkeypatch.setenv("VLLM_WORKER_MULTIPROC_METHOD", said)

    async def work(backend):
        return backend._engine._engine.started_by

    assert run_backend(work) == expected


def test_an_argument_that_the_engine_does_not_know_is_told():
    with pytest.raises(BackendError, match=r"the model m cannot be loaded: .*unexpected keyword argument 'depth'"):
        run_backend(None, engine={"depth": 3})


def test_text_is_taken_as_it_is(make_request):
    async def work(backend):
        return await backend.generate(make_request("", prompt=Prompt(text="hi")))

    assert run_backend(work, model="base", takes="text").usage.input_tokens == 2


def test_a_parameter_that_nobody_would_heed_is_refused_and_so_is_an_image():
    backend = Vllm(VllmConfig(model="m"))
    with pytest.raises(BackendError) as caught:
        backend.encode(Prompt.chat("hi"), {"n": 2})
    assert str(caught.value) == f"vllm is not given n\n  it knows {', '.join(sorted(PARAMETERS))}"
    with pytest.raises(BackendError, match="this backend takes text, and a message has image_url"):
        backend.encode(Prompt((Message("user", [{"type": "image_url"}]),)), {})


def test_what_decides_an_answer_is_in_the_body_or_the_identity():
    def describe(**config):
        backend = Vllm(VllmConfig.model_validate({"model": "m", **config}))
        return backend.identity, backend.encode(Prompt.chat("hi"), {})

    base = describe()
    changes = ({"model": "n"}, {"revision": "r"}, {"dtype": "float16"}, {"max_tokens": 9}, {"engine": {"seed": 1}})
    for change in changes:
        assert describe(**change) != base


LISTED = """
import sys
from pool_core.registry import Registry
registry = Registry.discover()
assert [entry for entry in registry.entries("backend") if entry.qualified == "vllm/vllm"]
import pool_vllm.backend
print(sorted({"torch", "vllm"} & set(sys.modules)))
"""


@pytest.mark.skipif(not any(record.name == "vllm" for record in discover_records()), reason="not installed: vllm")
def test_listing_and_importing_the_plugin_imports_no_library():
    done = subprocess.run([sys.executable, "-c", LISTED], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "[]\n"
