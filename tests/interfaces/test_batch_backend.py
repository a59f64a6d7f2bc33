"""A backend that answers in batches: when a batch starts, who gets which result, and how it ends.

All in virtual time: a second here takes no time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool_core.errors import BackendError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.batch_backend import BatchBackend
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.values import Answer, Cause, Message, Prompt, Request
from pool_core.testing.virtual_time import run_virtual


class Echo(BatchBackend[PluginConfig]):
    """Answers with the request's id, after ``seconds``."""

    Config = PluginConfig
    model = "echo"
    endpoint = "device 0"
    batch_size = 3
    max_wait = 0.5

    def __init__(self, respond=None, seconds=0.0):
        super().__init__(PluginConfig())
        self.respond = respond or (lambda ids: {id_: Answer(str(id_)) for id_ in ids})
        self.seconds = seconds
        #: The ids of each batch and when it started.
        self.batches = []

    async def generate_batch(self, requests):
        ids = [request.id for request in requests]
        self.batches.append((asyncio.get_running_loop().time(), ids))
        await asyncio.sleep(self.seconds)
        return self.respond(ids)


def make_request(id_):
    return Request(id_, Prompt(text="x"), {}, 0, b"{}", 60.0)


async def ask(backend, *ids):
    """The outcome of each request: its text, or its error."""
    found = await asyncio.gather(*(backend.generate(make_request(id_)) for id_ in ids), return_exceptions=True)
    return [one.text if isinstance(one, Answer) else one for one in found]


def describe(errors):
    return [(error.cause, error.message) for error in errors]


def test_a_full_batch_starts_at_once_and_the_rest_waits_its_time():
    backend = Echo()
    assert run_virtual(ask(backend, 1, 2, 3, 4)) == ["1", "2", "3", "4"]
    assert backend.batches == [(0.0, [1, 2, 3]), (0.5, [4])]


def test_the_first_request_of_a_batch_sets_the_time():
    async def run():
        backend = Echo()
        early = asyncio.create_task(ask(backend, 1))
        await asyncio.sleep(0.4)
        late = asyncio.create_task(ask(backend, 2))
        await asyncio.gather(early, late)
        await asyncio.create_task(ask(backend, 3))
        return backend.batches

    assert run_virtual(run()) == [(0.5, [1, 2]), (1.0, [3])]


def test_a_full_batch_leaves_no_timer_for_the_next():
    async def run():
        backend = Echo()
        first = asyncio.create_task(ask(backend, 1, 2, 3))
        await asyncio.sleep(0.4)
        await asyncio.gather(first, ask(backend, 4))
        return backend.batches

    assert run_virtual(run()) == [(0.0, [1, 2, 3]), (0.9, [4])]


def test_batches_overlap():
    async def run():
        backend = Echo(seconds=10)
        await ask(backend, *range(9))
        return asyncio.get_running_loop().time()

    assert run_virtual(run()) == 10


def test_results_are_joined_by_id_and_never_by_place():
    backend = Echo(lambda ids: {id_: Answer(str(id_)) for id_ in [*reversed(ids), 99]})
    assert run_virtual(ask(backend, 3, 1, 2)) == ["3", "1", "2"]


NO_RESULT = (Cause.PLUGIN, "the batch returned no result for this request")


def test_a_missing_result_fails_its_own_request():
    backend = Echo(lambda ids: {1: Answer("1"), 3: Answer("3")})
    first, second, third = run_virtual(ask(backend, 1, 2, 3))
    assert (first, third) == ("1", "3")
    assert describe([second]) == [NO_RESULT]


def test_an_error_as_a_result_fails_its_own_request():
    error = BackendError(Cause.CONTEXT_LENGTH, "too long")
    backend = Echo(lambda ids: {1: Answer("1"), 2: error, 3: Answer("3")})
    assert run_virtual(ask(backend, 1, 2, 3)) == ["1", error, "3"]


def test_an_error_of_the_batch_fails_all_its_requests_with_its_cause():
    calls = []

    def respond(ids):
        calls.append(ids)
        if len(calls) == 1:
            raise BackendError(Cause.OVERLOADED, "later", retry_after=3)
        return {id_: Answer("ok") for id_ in ids}

    *failed, ok = run_virtual(ask(Echo(respond), 1, 2, 3, 4))
    assert describe(failed) == [(Cause.OVERLOADED, "later")] * 3
    assert {error.retry_after for error in failed} == {3}
    assert ok == "ok"


@pytest.mark.parametrize(
    ("respond", "message"),
    [
        (lambda ids: 1 / 0, "the batch failed: ZeroDivisionError: division by zero"),
        (lambda ids: None, "the batch returned NoneType instead of results by id"),
        (lambda ids: [Answer("x") for _ in ids], "the batch returned list instead of results by id"),
        (dict.fromkeys, NO_RESULT[1]),
        (lambda ids: dict.fromkeys(ids, "text"), "the batch returned str instead of an answer"),
        (lambda ids: dict.fromkeys(ids, ValueError("x")), "the batch returned ValueError instead of an answer"),
    ],
)
def test_a_batch_that_breaks_its_contract_leaves_nobody_waiting(respond, message):
    failed = run_virtual(ask(Echo(respond), 1, 2, 3))
    assert describe(failed) == [(Cause.PLUGIN, message)] * 3


def test_a_batch_that_cancels_itself_leaves_nobody_waiting():
    def respond(ids):
        raise asyncio.CancelledError

    failed = run_virtual(ask(Echo(respond), 1, 2, 3))
    assert describe(failed) == [(Cause.CANCELLED, "the batch was stopped before it ended")] * 3


async def cancel_one(backend, after):
    tasks = [asyncio.create_task(ask(backend, id_)) for id_ in (1, 2)]
    await asyncio.sleep(after)
    tasks[0].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    return found[1]


def test_a_request_that_is_cancelled_while_it_waits_is_not_sent():
    backend = Echo()
    assert run_virtual(cancel_one(backend, 0.1)) == ["2"]
    assert backend.batches == [(0.5, [2])]


def test_a_request_that_is_cancelled_in_its_batch_does_not_hurt_the_others():
    backend = Echo(seconds=1)
    assert run_virtual(cancel_one(backend, 0.7)) == ["2"]
    assert backend.batches == [(0.5, [1, 2])]


def test_a_batch_whose_requests_were_all_cancelled_is_not_started():
    async def run():
        backend = Echo()
        task = asyncio.create_task(ask(backend, 1))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.sleep(5)
        assert await ask(backend, 2) == ["2"]
        return backend.batches

    assert run_virtual(run()) == [(5.6, [2])]


def test_one_request_that_is_sent_twice_is_answered_twice():
    """As a hedge does: a batch has each id once, and nobody's place is taken."""
    backend = Echo(seconds=1)
    assert run_virtual(ask(backend, 1, 1, 2)) == ["1", "1", "2"]
    assert [ids for _, ids in backend.batches] == [[1], [1, 2]]


def test_a_request_that_fails_leaves_the_place_of_its_second_sending():
    calls = []

    def respond(ids):
        calls.append(ids)
        if len(calls) == 1:
            raise BackendError(Cause.SERVER, "busy")
        return {id_: Answer("ok") for id_ in ids}

    async def run():
        backend = Echo(respond, seconds=1)
        first = asyncio.create_task(ask(backend, 1))
        await asyncio.sleep(1.2)
        second = asyncio.create_task(ask(backend, 1))
        return await first, await second

    (failed,), (ok,) = run_virtual(run())
    assert (describe([failed]), ok) == ([(Cause.SERVER, "busy")], "ok")


def test_closing_ends_what_waits_and_what_runs():
    async def run():
        backend = Echo(seconds=100)
        running, waiting = asyncio.create_task(ask(backend, 1, 2, 3)), asyncio.create_task(ask(backend, 4))
        await asyncio.sleep(0.1)
        await backend.aclose()
        failed = [*await running, *await waiting]
        left = asyncio.all_tasks() - {asyncio.current_task()}
        await backend.aclose()
        await asyncio.sleep(5)
        return failed, left, backend.batches

    failed, left, batches = run_virtual(run())
    assert describe(failed) == [(Cause.CANCELLED, "the batch was stopped before it ended")] * 4
    assert left == set()
    assert batches == [(0.0, [1, 2, 3])]


def test_closing_without_opening_is_allowed():
    async def run():
        await Echo().aclose()

    run_virtual(run())


def distort(ids, data):
    """What a server may make of a batch: results are missing, too many, in another order, or none at all."""
    results = {}
    for id_ in data.draw(st.permutations([*ids, *range(900, 903)])):
        kind = data.draw(st.sampled_from(["right", "right", "missing", "error", "nothing", "text"]))
        if kind == "right":
            results[id_] = Answer(f"for {id_}")
        elif kind != "missing":
            results[id_] = {"error": BackendError(Cause.SERVER, "no"), "nothing": None, "text": f"for {id_}"}[kind]
    return results


@given(data=st.data(), count=st.integers(1, 12), size=st.integers(1, 5))
def test_whatever_a_batch_returns_only_the_requests_concerned_fail(data, count, size):
    given_back = {}

    def respond(ids):
        results = distort(ids, data)
        given_back.update((id_, results.get(id_)) for id_ in ids)
        return results

    backend = Echo(respond)
    backend.batch_size = size
    found = run_virtual(ask(backend, *range(count)))
    for id_, outcome in enumerate(found):
        if isinstance(given_back[id_], Answer):
            assert outcome == f"for {id_}"
        elif isinstance(given_back[id_], BackendError):
            assert outcome is given_back[id_]
        else:
            assert (outcome.cause, type(outcome)) == (Cause.PLUGIN, BackendError)


# what every backend has


class Plain(Backend[PluginConfig]):
    Config = PluginConfig
    model = "m"
    endpoint = "POST http://x/v1"

    async def generate(self, request):
        raise NotImplementedError


def test_the_defaults_of_a_backend():
    backend = Plain.build(PluginConfig(), {})
    assert (backend.quota, backend.identity) == (backend.endpoint, backend.endpoint)
    assert backend.describe_headers() == {}
    capabilities = Plain.capabilities(PluginConfig(), {})
    assert (capabilities.takes, capabilities.seed, capabilities.stop, capabilities.schema) == (
        "chat",
        False,
        True,
        False,
    )


def test_what_is_sent_holds_the_prompt_and_the_parameters_that_were_set():
    backend = Plain(PluginConfig())
    prompt = Prompt((Message("system", "s"), Message("user", "u \ud83d")))
    assert backend.encode(prompt, {"temperature": 0, "seed": None}) == (
        b'{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":"u \\ud83d"}],'
        b'"temperature":0}'
    )
    assert backend.encode(Prompt(text="x", schema={"type": "object"}), {}) == (
        b'{"model":"m","text":"x","schema":{"type":"object"}}'
    )


def test_the_requests_of_a_batch_come_as_they_were_made():
    seen = []

    class Look(Echo):
        async def generate_batch(self, requests):
            seen.extend(requests)
            results: Mapping[int, Answer] = {request.id: Answer("x") for request in requests}
            return results

    run_virtual(ask(Look(), 7))
    assert seen == [make_request(7)]
