"""The backend ``openai-batch`` over real sockets: joining, failures of all sorts, and nothing paid twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal as signals
import threading
from dataclasses import replace

import pytest
from pool_openai.batch_backend import OpenAIBatch
from pool_openai.batch_config import OpenAIBatchConfig

from pool_core.errors import BackendError
from pool_core.http.client import HttpClient
from pool_core.interfaces.isolation import Isolation
from pool_core.interfaces.values import Answer, Cause, Prompt, Request, Usage
from pool_core.isolation.backend import Isolated
from pool_core.isolation.messages import describe_backend
from pool_core.testing.batches import BatchApi
from pool_core.testing.replies import Reply, make_error_body, make_text_body
from pool_core.testing.server import ScriptedServer

#: A wait for what never takes long on a machine that works.
LONG = 60.0


def make_backend(server, folder=None, **config):
    given = {"model": "m", "base_url": server.url, "idle": 0.05, "poll": 0.01, **config}
    backend = OpenAIBatch(OpenAIBatchConfig(**given))
    backend.folder = folder
    return backend


def make_request(backend, text, key=None, number=0):
    prompt = Prompt.chat(text)
    return Request(number, prompt, {}, 0, backend.encode(prompt, {}), LONG, (key or text).encode())


async def ask(backend, texts):
    """The answer, or the error, to each text."""
    calls = (backend.generate(make_request(backend, text, number=n)) for n, text in enumerate(texts))
    return await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), LONG)


def run(server, texts, folder=None, *, durable=True, **config):
    """Open, ask, and close as the engine does."""

    async def run_once():
        backend = make_backend(server, folder, **config)
        try:
            await backend.open()
            found = await ask(backend, texts)
            if durable:
                backend.note_durable()
        finally:
            await backend.aclose()
        return found

    return asyncio.run(run_once())


def list_texts(found):
    return [one.text if isinstance(one, Answer) else one for one in found]


def list_kept(folder):
    return sorted(path.name for path in folder.rglob("*.json"))


def test_requests_are_one_batch_and_answers_are_joined_by_id(tmp_path):
    api = BatchApi()
    with ScriptedServer(api) as server:
        found = run(server, [f"text {n}" for n in range(7)], tmp_path)
    assert list_texts(found) == [f"echo: text {n}" for n in range(7)]
    assert found[0].usage == Usage(7, 3)
    assert len(api.batches) == 1
    assert (api.paid.total(), max(api.paid.values())) == (7, 1)
    first = json.loads(api.files["file-0"].splitlines()[0])
    assert first["url"] == "/v1/chat/completions"
    assert first["body"] == {"model": "m", "messages": [{"role": "user", "content": "text 0"}]}
    assert list_kept(tmp_path) == []


def test_a_full_batch_is_made_at_once(tmp_path):
    api = BatchApi()
    with ScriptedServer(api) as server:
        found = run(server, [f"text {n}" for n in range(6)], tmp_path, batch_size=3, idle=LONG)
    assert list_texts(found) == [f"echo: text {n}" for n in range(6)]
    assert [batch.shown["request_counts"]["total"] for batch in api.batches.values()] == [3, 3]


def test_equal_requests_are_two_lines(tmp_path):
    api = BatchApi()
    with ScriptedServer(api) as server:
        found = run(server, ["same", "same"], tmp_path)
    assert list_texts(found) == ["echo: same"] * 2
    assert api.paid.total() == 2
    assert api.batches["batch_0"].end == "completed"


@pytest.mark.parametrize(("most", "sizes"), [(600, [2, 2, 2, 1]), (10, [1] * 7), (10_000, [7])])
def test_a_file_that_is_full_is_a_batch(tmp_path, monkeypatch, most, sizes):
    monkeypatch.setattr("pool_openai.batch_backend.MOST_BYTES", most)
    api = BatchApi()
    with ScriptedServer(api) as server:
        found = run(server, [f"text {n}" for n in range(7)], tmp_path)
    assert list_texts(found) == [f"echo: text {n}" for n in range(7)]
    assert sorted((batch.shown["request_counts"]["total"] for batch in api.batches.values()), reverse=True) == sizes
    assert (api.paid.total(), max(api.paid.values())) == (7, 1)
    assert list_kept(tmp_path) == []


def test_a_file_that_is_refused_costs_the_requests_in_it_alone(tmp_path, monkeypatch):
    def refuse(request):
        if request.path == "/v1/files" and b"text 3" in request.raw:
            return Reply(400, make_error_body("bad file"))
        return None

    monkeypatch.setattr("pool_openai.batch_backend.MOST_BYTES", 600)
    with ScriptedServer(BatchApi(before=refuse)) as server:
        found = run(server, [f"text {n}" for n in range(6)], tmp_path)
    assert list_texts(found[:2] + found[4:]) == ["echo: text 0", "echo: text 1", "echo: text 4", "echo: text 5"]
    assert [error.cause for error in found[2:4]] == [Cause.BAD_REQUEST] * 2


# --- failures


def test_each_request_has_its_own_failure(tmp_path):
    def answer(body):
        text = body["messages"][-1]["content"]
        if text == "long":
            return Reply(400, make_error_body("too long", code="context_length_exceeded"))
        if text == "busy":
            return Reply(500, make_error_body("It failed."))
        return make_good(body)

    make_good = BatchApi().answer
    api = BatchApi(answer=answer)
    with ScriptedServer(api) as server:
        good, long, busy = run(server, ["good", "long", "busy"], tmp_path)
    assert good.text == "echo: good"
    assert (long.cause, busy.cause) == (Cause.CONTEXT_LENGTH, Cause.SERVER)
    assert "400 Bad Request: too long (context_length_exceeded)" in str(long)
    assert list_kept(tmp_path) == []


def test_a_line_that_is_missing_fails_its_request_alone(tmp_path):
    api = BatchApi(lost={1})
    with ScriptedServer(api) as server:
        one, lost, other = run(server, ["one", "two", "three"], tmp_path)
    assert (one.text, other.text) == ("echo: one", "echo: three")
    assert (lost.cause, lost.maybe_billed) == (Cause.BAD_REPLY, True)
    assert lost.message == "the batch batch_0 is completed and has no result for this request"


def test_a_batch_that_expires_gives_what_was_done(tmp_path):
    api = BatchApi(ends="expired")
    with ScriptedServer(api) as server:
        one, two, three, four = run(server, ["one", "two", "three", "four"], tmp_path)
    assert (one.text, two.text) == ("echo: one", "echo: two")
    assert {three.cause, four.cause} == {Cause.RATE_LIMIT}
    assert three.message == "the provider did not come to it before the batch expired"
    assert three.retry_after == 1.0


def test_a_batch_that_somebody_cancels_is_not_made_again(tmp_path):
    api = BatchApi(ends="cancelled")
    with ScriptedServer(api) as server:
        one, two = run(server, ["one", "two"], tmp_path)
    assert one.text == "echo: one"
    assert (two.cause, two.stops_member) == (Cause.CANCELLED, False)
    assert two.message == "the batch batch_0 was cancelled at the provider before it came to this request"
    assert two.hint == "run again to ask what is left"


def test_a_batch_that_is_refused_stops_the_member(tmp_path):
    api = BatchApi(ends="failed")
    with ScriptedServer(api) as server:
        (error,) = run(server, ["one"], tmp_path)
    assert (error.cause, error.stops_member) == (Cause.BAD_REQUEST, True)
    assert error.message == "the batch batch_0 was refused: no reason was given"
    assert list_kept(tmp_path) == []


def test_a_limit_of_queued_tokens_is_waited_for(tmp_path):
    def refuse(request):
        if request.method == "GET" and request.path.startswith("/v1/batches/"):
            errors = {"data": [{"code": "token_limit_exceeded", "message": "Too many."}]}
            return Reply(body={"id": "batch_0", "status": "failed", "errors": errors})
        return None

    with ScriptedServer(BatchApi(before=refuse)) as server:
        (error,) = run(server, ["one"], tmp_path)
    assert (error.cause, error.retry_after, error.message) == (
        Cause.RATE_LIMIT,
        0.01,
        "the batch batch_0 was refused: Too many.",
    )


@pytest.mark.parametrize("place", ["upload", "make", "look", "download"])
def test_a_call_that_fails_in_passing_is_made_again(place, tmp_path):
    failed = []

    def fail_once(request):
        content = request.path.endswith("/content")
        kind = {("POST", True): "", ("GET", True): "download"}.get((request.method, content))
        if kind is None:
            named = "upload" if request.path == "/v1/files" else "make" if request.method == "POST" else "look"
            kind = "list" if request.path == "/v1/batches" and request.method == "GET" else named
        if kind == place and not failed:
            failed.append(kind)
            return Reply(503)
        return None

    api = BatchApi(before=fail_once)
    with ScriptedServer(api) as server:
        found = run(server, ["one", "two"], tmp_path)
    assert failed == [place]
    assert list_texts(found) == ["echo: one", "echo: two"]
    assert (len(api.batches), api.paid.total()) == (1, 2)


def test_a_batch_whose_making_is_not_confirmed_is_found_and_not_made_again(tmp_path):
    cut = []

    def cut_once(request):
        if request.method == "POST" and request.path == "/v1/batches" and not cut:
            cut.append(True)
            return Reply(cut="before")
        return None

    api = BatchApi(after=cut_once)
    with ScriptedServer(api) as server:
        found = run(server, ["one", "two"], tmp_path)
    assert cut == [True]
    assert list_texts(found) == ["echo: one", "echo: two"]
    assert (len(api.batches), api.paid.total()) == (1, 2)


def cut_and_fail(path_fails):
    """A server that makes a batch, tells nobody, and then fails at a path until `healed` is set."""
    cut, healed = threading.Event(), threading.Event()

    def before(request):
        if cut.is_set() and not healed.is_set() and request.path.startswith(path_fails):
            return Reply(503)
        return None

    def after(request):
        if request.method == "POST" and request.path == "/v1/batches" and not cut.is_set():
            cut.set()
            return Reply(cut="before")
        return None

    return BatchApi(before=before, after=after), healed


@pytest.mark.parametrize("again", ["attempt", "start"])
def test_a_batch_of_which_is_not_known_whether_it_was_made_is_looked_for_later(tmp_path, again):
    api, healed = cut_and_fail("/v1/batches")

    async def ask_twice(server):
        backend = make_backend(server, tmp_path)
        await backend.open()
        failed = await ask(backend, ["one", "two"])
        healed.set()
        found = await ask(backend, ["one", "two"]) if again == "attempt" else ()
        await backend.aclose()
        return failed, found

    with ScriptedServer(api) as server:
        failed, found = asyncio.run(asyncio.wait_for(ask_twice(server), LONG))
        assert {error.cause for error in failed} == {Cause.OVERLOADED}
        assert len(list_kept(tmp_path)) == 1
        if again == "start":
            found = run(server, ["one", "two"], tmp_path)
    assert list_texts(found) == ["echo: one", "echo: two"]
    assert (len(api.batches), api.paid.total()) == (1, 2)


def test_a_batch_that_was_not_made_after_all_is_made_by_the_next_attempt(tmp_path):
    refusals = []

    def refuse(request):
        if request.path == "/v1/batches" and request.method == "POST" and len(refusals) < 5:
            refusals.append(request)
            return Reply(503)
        return None

    api = BatchApi(before=refuse)

    async def ask_twice(server):
        backend = make_backend(server, tmp_path)
        await backend.open()
        failed, found = await ask(backend, ["one"]), await ask(backend, ["one"])
        await backend.aclose()
        return failed, found

    with ScriptedServer(api) as server:
        (error,), found = asyncio.run(asyncio.wait_for(ask_twice(server), LONG))
    assert (error.cause, len(refusals), list_texts(found)) == (Cause.OVERLOADED, 5, ["echo: one"])
    assert (len(api.batches), api.paid.total()) == (1, 1)


@pytest.mark.parametrize("place", ["/v1/batches/", "/v1/files/"])
def test_a_redirect_is_no_reason_to_give_up_what_is_paid(tmp_path, place):
    astray = [True]

    def redirect(request):
        if astray and request.method == "GET" and request.path.startswith(place):
            return Reply(302, headers={"Location": "http://portal.example/login"})
        return None

    api = BatchApi(before=redirect)
    with ScriptedServer(api) as server:
        (error,) = run(server, ["mine"], tmp_path)
        (path,) = tmp_path.rglob("*.json")
        astray.clear()
        assert list_texts(run(server, ["mine"], tmp_path)) == ["echo: mine"]
    assert (error.stops_member, error.maybe_billed) == (True, True)
    assert error.message == "302: redirect to http://portal.example"
    assert error.hint == (
        "redirects are never followed; set base_url to the address of the server itself; "
        f"if the batch batch_0 is gone for good, delete {path}, and its requests are asked anew"
    )
    assert api.paid.total() == 1


def test_a_wrong_key_fails_without_further_calls(tmp_path):
    api = BatchApi(before=lambda request: Reply(401))
    with ScriptedServer(api) as server:
        one, two = run(server, ["one", "two"], tmp_path)
    assert (one.cause, two.cause) == (Cause.AUTH, Cause.AUTH)
    assert len(server.requests) == 1
    assert list_kept(tmp_path) == []


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\n", b'{"custom_id": "x"}\n', b"[]\nnull\n{}\n", b'{"custom_id": 1, "response": {}}\n'],
)
def test_files_that_cannot_be_read_give_nothing(content, tmp_path):
    def spoil(request):
        return Reply(body=content) if request.path.endswith("/content") else None

    with ScriptedServer(BatchApi(before=spoil)) as server:
        (error,) = run(server, ["one"], tmp_path)
    assert (error.cause, error.maybe_billed) == (Cause.BAD_REPLY, True)


def test_half_a_letter_in_an_answer_does_not_cost_it(tmp_path):
    good = BatchApi().answer

    def answer(body):
        return json.loads(json.dumps(good(body)).replace("echo: ", "\\ud800"))

    with ScriptedServer(BatchApi(answer=answer)) as server:
        (found,) = run(server, ["one"], tmp_path)
    assert found.text == "\ud800one"


# --- what outlives a call, and a process


def signal(method, path):
    """An event, and what sets it once a request of that kind was served."""
    event = threading.Event()

    def after(request):
        if request.method == method and request.path.startswith(path):
            event.set()

    return event, after


def test_an_attempt_that_was_given_up_is_taken_up_by_the_next(tmp_path):
    made, after = signal("POST", "/v1/batches")
    api = BatchApi(after=after)

    async def run_once(server):
        backend = make_backend(server, tmp_path, poll=0.05)
        await backend.open()
        first = asyncio.ensure_future(backend.generate(make_request(backend, "one")))
        await asyncio.to_thread(made.wait, LONG)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        (answer,) = await ask(backend, ["one"])
        await backend.aclose()
        return answer.text

    with ScriptedServer(api) as server:
        assert asyncio.run(asyncio.wait_for(run_once(server), LONG)) == "echo: one"
    assert (len(api.batches), api.paid.total()) == (1, 1)


def test_an_attempt_that_takes_too_long_ends_and_its_batch_goes_on(tmp_path):
    api = BatchApi()

    async def run_once(server):
        backend = make_backend(server, tmp_path, poll=0.5)
        await backend.open()
        with pytest.raises(BackendError) as caught:
            await backend.generate(replace(make_request(backend, "one"), timeout=0.2))
        (answer,) = await ask(backend, ["one"])
        await backend.aclose()
        return caught.value, answer.text

    with ScriptedServer(api) as server:
        error, text = asyncio.run(asyncio.wait_for(run_once(server), LONG))
    assert (error.cause, error.maybe_billed) == (Cause.TIMEOUT, True)
    assert error.message == "no answer within 0.2 s; the batch goes on, and the next attempt waits for it"
    assert (text, api.paid.total()) == ("echo: one", 1)


def test_before_it_is_open_it_says_so(tmp_path):
    with ScriptedServer(BatchApi()) as server:
        (error,) = asyncio.run(ask(make_backend(server), ["one"]))
    assert (error.cause, error.hint) == (Cause.PLUGIN, "call open() first")


def test_text_completions_go_in_batches_as_well(tmp_path):
    api = BatchApi(answer=lambda body: make_text_body(f"echo: {body['prompt']}"))

    async def run_once(server):
        backend = make_backend(server, tmp_path, api="completions")
        await backend.open()
        prompt = Prompt(text="Once")
        answer = await backend.generate(Request(0, prompt, {}, 0, backend.encode(prompt, {}), LONG, b"k"))
        await backend.aclose()
        return answer.text

    with ScriptedServer(api) as server:
        assert asyncio.run(asyncio.wait_for(run_once(server), LONG)) == "echo: Once"
    assert json.loads(api.files["file-0"])["url"] == api.batches["batch_0"].shown["endpoint"] == "/v1/completions"


def test_an_attempt_that_was_given_up_before_its_batch_failed_is_asked_anew(tmp_path):
    uploading, release = threading.Event(), threading.Event()

    def hold(request):
        if request.path == "/v1/files" and not release.is_set():
            uploading.set()
            release.wait(LONG)
            return Reply(401)
        return None

    api = BatchApi(before=hold)

    async def run_once(server):
        backend = make_backend(server, tmp_path)
        await backend.open()
        calls = [asyncio.ensure_future(backend.generate(make_request(backend, text))) for text in ("one", "two")]
        await asyncio.to_thread(uploading.wait, LONG)
        calls[0].cancel()
        release.set()
        (_, failed) = await asyncio.gather(*calls, return_exceptions=True)
        found = await ask(backend, ["one", "two"])
        await backend.aclose()
        return failed.cause, list_texts(found)

    with ScriptedServer(api) as server:
        assert asyncio.run(asyncio.wait_for(run_once(server), LONG)) == (Cause.AUTH, ["echo: one", "echo: two"])
    assert (api.paid.total(), max(api.paid.values())) == (2, 1)


def test_what_was_not_collected_is_collected_by_the_next_start(tmp_path):
    looked, after = signal("GET", "/v1/batches/")
    api = BatchApi(after=after)

    async def submit(server):
        backend = make_backend(server, tmp_path, poll=LONG)
        await backend.open()
        calls = [asyncio.ensure_future(backend.generate(make_request(backend, text))) for text in ("one", "two")]
        await asyncio.to_thread(looked.wait, LONG)
        backend.note_durable()
        await backend.aclose()
        await asyncio.gather(*calls, return_exceptions=True)

    with ScriptedServer(api) as server:
        asyncio.run(asyncio.wait_for(submit(server), LONG))
        assert len(list_kept(tmp_path)) == 1
        assert list_texts(run(server, ["two", "one", "three"], tmp_path)) == ["echo: two", "echo: one", "echo: three"]
    assert len(api.batches) == 2
    assert (api.paid.total(), max(api.paid.values())) == (3, 1)
    assert list_kept(tmp_path) == []


def test_closing_ends_at_once_though_the_reply_to_a_look_arrives_in_that_moment(tmp_path, monkeypatch):
    api, looking = BatchApi(), asyncio.Event()

    send = HttpClient.send

    async def send_and_keep_the_reply(client, failures, body, seconds, *, url, **how):
        sent = asyncio.ensure_future(send(client, failures, body, seconds, url=url, **how))
        if "/batches/" in url:
            looking.set()
            with contextlib.suppress(asyncio.CancelledError):  # as the client does in one of many such moments
                await asyncio.sleep(10 * LONG)
        return await sent

    monkeypatch.setattr(HttpClient, "send", send_and_keep_the_reply)

    async def submit(server):
        backend = make_backend(server, tmp_path, poll=10 * LONG)
        await backend.open()
        call = asyncio.ensure_future(backend.generate(make_request(backend, "one")))
        await looking.wait()
        await backend.aclose()
        (ended,) = await asyncio.gather(call, return_exceptions=True)
        return type(ended)

    with ScriptedServer(api) as server:
        assert asyncio.run(asyncio.wait_for(submit(server), LONG)) is asyncio.CancelledError


def test_answers_that_were_not_durable_are_given_again(tmp_path):
    api = BatchApi()
    with ScriptedServer(api) as server:
        assert list_texts(run(server, ["one", "two"], tmp_path, durable=False)) == ["echo: one", "echo: two"]
        assert list_texts(run(server, ["one", "two"], tmp_path)) == ["echo: one", "echo: two"]
        assert api.paid.total() == 2
        assert list_kept(tmp_path) == []
        assert list_texts(run(server, ["one"], tmp_path)) == ["echo: one"]  # durable, so whoever asks now means it
    assert api.paid.total() == 3


def test_what_part_of_a_batch_was_durable_is_kept(tmp_path):
    api = BatchApi()

    async def take_one(server):
        backend = make_backend(server, tmp_path)
        await backend.open()
        calls = [asyncio.ensure_future(backend.generate(make_request(backend, text))) for text in ("one", "two")]
        await calls[0]
        await calls[1]
        backend._delivered.discard(next(one for one in backend._delivered if one.startswith(b"two".hex())))
        backend.note_durable()
        await backend.aclose()

    with ScriptedServer(api) as server:
        asyncio.run(asyncio.wait_for(take_one(server), LONG))
        (path,) = tmp_path.rglob("*.json")
        assert json.loads(path.read_text())["done"] == [f"{b'one'.hex()}-1"]
        assert list_texts(run(server, ["two"], tmp_path)) == ["echo: two"]
        assert api.paid.total() == 2
        assert list_texts(run(server, ["one"], tmp_path)) == ["echo: one"]
    assert api.paid.total() == 3


def test_a_batch_is_found_by_its_token_on_any_page(tmp_path):
    api = BatchApi()
    with ScriptedServer(api) as server:
        run(server, ["mine"], tmp_path, durable=False)
        (path,) = tmp_path.rglob("*.json")
        kept = json.loads(path.read_text())
        path.write_text(json.dumps(kept | {"batch": None}))
        api.batches |= {
            f"other_{n}": api.batches["batch_0"].__class__({"id": f"other_{n}"}, b"", b"", "") for n in range(250)
        }
        assert list_texts(run(server, ["mine"], tmp_path)) == ["echo: mine"]
    assert api.paid.total() == 1


def test_a_batch_that_was_never_made_is_forgotten(tmp_path):
    api = BatchApi()
    with ScriptedServer(api) as server:
        run(server, ["mine"], tmp_path, durable=False)
        (path,) = tmp_path.rglob("*.json")
        kept = json.loads(path.read_text())
        path.write_text(json.dumps(kept | {"batch": None, "token": "0" * 32}))
        path.rename(path.with_name(f"{'0' * 32}.json"))
        assert list_texts(run(server, ["mine"], tmp_path)) == ["echo: mine"]
    assert api.paid.total() == 2
    assert list_kept(tmp_path) == []


def test_a_batch_that_the_provider_has_forgotten_is_asked_anew_once_a_person_says_so(tmp_path):
    api = BatchApi()
    with ScriptedServer(api) as server:
        run(server, ["mine"], tmp_path, durable=False)
        api.batches.clear()
        (error,) = run(server, ["mine"], tmp_path)
        (path,) = tmp_path.rglob("*.json")
        assert error.hint.endswith(f"gone for good, delete {path}, and its requests are asked anew")
        path.unlink()
        assert list_texts(run(server, ["mine"], tmp_path)) == ["echo: mine"]


def test_a_file_that_cannot_be_read_stops_the_start(tmp_path):
    with ScriptedServer(BatchApi()) as server:
        run(server, ["mine"], tmp_path, durable=False)
        (path,) = tmp_path.rglob("*.json")
        path.write_text("{")
        with pytest.raises(BackendError) as caught:
            run(server, ["mine"], tmp_path)
    assert caught.value.message.startswith("cannot read what was submitted: ")
    assert caught.value.hint == "a batch of this run may be under way; delete the file only if it is not"


def test_what_cannot_be_written_down_is_not_submitted(tmp_path):
    (tmp_path / "file").write_text("")
    api = BatchApi()
    with ScriptedServer(api) as server:
        (error,) = run(server, ["one"], tmp_path / "file" / "folder")
    assert (error.stops_member, error.message) == (True, "cannot write down what is submitted: Not a directory")
    assert server.requests == []


def test_says_what_suits_it_and_what_it_costs():
    found = OpenAIBatch.capabilities(OpenAIBatchConfig(model="m", batch_size=500), {})
    assert (found.offer.share, found.limits["concurrency"], found.limits["timeout"]) == (0.5, 500, 93_600.0)
    assert OpenAIBatch(OpenAIBatchConfig(model="m")).quota.startswith("batches of https://api.openai.com/v1 with ")


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"batch_size": 50_001}, {"poll": 0}, {"idle": -1}])
def test_a_configuration_that_cannot_work_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        OpenAIBatchConfig(model="m", **wrong)


@pytest.mark.skipif(os.name != "posix", reason="processes of their own need POSIX")
@pytest.mark.parametrize("moment", ["upload", "make", "look"])
def test_a_process_of_its_own_that_is_killed_costs_no_answer_and_pays_none_twice(tmp_path, moment):
    place = {"upload": ("POST", "/v1/files"), "make": ("POST", "/v1/batches"), "look": ("GET", "/v1/batches/")}[moment]
    pids, killed = [], []

    def kill(request):
        if (request.method, request.path[: len(place[1])]) == place and not killed:
            killed.append(True)
            os.kill(pids[0], signals.SIGKILL)

    api = BatchApi(after=kill)

    async def ask_until_answered(server):
        local = make_backend(server)
        sent = describe_backend("openai/openai-batch", OpenAIBatch, local.config, {})
        backend = Isolated(local, sent, Isolation(silence=LONG), None, bills=True)
        backend.folder = tmp_path
        await backend.open()
        pids.append(backend._child._process.pid)
        failed = await ask(backend, ["one", "two"])
        found = await ask(backend, ["one", "two"])
        backend.note_durable()
        await backend.aclose()
        return failed, found

    with ScriptedServer(api) as server:
        failed, found = asyncio.run(asyncio.wait_for(ask_until_answered(server), LONG))
    assert {error.cause for error in failed} == {Cause.TRANSPORT}
    assert list_texts(found) == ["echo: one", "echo: two"]
    assert (api.paid.total(), max(api.paid.values())) == (2, 1)
    assert list_kept(tmp_path) == []
