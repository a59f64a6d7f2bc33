"""llama.cpp for real, with a tiny GGUF file that the tests write. Skipped where llama-cpp-python is not installed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal

import pytest

pytest.importorskip("llama_cpp", reason="llama_cpp is not installed; the environment `llama` of tox has it")

from pool_llamacpp.backend import LlamaCpp
from pool_llamacpp.config import LlamaCppConfig
from pool_llamacpp.engine import LlamaEngine

from pool_core.errors import BackendError
from pool_core.interfaces.isolation import Isolation
from pool_core.interfaces.values import Cause, Message, Prompt
from pool_core.isolation.backend import Isolated
from pool_core.isolation.messages import describe_backend

SCHEMA = {
    "type": "object",
    "properties": {"score": {"type": "integer"}, "label": {"enum": ["good", "bad"]}},
    "required": ["score", "label"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def engine(tiny_gguf):
    made = LlamaEngine.load(LlamaCppConfig(path=tiny_gguf, context=0, threads=1))
    yield made
    made.close()


def ask(engine, text, **options):
    return engine.answer(Prompt.chat(text), {"max_tokens": 20, **options})


def test_a_seed_decides_the_text(engine):
    first, again, other = (ask(engine, "hi", temperature=1.0, seed=seed) for seed in (1, 1, 2))
    assert first.text == again.text != other.text
    assert first.text.isprintable()
    assert first.finish_reason == "length"
    assert first.usage.output_tokens == 20
    assert first.model == "tiny.gguf"


def test_usage_counts_the_prompt_as_the_template_writes_it(engine):
    prompt = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert ask(engine, "hi").usage.input_tokens == len(prompt) - 2 * len("<|im_start|>") - len("<|im_end|>") + 3


def test_text_is_taken_as_it_is(engine):
    text = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    plain = engine.answer(Prompt(text=text), {"max_tokens": 20, "temperature": 0.0})
    assert plain.text == ask(engine, "hi", temperature=0.0).text


def test_a_stop_string_is_cut_off(engine):
    whole = ask(engine, "hi", temperature=0.0).text
    cut = ask(engine, "hi", temperature=0.0, stop=[whole[5:7]])
    assert cut.text == whole[: whole.index(whole[5:7])]
    assert cut.finish_reason == "stop"


@pytest.mark.parametrize("seed", range(5))
def test_a_schema_constrains_even_a_model_of_noise(engine, seed):
    prompt = Prompt(Prompt.chat("hi").messages, schema=SCHEMA)
    answer = engine.answer(prompt, {"max_tokens": 200, "temperature": 1.0, "seed": seed})
    assert answer.finish_reason == "stop"
    found = json.loads(answer.text)
    assert found.keys() == {"score", "label"}
    assert type(found["score"]) is int
    assert found["label"] in ("good", "bad")


def test_a_grammar_constrains_what_has_no_schema(tiny_gguf):
    engine = LlamaEngine.load(LlamaCppConfig(path=tiny_gguf, grammar='root ::= ("yes" | "no") "."'))
    assert {ask(engine, "hi", temperature=1.0, seed=seed).text for seed in range(8)} == {"yes.", "no."}
    prompt = Prompt(Prompt.chat("hi").messages, schema={"enum": ["schema"]})
    assert engine.answer(prompt, {"max_tokens": 20}).text == '"schema"'
    engine.close()


def test_a_schema_that_is_no_grammar_stops_the_member(engine):
    prompt = Prompt(Prompt.chat("hi").messages, schema={"$ref": "https://example.org/schema"})
    with pytest.raises(BackendError) as caught:
        engine.answer(prompt, {"max_tokens": 5})
    assert caught.value.stops_member
    assert str(caught.value).startswith("the task's schema cannot be a grammar of llama.cpp: ")
    assert str(caught.value).endswith("\n  simplify the task's output fields")
    assert ask(engine, "hi").text


def test_a_prompt_that_does_not_fit_fails_and_an_answer_ends_at_the_window(engine):
    with pytest.raises(BackendError) as caught:
        ask(engine, "x" * 600)
    assert caught.value.cause is Cause.CONTEXT_LENGTH
    assert re.fullmatch(
        r"the prompt has \d+ tokens, and there is room for 512 with the answer\n"
        r"  shorten the prompt, or raise `context` if the model knows more",
        str(caught.value),
    )
    cut = ask(engine, "x" * 400, max_tokens=10_000)
    assert cut.finish_reason == "length"
    assert cut.usage.input_tokens + cut.usage.output_tokens <= 512


def test_half_a_character_costs_nothing(engine):
    assert ask(engine, "half \ud83d").text


def test_a_template_that_refuses_says_so(tiny_gguf):
    engine = LlamaEngine.load(LlamaCppConfig(path=tiny_gguf))
    engine._formatter = type(engine._formatter)("{{ raise_exception('no such role') }}", "", "")
    with pytest.raises(BackendError) as caught:
        engine.answer(Prompt((Message("odd", "hi"),)), {"max_tokens": 5})
    assert str(caught.value) == "the model's chat template refuses it: no such role"
    engine.close()


def test_a_file_without_a_chat_template_takes_text(gguf_without_template):
    with pytest.raises(BackendError) as caught:
        LlamaEngine.load(LlamaCppConfig(path=gguf_without_template))
    assert str(caught.value) == (
        f"the model {gguf_without_template} has no chat template\n"
        "  write `takes: text` in the backend and a `prompt_format` in the member"
    )
    engine = LlamaEngine.load(LlamaCppConfig(path=gguf_without_template, takes="text"))
    assert engine.answer(Prompt(text="hi"), {"max_tokens": 3}).usage.output_tokens == 3
    engine.close()


def test_what_is_no_model_is_told(tmp_path):
    path = tmp_path / "no.gguf"
    for content in (None, b"GGUF and no more"):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(BackendError) as caught:
            LlamaEngine.load(LlamaCppConfig(path=path))
        assert str(caught.value).startswith(f"the model {path} cannot be loaded: ")


def test_an_answer_ends_when_it_is_stopped(tiny_gguf):
    engine = LlamaEngine.load(LlamaCppConfig(path=tiny_gguf, context=0))
    engine.stop()
    answer = ask(engine, "hi", max_tokens=400)
    assert answer.usage.output_tokens <= 1
    engine.close()


def test_it_answers_from_a_process_of_its_own_and_survives_a_kill(tiny_gguf, make_request):
    config = LlamaCppConfig(path=tiny_gguf, threads=1)
    sent = describe_backend("llamacpp/llamacpp", LlamaCpp, config, {})

    async def run():
        backend = Isolated(LlamaCpp(config), sent, Isolation(silence=120), "cpu", bills=False)
        await backend.open()
        try:
            prompt = Prompt(Prompt.chat("hi").messages, schema=SCHEMA)
            request = make_request("", prompt=prompt, temperature=1.0, seed=3, max_tokens=200)
            first, before = await backend.generate(request), backend._child._process.pid
            os.kill(before, signal.SIGKILL)
            while True:
                try:
                    again = await backend.generate(request)
                    break
                except BackendError as error:
                    if error.stops_member:
                        raise
                    await asyncio.sleep(0.1)
            assert backend._child._process.pid != before
            return first, again
        finally:
            await backend.aclose()

    first, again = asyncio.run(run())
    assert first == again
    assert json.loads(first.text).keys() == {"score", "label"}
