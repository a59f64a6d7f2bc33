"""The backend over real sockets: what it sends, what it makes of what comes back, and how it ends."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest
from pool_openai.backend import OpenAI
from pool_openai.config import OpenAIConfig

from pool_core.errors import BackendError
from pool_core.http.failures import Failures
from pool_core.interfaces.values import Capabilities, Cause, Offer, Prompt, Usage
from pool_core.testing.server import Reply, ScriptedServer, make_chat_body


def fail(ask, url, **options):
    with pytest.raises(BackendError) as caught:
        ask(url, **options)
    return caught.value


# --- what a configured backend is


def test_says_what_it_is():
    backend = OpenAI(OpenAIConfig(model="m", base_url="http://h/v1/", api_key="env:MINE"))
    assert backend.model == "m"
    assert backend.endpoint == "POST http://h/v1/chat/completions"
    assert backend.quota == "http://h/v1 with env:MINE"
    assert OpenAI(OpenAIConfig(model="m", base_url="http://h/v1")).quota == "http://h/v1 with no key"
    text = OpenAIConfig(model="m", base_url="http://h/v1", api="completions")
    assert OpenAI(text).endpoint == "POST http://h/v1/completions"


def test_says_what_it_can_do():
    chat, text = OpenAIConfig(model="m"), OpenAIConfig(model="m", api="completions")
    offer = Offer("m", "https://api.openai.com/v1")
    assert OpenAI.capabilities(chat, {}) == Capabilities("chat", seed=True, stop=True, schema=True, offer=offer)
    assert OpenAI.capabilities(text, {}) == Capabilities("text", seed=True, stop=True, schema=False, offer=offer)


# --- calls


def test_a_chat_call(ask):
    with ScriptedServer() as server:
        answer = ask(server.url, Prompt.chat("Hé", system="S"), {"temperature": 0, "seed": 7})
    assert (answer.text, answer.finish_reason, answer.model) == ("echo: Hé", "stop", "scripted-model")
    assert answer.usage == Usage(7, 2)
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.body == {
        "model": "m",
        "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Hé"}],
        "seed": 7,
        "temperature": 0,
    }
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"] == "pool-openai"
    assert not {"authorization", "api-key", "x-api-key", "cookie", "referer"} & request.headers.keys()


def test_a_text_call(ask):
    with ScriptedServer() as server:
        answer = ask(server.url, Prompt(text="Once"), api="completions")
    assert answer.text == "echo: Once"
    assert (server.requests[0].path, server.requests[0].body) == ("/v1/completions", {"model": "m", "prompt": "Once"})


def test_headers_and_extra_fields_are_sent(ask):
    with ScriptedServer() as server:
        ask(server.url, headers={"X-A": "b"}, organization="org", extra={"top_k": 3})
    assert server.requests[0].headers["x-a"] == "b"
    assert server.requests[0].headers["openai-organization"] == "org"
    assert server.requests[0].body["top_k"] == 3


@pytest.mark.parametrize(("header", "value"), [("authorization", "Bearer {}"), ("api-key", "{}"), ("x-api-key", "{}")])
def test_the_key_goes_into_one_header(header, value, ask, canary):
    with ScriptedServer() as server:
        ask(server.url, api_key="env:CANARY", key_header=header)
    carrying = {name: content for name, content in server.requests[0].headers.items() if canary in content}
    assert carrying == {header: value.format(canary)}


def test_the_key_can_come_from_a_file(ask, tmp_path):
    (tmp_path / "key").write_text("sk-file\n")
    with ScriptedServer() as server:
        ask(server.url, api_key=f"file:{tmp_path / 'key'}")
    assert server.requests[0].headers["authorization"] == "Bearer sk-file"


def test_openais_own_key_stays_at_home(ask, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-home")
    with ScriptedServer() as server:
        ask(server.url)
    assert "sk-home" not in str(server.requests[0].headers)


def test_a_missing_key_stops_it_before_any_call(ask):
    with ScriptedServer() as server:
        error = fail(ask, server.url, api_key="env:NO_SUCH_KEY")
    assert (error.cause, error.message) == (Cause.AUTH, "the environment variable NO_SUCH_KEY is not set")
    assert server.requests == []


async def ask_until_known(server, backend, make_request, before=None):
    """Ask until a request comes on a connection that was there. The client keeps one a moment after its reply only."""
    for number in range(1000):
        if before is not None:
            await before(number)
        await backend.generate(make_request(backend))
        connections = [request.connection for request in server.requests]
        if len(set(connections)) < len(connections):
            return
    raise AssertionError("each request has had a connection of its own")


def test_opening_again_reads_the_key_again_and_keeps_the_connections(make_request, monkeypatch):
    async def run(server):
        backend = OpenAI(OpenAIConfig(model="m", base_url=server.url, api_key="env:ROTATED"))

        async def open_again(number):
            monkeypatch.setenv("ROTATED", f"key-{number}")
            await backend.open()

        await ask_until_known(server, backend, make_request, open_again)
        await backend.aclose()

    with ScriptedServer() as server:
        asyncio.run(run(server))
    keys = [request.headers["authorization"] for request in server.requests]
    assert keys == [f"Bearer key-{number}" for number in range(len(keys))]
    assert len(keys) > 1


def test_refreshing_says_whether_the_key_is_another_one(make_request, monkeypatch):
    async def run(url):
        backend = OpenAI(OpenAIConfig(model="m", base_url=url, api_key="env:ROTATED"))
        monkeypatch.setenv("ROTATED", "old")
        await backend.open()
        found = [await backend.refresh()]
        monkeypatch.setenv("ROTATED", "new")
        found += [await backend.refresh(), await backend.refresh()]
        await backend.generate(make_request(backend))
        monkeypatch.delenv("ROTATED")
        with pytest.raises(BackendError, match="ROTATED is not set") as caught:
            await backend.refresh()
        await backend.aclose()
        return found, caught.value.cause

    with ScriptedServer() as server:
        assert asyncio.run(run(server.url)) == ([False, True, False], Cause.AUTH)
    assert server.requests[0].headers["authorization"] == "Bearer new"


def test_without_a_key_there_is_nothing_to_refresh():
    assert asyncio.run(OpenAI(OpenAIConfig(model="m", base_url="http://h/v1")).refresh()) is False


@pytest.mark.parametrize(("remaining", "pauses"), [("0", [0.02]), ("1", [])])
@pytest.mark.parametrize("listening", [True, False])
def test_a_limit_that_is_used_up_pauses_before_the_next_request(remaining, pauses, listening, make_request):
    headers = {"x-ratelimit-remaining-requests": remaining, "x-ratelimit-reset-requests": "20ms"}
    called = []

    async def run(url):
        backend = OpenAI(OpenAIConfig(model="m", base_url=url))
        backend.pause = called.append if listening else None
        await backend.open()
        await backend.generate(make_request(backend))
        await backend.aclose()

    with ScriptedServer([Reply(headers=headers)]) as server:
        asyncio.run(run(server.url))
    assert called == (pauses if listening else [])


# --- replies that are no answers


@pytest.mark.parametrize(
    ("status", "code", "cause"),
    [
        (400, None, Cause.BAD_REQUEST),
        (400, "context_length_exceeded", Cause.CONTEXT_LENGTH),
        (400, "content_filter", Cause.CONTENT_FILTER),
        (401, "invalid_api_key", Cause.AUTH),
        (402, None, Cause.QUOTA_EXHAUSTED),
        (403, None, Cause.AUTH),
        (404, "model_not_found", Cause.BAD_REQUEST),
        (408, None, Cause.TIMEOUT),
        (409, None, Cause.SERVER),
        (413, None, Cause.CONTEXT_LENGTH),
        (422, None, Cause.BAD_REQUEST),
        (429, "rate_limit_exceeded", Cause.RATE_LIMIT),
        (429, "insufficient_quota", Cause.QUOTA_EXHAUSTED),
        (500, None, Cause.SERVER),
        (502, None, Cause.SERVER),
        (503, None, Cause.OVERLOADED),
        (504, None, Cause.SERVER),
        (529, "overloaded_error", Cause.OVERLOADED),
    ],
)
def test_each_status_is_asked_once(status, code, cause, ask):
    reply = Reply(status, {"error": {"message": "Because.", "code": code}})
    with ScriptedServer([reply]) as server:
        error = fail(ask, server.url)
    assert error.cause is cause
    assert error.message.startswith(str(status))
    assert "Because." in error.message
    assert error.where == f"POST {server.url}/chat/completions"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "1.5"}, 1.5),
        ({"retry-after-ms": "20", "Retry-After": "9"}, 0.02),
        ({"Retry-After": "Sun, 06 Nov 1994 08:50:07 GMT", "Date": "Sun, 06 Nov 1994 08:49:37 GMT"}, 30.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "1\r\nRetry-After: 2"}, None),
        ({"Retry-After": "\xff"}, None),
    ],
)
def test_the_servers_wait_is_passed_on(headers, seconds, ask):
    with ScriptedServer([Reply(429, headers=headers)]) as server:
        assert fail(ask, server.url).retry_after == seconds


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
@pytest.mark.parametrize("header", ["authorization", "api-key", "x-api-key"])
def test_a_redirect_is_never_followed(status, header, ask, canary):
    with ScriptedServer() as other:
        goal = f"{other.url}/chat/completions"
        with ScriptedServer([Reply(status, b"", {"Location": goal, "Set-Cookie": "a=b"})]) as server:
            error = fail(ask, server.url, api_key="env:CANARY", key_header=header)
    assert (error.cause, error.message) == (Cause.BAD_REQUEST, f"{status}: redirect to http://127.0.0.1:{other.port}")
    assert (len(server.requests), other.requests) == (1, [])


def test_no_redirect_within_the_server_either(ask):
    with ScriptedServer([Reply(307, b"", {"Location": "/v1/chat/completions"})]) as server:
        fail(ask, server.url)
    assert len(server.requests) == 1


def test_json_under_any_content_type_is_an_answer(ask):
    with ScriptedServer([Reply(201, make_chat_body("a"), {"Content-Type": "text/plain"})]) as server:
        assert ask(server.url).text == "a"


@pytest.mark.parametrize("body", [b"", b"<html>Login</html>", b'{"choices": [{"mess', b"\xff\xfe"])
def test_what_is_not_json_is_a_bad_reply(body, ask):
    with ScriptedServer([Reply(200, body)]) as server:
        error = fail(ask, server.url)
    assert (error.cause, error.maybe_billed) == (Cause.BAD_REPLY, True)
    assert error.message.startswith("not JSON: ")


def test_a_refusal_is_an_answer(ask):
    with ScriptedServer([Reply(body=make_chat_body(None, refusal="No."))]) as server:
        answer = ask(server.url)
    assert (answer.text, answer.refusal) == (None, "No.")


def test_half_a_surrogate_pair_comes_through(ask):
    with ScriptedServer([Reply(body=make_chat_body("a\ud800"))]) as server:
        assert ask(server.url).text == "a\ud800"


# --- sizes


def test_a_body_at_the_limit_is_read(ask):
    body = json.dumps(make_chat_body("x" * 1000)).encode()
    with ScriptedServer([Reply(200, body)]) as server:
        assert ask(server.url, max_answer_bytes=len(body)).text == "x" * 1000


@pytest.mark.parametrize("headers", [{}, {"Transfer-Encoding": "chunked"}])
@pytest.mark.parametrize("size", [1, 20_000_000])
def test_a_body_above_the_limit_is_not(headers, size, ask):
    body = json.dumps(make_chat_body("x" * 1000)).encode() + b" " * size
    with ScriptedServer([Reply(200, body, headers)]) as server:
        error = fail(ask, server.url, max_answer_bytes=len(body) - size)
    assert (error.cause, error.maybe_billed) == (Cause.BAD_REQUEST, True)
    assert error.message == f"the reply has more than {len(body) - size} bytes"
    assert error.hint == "lower max_tokens, or raise max_answer_bytes"


def test_a_large_error_keeps_its_status(ask):
    with ScriptedServer([Reply(503, b"x" * 5000)]) as server:
        assert fail(ask, server.url, max_answer_bytes=100).cause is Cause.OVERLOADED


def test_gzip_is_read(ask):
    body = gzip.compress(json.dumps(make_chat_body("zipped")).encode())
    with ScriptedServer([Reply(200, body, {"Content-Encoding": "gzip"})]) as server:
        assert ask(server.url).text == "zipped"


def test_the_limit_counts_what_gzip_becomes(ask):
    bomb = gzip.compress(b" " * 30_000_000)
    with ScriptedServer([Reply(200, bomb, {"Content-Encoding": "gzip"})]) as server:
        error = fail(ask, server.url, max_answer_bytes=1_000_000)
    assert error.message == "the reply has more than 1000000 bytes"
    assert len(bomb) < 1_000_000


def test_broken_gzip_is_a_bad_reply(ask):
    with ScriptedServer([Reply(200, b"no gzip", {"Content-Encoding": "gzip"})]) as server:
        error = fail(ask, server.url)
    assert (error.cause, error.maybe_billed) == (Cause.BAD_REPLY, True)
    assert error.message.startswith(f"127.0.0.1:{server.port} sent what is no valid HTTP reply: ")


# --- connections


@pytest.mark.parametrize("cut", ["before", "headers", "body"])
@pytest.mark.parametrize("headers", [{}, {"Transfer-Encoding": "chunked"}])
def test_a_cut_connection_is_asked_once(cut, headers, ask):
    with ScriptedServer([Reply(body=make_chat_body("x" * 1000), headers=headers, cut=cut)]) as server:
        error = fail(ask, server.url)
    assert (error.cause, error.maybe_billed) == (Cause.TRANSPORT, cut == "body")
    where = "broke within its reply: " if cut == "body" else "broke: "
    assert error.message.startswith(f"the connection to 127.0.0.1:{server.port} {where}")
    assert len(server.requests) == 1


def test_a_body_that_ends_early_is_a_cut_connection(ask):
    reply = Reply(200, b"{}", {"Content-Length": "9", "Connection": "close"})
    with ScriptedServer([reply]) as server:
        assert fail(ask, server.url).cause is Cause.TRANSPORT


def test_a_server_that_is_not_there_is_named(ask):
    with socket.socket() as silent:  # it has the port, so nobody else listens at it
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        error = fail(ask, f"http://127.0.0.1:{port}/v1")
    assert (error.cause, error.maybe_billed) == (Cause.TRANSPORT, False)
    assert error.message == f"cannot reach 127.0.0.1:{port}: connection refused"
    assert error.hint == "check base_url and that the server runs"


@pytest.mark.parametrize("first_byte", [None, 3600])
@pytest.mark.parametrize(
    "reply", [Reply(delay=3600), Reply(200, b"{}", {"Content-Length": "9"})], ids=["no headers", "no end of the body"]
)
def test_the_time_limit_holds_for_the_whole_call(reply, first_byte, ask):
    with ScriptedServer([reply]) as server:
        error = fail(ask, server.url, timeout=0.5, first_byte_timeout=first_byte)
    assert (error.cause, error.maybe_billed) == (Cause.TIMEOUT, True)
    assert error.message == f"no whole answer from 127.0.0.1:{server.port} within 0.5 s"
    assert error.hint == "raise the timeout or lower max_tokens"


def test_a_reply_must_begin_in_time(ask):
    with ScriptedServer([Reply(delay=3600)]) as server:
        error = fail(ask, server.url, timeout=60, first_byte_timeout=0.1)
    assert (error.cause, error.maybe_billed) == (Cause.TIMEOUT, True)
    assert error.message == f"no reply from 127.0.0.1:{server.port} began within 0.1 s"
    assert error.hint == "raise first_byte_timeout, or leave it out"


def test_a_reply_that_has_begun_may_take_its_time(make_request, monkeypatch):
    limits, make_limit = [], asyncio.timeout
    body = json.dumps(make_chat_body("late")).encode()
    monkeypatch.setattr(asyncio, "timeout", lambda seconds: limits.append(make_limit(seconds)) or limits[-1])

    async def answer(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length:")[2].split()[0]))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:9])
        while limits[0].when() is not None and not limits[0].expired():  # noqa: ASYNC110 - as long as it takes the client to see that
            await asyncio.sleep(0.001)
        writer.write(body[9:])
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def run():
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
            backend = OpenAI(OpenAIConfig(model="m", base_url=url, first_byte_timeout=60))
            await backend.open()
            found = await backend.generate(make_request(backend))
            await backend.aclose()
        return found.text

    assert asyncio.run(run()) == "late"
    assert len(limits) == 1


def test_what_is_odd_about_answers_is_logged_once(make_request, caplog):
    async def run(url):
        backend = OpenAI(OpenAIConfig(model="m", base_url=url))
        await backend.open()
        answers = [await backend.generate(make_request(backend)) for _ in range(3)]
        await backend.aclose()
        return answers

    odd = make_chat_body("a", finish_reason="because\x1b")
    replies = [Reply(body=odd | {"choices": odd["choices"] * 2}) for _ in range(2)]
    with ScriptedServer([*replies, Reply(body=make_chat_body("b", finish_reason="max_tokens"))]) as server:
        answers = asyncio.run(run(server.url))
    assert [answer.finish_reason for answer in answers] == ["because\x1b", "because\x1b", "length"]
    where = f"POST {server.url}/chat/completions: "
    assert [record.message for record in caplog.records] == [
        where + r'the finish_reason "because\x1b" is not known; such answers are taken',
        where + "one choice was asked for and 2 came; the first is taken",
    ]


def test_connections_are_kept(make_request):
    async def run(server):
        backend = OpenAI(OpenAIConfig(model="m", base_url=server.url))
        await backend.open()
        await ask_until_known(server, backend, make_request)
        await backend.aclose()

    with ScriptedServer() as server:
        asyncio.run(run(server))


def test_200_calls_at_a_time_get_their_own_answers(make_request):
    async def run(url):
        backend = OpenAI(OpenAIConfig(model="m", base_url=url))
        await backend.open()
        requests = [make_request(backend, Prompt.chat(str(number))) for number in range(200)]
        answers = await asyncio.gather(*map(backend.generate, requests))
        await backend.aclose()
        return [answer.text for answer in answers]

    with ScriptedServer(lambda request: Reply(delay=0.05)) as server:
        assert asyncio.run(run(server.url)) == [f"echo: {number}" for number in range(200)]
    assert len(server.requests) == 200


def test_200_calls_are_on_their_way_at_a_time(make_request):
    async def run(server):
        backend = OpenAI(OpenAIConfig(model="m", base_url=server.url))
        await backend.open()
        calls = [asyncio.ensure_future(backend.generate(make_request(backend, timeout=600))) for _ in range(200)]
        while server.max_in_flight < 200 and not any(call.done() for call in calls):  # noqa: ASYNC110 - another thread counts
            await asyncio.sleep(0.01)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await backend.aclose()

    with ScriptedServer(lambda request: Reply(delay=3600)) as server:
        asyncio.run(run(server))
    assert server.max_in_flight == 200


def test_a_cancelled_call_ends_at_once_and_leaves_the_backend_usable(make_request):
    arrived = threading.Event()

    def make_reply(request):
        first = not arrived.is_set()
        arrived.set()
        return Reply(delay=3600) if first else None

    async def run(url):
        backend = OpenAI(OpenAIConfig(model="m", base_url=url))
        await backend.open()
        call = asyncio.create_task(backend.generate(make_request(backend, timeout=60)))
        assert await asyncio.to_thread(arrived.wait, 60)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        answer = await backend.generate(make_request(backend))
        await backend.aclose()
        return answer.text

    with ScriptedServer(make_reply) as server:
        assert asyncio.run(run(server.url)) == "echo: Hi"


def test_may_be_closed_twice_without_open_and_opened_again(make_request):
    async def run(url):
        backend = OpenAI(OpenAIConfig(model="m", base_url=url))
        await backend.aclose()
        with pytest.raises(BackendError, match="the backend is not open") as caught:
            await backend.generate(make_request(backend))
        assert (caught.value.cause, caught.value.hint) == (Cause.PLUGIN, "call open() first")
        await backend.open()
        await backend.aclose()
        await backend.aclose()
        await backend.open()
        answer = await backend.generate(make_request(backend))
        await backend.aclose()
        return answer.text

    with ScriptedServer() as server:
        assert asyncio.run(run(server.url)) == "echo: Hi"


class SlowlyWokenLoop(asyncio.SelectorEventLoop):
    """A loop whose wakers take their time behind the wake, as on a machine that is busy."""

    def __init__(self):
        super().__init__()
        self.own, self.wakers = threading.get_ident(), set()

    def _write_to_self(self):
        self.wakers.add(threading.get_ident())
        super()._write_to_self()
        if threading.get_ident() != self.own:
            time.sleep(0.2)
        self.wakers.discard(threading.get_ident())


def test_when_it_is_closed_no_thread_of_the_client_is_in_the_interpreter(make_request):
    async def run(url):
        backend = OpenAI(OpenAIConfig(model="m", base_url=url))
        await backend.open()
        await backend.generate(make_request(backend))
        await backend.aclose()
        return set(asyncio.get_running_loop().wakers)

    with ScriptedServer([Reply(delay=0.1)]) as server, asyncio.Runner(loop_factory=SlowlyWokenLoop) as runner:
        assert runner.run(run(server.url)) == set()


# --- proxies


def test_the_environments_proxies_are_used_when_trusted_only(ask, monkeypatch):
    with ScriptedServer() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.removesuffix("/v1"))
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
        assert ask("http://model.invalid/v1", trust_env=True).text == "echo: Hi"
        assert [request.headers["host"] for request in proxy.requests] == ["model.invalid"]
        error = fail(ask, "http://model.invalid/v1", connect_timeout=5)
        assert error.message.startswith("cannot reach model.invalid:80: ")
        with ScriptedServer() as server:
            for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
                assert ask(url, trust_env=True).text == "echo: Hi"
    assert (len(proxy.requests), len(server.requests)) == (1, 2)


# --- TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A server's certificate for 127.0.0.1, and the authority that signed it."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the command openssl")
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "extensions").write_text("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")
    key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    for command in (
        f"req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=Authority -days 2",
        f"req -new {key} -keyout server.key -out server.csr -subj /CN=Server",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile extensions",
    ):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True, env=os.environ)
    return folder


def serve_tls(certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    return ScriptedServer(ssl_context=context)


def test_a_certificate_of_an_unknown_authority_is_refused(ask, certificates, canary):
    with serve_tls(certificates) as server:
        error = fail(ask, server.url, api_key="env:CANARY")
    assert error.cause is Cause.BAD_REQUEST
    assert error.message.startswith(f"127.0.0.1:{server.port} cannot be trusted: ")
    assert error.hint == "set ca_file to the certificate of the authority that signed the server's"
    assert server.requests == []


def test_ca_file_adds_authorities(ask, certificates):
    bundle = certificates / "bundle.pem"
    bundle.write_bytes(b"# two\n" + (certificates / "server.pem").read_bytes() + (certificates / "ca.pem").read_bytes())
    with serve_tls(certificates) as server:
        assert ask(server.url, ca_file=certificates / "ca.pem").text == "echo: Hi"
        assert ask(server.url, ca_file=bundle).text == "echo: Hi"


def test_plain_http_behind_https_is_told_apart(ask):
    def answer_once(listener):
        client, _ = listener.accept()
        client.recv(4096)
        client.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        client.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer_once, args=(listener,))
        thread.start()
        error = fail(ask, f"https://127.0.0.1:{listener.getsockname()[1]}/v1")
        thread.join()
    assert (error.cause, error.hint) == (Cause.TRANSPORT, "the server may speak http, not https")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read the ca_file {}: No such file or directory"),
        (b"junk", "there is no certificate in the ca_file {}"),
        (b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----", "cannot make a client: "),
    ],
)
def test_a_bad_ca_file_stops_it_before_any_call(content, message, ask, tmp_path):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    error = fail(ask, "https://127.0.0.1:1/v1", ca_file=path)
    assert error.cause is Cause.BAD_REQUEST
    assert error.message.startswith(message.format(path))
    assert error.hint == "ca_file must be a PEM file of one or more certificates"


def test_what_is_set_in_headers_shows_without_the_key_and_tells_requests_apart():
    plain = OpenAI(OpenAIConfig(model="m", base_url="http://127.0.0.1:1/v1", api_key="env:SOME_KEY"))
    other = OpenAI(OpenAIConfig(model="m", base_url="http://127.0.0.1:1/v1", organization="acme", headers={"x-a": "b"}))
    assert plain.describe_headers() == {"content-type": "application/json", "authorization": "*** (env:SOME_KEY)"}
    assert other.describe_headers() == {"content-type": "application/json", "x-a": "b", "OpenAI-Organization": "acme"}
    assert plain.identity == "POST http://127.0.0.1:1/v1/chat/completions"
    assert other.identity == plain.identity + ' {"OpenAI-Organization": "acme", "x-a": "b"}'


@pytest.mark.parametrize("status", [301, 404])
def test_what_no_call_will_cure_stops_the_member(status):
    error = Failures(OpenAIConfig(model="m", base_url="http://127.0.0.1:1/v1")).of_status(status, {}, b"", b"")
    assert error.stops_member


def test_what_one_row_causes_does_not_stop_the_member():
    error = Failures(OpenAIConfig(model="m", base_url="http://127.0.0.1:1/v1")).of_status(400, {}, b"", b"")
    assert not error.stops_member


# --- schemas: heeded or ignored


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
ASKED = Prompt(Prompt.chat("Hi").messages, schema=SCHEMA)


@pytest.mark.parametrize(
    ("text", "ignored"),
    [('{"a": "b"}', False), ("Sure, a is b.", True), ('{"b": 1}', True), ('```json\n{"a": 1}\n```', True)],
)
def test_an_answer_tells_whether_a_schema_was_heeded(text, ignored, ask, caplog):
    with ScriptedServer([Reply(body=make_chat_body(text))]) as server:
        answer = ask(server.url, ASKED)
    assert server.requests[0].body["response_format"]["type"] == "json_schema"
    assert answer.text == text
    assert (answer.extra.get("schema") == "ignored") == ignored
    assert ("does not look as if the server had heeded it" in caplog.text) == ignored
    assert ("set json_schema: false in the backend" in caplog.text) == ignored


def test_an_answer_that_was_cut_off_tells_nothing(ask):
    with ScriptedServer([Reply(body=make_chat_body('{"a": ', finish_reason="length"))]) as server:
        assert "schema" not in ask(server.url, ASKED).extra


def test_a_server_that_refuses_a_schema_stops_the_member_and_says_what_to_do(ask):
    told = {"error": {"message": "no", "type": "invalid_request_error", "param": "response_format"}}
    with ScriptedServer([Reply(400, told)]) as server:
        error = fail(ask, server.url, prompt=ASKED)
    assert error.stops_member
    assert error.hint == (
        "response_format is sent with every row, and this server does not take it as it is; "
        "set json_schema: false in the backend to put the schema in the prompt"
    )


def test_without_a_constraint_it_says_that_it_has_none():
    assert OpenAI.capabilities(OpenAIConfig(model="m"), {}).schema
    assert not OpenAI.capabilities(OpenAIConfig(model="m", json_schema=False), {}).schema
    assert not OpenAI.capabilities(OpenAIConfig(model="m", api="completions"), {}).schema
