"""The backend that simulates a model: deterministic, with the faults that were asked for."""

from __future__ import annotations

import asyncio
import json
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pool_replay.simulate import Simulate, SimulateConfig

from pool_core.errors import BackendError
from pool_core.interfaces.values import Answer, Capabilities, Cause, Prompt, Request
from pool_core.testing.virtual_time import run_virtual

SCHEMA = {"type": "object", "properties": {"score": {"type": "integer"}, "why": {"type": "string"}}}


def ask(backend, number, *, sample=0, schema=None, sampling=None, timeout=60.0):
    prompt = Prompt(Prompt.chat(f"question {number}", "be brief").messages, schema=schema)
    return Request(number, prompt, sampling or {}, sample, backend.encode(prompt, sampling or {}), timeout)


async def get(backend, request):
    """The answer or error of a call, and how long it took."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    try:
        found = await backend.generate(request)
    except BackendError as error:
        found = (error.cause, error.message, error.retry_after)
    return found, round(loop.time() - started, 9)


def simulate(count, *, attempts=1, concurrent=False, order=None, sample=0, schema=None, **config):
    """What ``count`` requests get in each of their attempts, by number of the request."""

    async def main():
        backend = Simulate(SimulateConfig(**config))
        await backend.open()
        numbers = order or list(range(count))
        requests = {number: ask(backend, number, sample=sample, schema=schema) for number in numbers}
        found = {number: [] for number in numbers}
        for _ in range(attempts):
            calls = [get(backend, requests[number]) for number in numbers]
            results = await asyncio.gather(*calls) if concurrent else [await call for call in calls]
            for number, result in zip(numbers, results, strict=True):
                found[number].append(result)
        await backend.aclose()
        return found

    return run_virtual(main())


def answers_of(found):
    return [result for results in found.values() for result, _ in results]


FAULTS = {"fail": 0.1, "rate_limit": 0.1, "transport": 0.1, "truncate": 0.1, "refuse": 0.1, "empty": 0.1}


def test_answers_times_and_faults_depend_neither_on_order_nor_on_concurrency():
    config = {"attempts": 3, "latency": 2.0, **FAULTS}
    one_by_one = simulate(60, **config)
    shuffled = list(range(60))
    random.Random(1).shuffle(shuffled)
    assert simulate(60, order=shuffled, **config) == one_by_one
    assert simulate(60, concurrent=True, **config) == one_by_one


def test_seed_prompt_and_sample_change_the_answer():
    first = answers_of(simulate(20))
    assert len({answer.text for answer in first}) == 20
    assert not {answer.text for answer in first} & {answer.text for answer in answers_of(simulate(20, seed=1))}
    assert not {answer.text for answer in first} & {answer.text for answer in answers_of(simulate(20, sample=1))}


def test_negative_and_huge_seeds_are_taken():
    texts = {answers_of(simulate(1, seed=seed))[0].text for seed in (-1, 0, 2**63, 10**30)}
    assert len(texts) == 4


def test_answers_are_the_same_in_every_version():
    assert answers_of(simulate(1, words=8))[0].text == "Cat road first lamp star brook snow flower mountain."


def test_text_is_sentences_of_the_asked_length():
    answers = answers_of(simulate(300, words=40))
    lengths = [len(answer.text.split()) for answer in answers]
    assert min(lengths) >= 20
    assert max(lengths) <= 60
    assert 37 < statistics.mean(lengths) < 43
    for answer in answers:
        assert all(sentence[0].isupper() for sentence in answer.text.rstrip(".").split(". "))
        assert answer.text.endswith(".")


def test_usage_counts_four_characters_a_token():
    answer = answers_of(simulate(1))[0]
    assert answer.usage.input_tokens == 5  # "question 0" and "be brief": 18 characters
    assert answer.usage.output_tokens == -(-len(answer.text) // 4)
    assert (answer.finish_reason, answer.model) == ("stop", "simulated")


def test_code_is_a_fenced_block_of_python():
    for answer in answers_of(simulate(20, style="code")):
        first, *code, last = answer.text.split("\n")
        assert (first, last) == ("```python", "```")
        compile("\n".join(code), "answer", "exec")


def test_text_prompts_are_answered_too():
    backend = Simulate(SimulateConfig(takes="text"))
    prompt = Prompt(text="once upon a time")
    answer = asyncio.run(backend.generate(Request(1, prompt, {}, 0, backend.encode(prompt, {}), 60.0)))
    assert answer.usage.input_tokens == 4
    assert Simulate.capabilities(backend.config, {}) == Capabilities("text", seed=True, stop=True, schema=True)


def test_schema_makes_the_answer_json_that_satisfies_it():
    for answer in answers_of(simulate(20, schema=SCHEMA)):
        value = json.loads(answer.text)
        assert isinstance(value["score"], int)
        assert isinstance(value["why"], str)


def test_bad_json_breaks_json_and_nothing_else():
    for schema in (SCHEMA, {"type": "integer"}, {"type": "string"}, {"type": "null"}):
        for answer in answers_of(simulate(30, schema=schema, bad_json=1.0)):
            assert answer.finish_reason == "stop"
            with pytest.raises(ValueError, match=r"."):
                json.loads(answer.text)
    assert answers_of(simulate(10, bad_json=1.0)) == answers_of(simulate(10))


def test_max_tokens_and_stop_strings_end_an_answer():
    async def main():
        backend = Simulate(SimulateConfig())
        short = await backend.generate(ask(backend, 1, sampling={"max_tokens": 3}))
        enough = await backend.generate(ask(backend, 1, sampling={"max_tokens": 1000}))
        one = await backend.generate(ask(backend, 1, sampling={"stop": "."}))
        several = await backend.generate(ask(backend, 1, sampling={"stop": ["zzz", "e", ""]}))
        return short, enough, one, several

    short, enough, one, several = asyncio.run(main())
    assert (len(short.text), short.usage.output_tokens, short.finish_reason) == (12, 3, "length")
    assert enough.finish_reason == "stop"
    assert "." not in one.text
    assert "e" not in several.text


@pytest.mark.parametrize(
    ("fault", "cause", "message", "retry_after"),
    [
        ("fail", Cause.SERVER, "the server failed (simulated)", None),
        ("rate_limit", Cause.RATE_LIMIT, "too many requests (simulated)", 7.0),
        ("transport", Cause.TRANSPORT, "the connection broke (simulated)", None),
    ],
)
def test_errors_have_their_cause(fault, cause, message, retry_after):
    assert answers_of(simulate(3, retry_after=7.0, **{fault: 1.0})) == [(cause, message, retry_after)] * 3


def test_error_says_which_setting_asks_for_it():
    backend = Simulate(SimulateConfig(fail=1.0))
    with pytest.raises(BackendError, match="It is what `fail` asks the backend for"):
        asyncio.run(backend.generate(ask(backend, 1)))


def test_answers_of_no_use_look_like_those_of_a_server():
    whole = answers_of(simulate(30))
    for cut, answer in zip(answers_of(simulate(30, truncate=1.0)), whole, strict=True):
        assert cut.finish_reason == "length"
        assert answer.text.startswith(cut.text)
        assert 0 < len(cut.text) < len(answer.text)
    for refused in answers_of(simulate(3, refuse=1.0)):
        assert (refused.text, refused.refusal, refused.finish_reason) == (None, "I cannot help with that.", "stop")
    for empty in answers_of(simulate(3, empty=1.0)):
        assert (empty.text, empty.finish_reason, empty.usage.output_tokens) == ("", "stop", 0)


def test_shares_are_met():
    found = answers_of(simulate(2000, fail=0.2, refuse=0.1))
    assert 0.17 < sum(isinstance(one, tuple) for one in found) / 2000 < 0.23
    assert 0.08 < sum(isinstance(one, Answer) and one.refusal is not None for one in found) / 2000 < 0.12


def test_failed_request_gets_another_draw_and_an_answered_one_the_same():
    found = simulate(50, attempts=12, fail=0.5)
    for results in found.values():
        texts = {result.text for result, _ in results if isinstance(result, Answer)}
        kinds = [isinstance(result, Answer) for result, _ in results]
        assert any(kinds)
        first = kinds.index(True)
        assert len(texts) == 1
        assert kinds == (([False] * first + [True]) * 12)[:12]
    assert len({[isinstance(r, Answer) for r, _ in results].index(True) for results in found.values()}) > 2


def test_memory_of_faults_is_given_up_when_a_request_is_answered():
    async def main():
        backend = Simulate(SimulateConfig(fail=0.3))
        for number in range(200):
            request = ask(backend, number)
            while isinstance((await get(backend, request))[0], tuple):
                pass
        return len(backend._faults)

    assert run_virtual(main()) == 0


def test_latency_is_lognormal_with_the_given_mean():
    times = [
        seconds
        for results in simulate(3000, latency=2.0, sigma=0.5, concurrent=True).values()
        for _, seconds in results
    ]
    assert 1.9 < statistics.mean(times) < 2.1
    assert 1.66 < statistics.median(times) < 1.87  # 2 * exp(-0.125) = 1.765
    assert {seconds for results in simulate(5, latency=2.0, sigma=0).values() for _, seconds in results} == {2.0}


def test_latency_changes_no_answer():
    assert answers_of(simulate(20, latency=3.0, **FAULTS)) == answers_of(simulate(20, **FAULTS))


def test_latency_beyond_the_time_limit_is_a_timeout_and_the_next_attempt_has_another():
    async def main():
        backend = Simulate(SimulateConfig(latency=10.0, sigma=1.0))
        loop = asyncio.get_running_loop()
        found = []
        for number in range(20):
            request = ask(backend, number, timeout=8.0)
            started = loop.time()
            while isinstance((await get(backend, request))[0], tuple):
                found.append(round(loop.time() - started, 9))
                started = loop.time()
        return found

    times = run_virtual(main())
    assert times
    assert set(times) == {8.0}


def test_bursts_cover_calls_in_a_row_by_their_number():
    found = answers_of(simulate(1000, rate_limit=0.3, burst=10))
    limited = [isinstance(one, tuple) and one[0] is Cause.RATE_LIMIT for one in found]
    blocks = [limited[start : start + 10] for start in range(0, 1000, 10)]
    assert all(len(set(block)) == 1 for block in blocks)
    assert 15 < sum(block[0] for block in blocks) < 45
    assert limited == [isinstance(one, tuple) for one in answers_of(simulate(1000, rate_limit=0.3, burst=10))]


@given(st.text(), st.integers(0, 2**40), st.integers(0, 50))
def test_any_prompt_is_answered_the_same_twice(text, sample, max_tokens):
    def answer():
        backend = Simulate(SimulateConfig())
        prompt = Prompt(text=text)
        sampling = {"max_tokens": max_tokens}
        request = Request(1, prompt, sampling, sample, backend.encode(prompt, sampling), 60.0)
        return asyncio.run(backend.generate(request))

    first = answer()
    assert first == answer()
    assert first.usage.output_tokens <= max_tokens
