"""The backend over a stub of LiteLLM's interface: what it passes on, and what its exceptions become."""

from __future__ import annotations

import asyncio
import json
import pickle
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest
from pool_litellm.backend import LiteLLM
from pool_litellm.causes import CLASSES
from pool_litellm.config import LiteLLMConfig

from pool_core.errors import BackendError
from pool_core.interfaces.values import Capabilities, Cause, Prompt, Request, Usage

CANARY = "sk-CANARY-0123456789/abcdef"


class APIError(Exception):
    """As openai's: the base of most of LiteLLM's."""

    def __init__(self, message="It failed.", **parts):
        super().__init__(message)
        self.message = message
        self.__dict__.update(parts)


def make_class(name, base=APIError):
    return type(name, (base,), {})


class Reply:
    """As LiteLLM's ModelResponse."""

    def __init__(self, **values):
        self.values = values

    def model_dump(self, mode):
        assert mode == "json"
        return self.values


def make_reply(content="yes", *, finish_reason="stop", **message):
    choice = {
        "index": 0,
        "finish_reason": finish_reason,
        "message": {"role": "assistant", "content": content} | message,
    }
    usage = {"prompt_tokens": 3, "completion_tokens": 1}
    return Reply(id="r1", model="served", choices=[choice], usage=usage)


@pytest.fixture
def litellm(monkeypatch):
    """A stub in LiteLLM's place. Its ``says`` is what `acompletion` returns or raises; ``asked`` what it got."""
    stub = ModuleType("litellm")
    stub.asked, stub.says = [], make_reply()

    async def acompletion(**arguments):
        stub.asked.append(arguments)
        if isinstance(stub.says, BaseException):
            raise stub.says
        return stub.says

    stub.acompletion = acompletion
    monkeypatch.setitem(sys.modules, "litellm", stub)
    monkeypatch.delenv("LITELLM_LOCAL_MODEL_COST_MAP", raising=False)
    return stub


def ask(prompt=None, sampling=None, pause=None, **config):
    async def run():
        backend = LiteLLM(LiteLLMConfig(**{"model": "mistral/small", **config}))
        backend.pause = pause
        asked = prompt or Prompt.chat("Hi", system="S")
        try:
            await backend.open()
            body = backend.encode(asked, sampling or {})
            return await backend.generate(Request(0, asked, sampling or {}, 0, body, 7.0))
        finally:
            await backend.aclose()

    return asyncio.run(run())


def fail(**config):
    with pytest.raises(BackendError) as caught:
        ask(**config)
    return caught.value


def test_says_what_it_is_and_can():
    config = LiteLLMConfig(model="mistral/small", api_base="http://h/v1", api_version="2", api_key="env:MINE")
    backend = LiteLLM(config)
    assert (backend.model, backend.endpoint) == ("mistral/small", "litellm mistral/small at http://h/v1")
    assert backend.identity == "litellm mistral/small at http://h/v1 version 2"
    assert backend.quota == "http://h/v1 with env:MINE"
    plain = LiteLLMConfig(model="mistral/small")
    assert LiteLLM(plain).quota == "litellm mistral with the key that LiteLLM finds"
    assert LiteLLM.capabilities(plain, {}) == Capabilities("chat", seed=True, stop=True, schema=False)
    assert LiteLLM.capabilities(LiteLLMConfig(model="m", json_schema=True), {}).schema


def test_calls_once_with_retries_off(litellm, monkeypatch):
    monkeypatch.setenv("MINE", CANARY)
    answer = ask(
        sampling={"temperature": 0, "stop": [], "extra": {"top_k": 2}}, api_key="env:MINE", api_base="http://h"
    )
    assert (answer.text, answer.finish_reason, answer.model, answer.usage) == ("yes", "stop", "served", Usage(3, 1))
    assert answer.extra == {"id": "r1"}
    assert litellm.asked == [
        {
            "model": "mistral/small",
            "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}],
            "temperature": 0,
            "top_k": 2,
            "api_key": CANARY,
            "api_base": "http://h",
            "timeout": 7.0,
            "num_retries": 0,
            "max_retries": 0,
        }
    ]
    assert litellm.suppress_debug_info is True
    assert litellm.telemetry is False


def test_without_a_key_none_is_given(litellm):
    ask()
    assert not {"api_key", "api_base", "api_version"} & litellm.asked[0].keys()


def test_half_a_surrogate_pair_costs_no_answer(litellm):
    litellm.says = make_reply("a\ud800b\0c")
    assert ask().text == "a\ud800b\0c"


@pytest.mark.parametrize(
    ("headers", "pauses"),
    [
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, [360.0]),
        ({"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "6m0s"}, []),
        (None, []),
        (7, []),
    ],
)
def test_a_limit_that_is_used_up_is_waited_for(headers, pauses, litellm):
    litellm.says = make_reply()
    litellm.says._response_headers = headers
    seen = []
    ask(pause=seen.append)
    assert seen == pauses


def test_a_field_that_is_not_taken_stops_the_member(litellm):
    body = {"message": "no such effort", "param": "reasoning_effort"}
    litellm.says = make_class("BadRequestError")(status_code=400, body=body)
    assert fail(extra={"reasoning_effort": "most"}).stops_member
    assert not fail().stops_member  # it was not sent: the provider may mean another thing


def test_what_comes_beside_the_text_is_kept(litellm):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    litellm.says = make_reply(None, finish_reason="tool_calls", tool_calls=[call], reasoning_content="Hm.")
    answer = ask()
    assert (answer.text, answer.tool_calls, answer.reasoning) == (None, [call], "Hm.")
    litellm.says = make_reply(None, provider_specific_fields={"refusal": "No."})
    assert ask().refusal == "No."


@pytest.mark.parametrize(
    "reply", [Reply(), Reply(choices=[]), Reply(choices=[None]), Reply(choices=None), "text", None]
)
def test_a_reply_without_an_answer_is_an_error(reply, litellm):
    litellm.says = reply
    error = fail()
    assert (error.cause, error.maybe_billed) == (Cause.BAD_REPLY, True)
    assert error.message.startswith("the reply has no choices: ")


CAUSES = {
    Cause.AUTH: "AuthenticationError PermissionDeniedError",
    Cause.QUOTA_EXHAUSTED: "PaymentRequiredError BudgetExceededError",
    Cause.CONTEXT_LENGTH: "ContextWindowExceededError",
    Cause.CONTENT_FILTER: "ContentPolicyViolationError",
    Cause.BAD_REQUEST: (
        "NotFoundError LiteLLMUnknownProvider UnsupportedParamsError UnsupportedEndpointError "
        "EndpointNotSupportedByModelError UnprocessableEntityError BadRequestError"
    ),
    Cause.RATE_LIMIT: "RateLimitError",
    Cause.TIMEOUT: "Timeout APITimeoutError",
    Cause.OVERLOADED: "ServiceUnavailableError",
    Cause.SERVER: "BadGatewayError InternalServerError",
    Cause.BAD_REPLY: "APIResponseValidationError",
    Cause.TRANSPORT: "APIConnectionError",
}
EACH = [(name, cause) for cause, names in CAUSES.items() for name in names.split()]


@pytest.mark.parametrize(("name", "cause"), EACH)
def test_a_class_has_a_cause_and_so_has_what_derives_from_it(name, cause, litellm):
    kind = make_class(name)
    for raised in (kind, make_class("SomethingNew", kind)):
        litellm.says = raised("It failed.")
        error = fail()
        assert error.cause is cause
        assert error.stops_member == CLASSES[name].stops_member
        assert error.message == f"{raised.__name__}: It failed."
        assert error.where == "litellm mistral/small"
        assert error.__cause__ is None


def test_every_class_of_the_table_is_tested():
    assert {name for name, _ in EACH} == CLASSES.keys()


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (make_class("RateLimitError")(body={"message": "m", "code": "insufficient_quota"}), Cause.QUOTA_EXHAUSTED),
        (make_class("BadRequestError")(body={"message": "m", "code": "context_length_exceeded"}), Cause.CONTEXT_LENGTH),
        (make_class("BadRequestError")("prompt is too long: 9", status_code=400), Cause.CONTEXT_LENGTH),
        (APIError(status_code=529), Cause.OVERLOADED),
        (APIError(status_code=402), Cause.QUOTA_EXHAUSTED),
        (APIError(status_code=403), Cause.AUTH),
        (APIError(status_code=None), Cause.SERVER),
        (ValueError("odd"), Cause.PLUGIN),
    ],
)
def test_codes_and_statuses_tell_what_a_class_does_not(error, cause, litellm):
    litellm.says = error
    assert fail().cause is cause


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        (make_class("APIConnectionError")("Connection error."), Cause.TRANSPORT),
        (json.JSONDecodeError("x", "", 0), Cause.BAD_REPLY),
        (KeyError("x"), Cause.SERVER),
    ],
)
def test_what_an_internal_error_came_of_tells_what_it_is(reason, cause, litellm):
    litellm.says = make_class("InternalServerError")()
    litellm.says.__cause__ = reason
    error = fail()
    assert error.cause is cause
    assert error.maybe_billed is (cause is not Cause.SERVER)


@pytest.mark.parametrize(
    ("headers", "seconds"), [({"retry-after": "3"}, 3.0), ({"retry-after": "soon"}, None), (None, None), (7, None)]
)
def test_a_wait_is_passed_on(headers, seconds, litellm):
    litellm.says = make_class("RateLimitError")(response=SimpleNamespace(headers=headers))
    assert fail().retry_after == seconds


def test_no_error_shows_the_key_or_fools_a_terminal(litellm, monkeypatch):
    monkeypatch.setenv("MINE", CANARY)
    litellm.says = make_class("AuthenticationError")(f"wrong key {CANARY}\x1b[1m")
    error = fail(api_key="env:MINE")
    assert error.message == "AuthenticationError: wrong key ***\\x1b[1m"
    assert CANARY.encode() not in pickle.dumps(error)
    assert error.hint == "check the key, and that api_key points to it"


def test_a_schema_is_sent_where_the_recipe_says_so_and_looked_for_in_the_answer(litellm, caplog):
    schema = {"type": "object", "required": ["a"]}
    prompt = Prompt(Prompt.chat("Hi").messages, schema=schema)
    litellm.says = make_reply("No.")
    answer = ask(prompt, json_schema=True)
    form = {"type": "json_schema", "json_schema": {"name": "output", "schema": schema, "strict": False}}
    assert litellm.asked[0]["response_format"] == form
    assert answer.extra["schema"] == "ignored"
    told = "litellm mistral/small: a JSON Schema was sent, and the answer does not look as if it had been heeded"
    assert caplog.messages == [told]
    litellm.says = make_reply('{"a": 1}')
    assert "schema" not in ask(prompt, json_schema=True).extra
    ask(prompt)
    assert "response_format" not in litellm.asked[-1]


@pytest.mark.parametrize(
    ("prompt", "sampling", "extra", "message"),
    [
        (Prompt(text="Hi"), {}, {}, "the prompt is one text, and LiteLLM's chat takes messages"),
        (Prompt.chat("Hi"), {"n": 2}, {}, "sampling cannot set n: each request is for one whole answer"),
        (Prompt.chat("Hi"), {"top_k": 2}, {"top_k": 3}, "top_k is set twice, the second time by extra"),
        (
            Prompt.chat("Hi"),
            {"top_k": 2, "extra": {"top_k": 3}},
            {},
            "top_k is set twice, the second time by extra of sampling",
        ),
        (Prompt.chat("Hi"), {"num_retries": 3}, {}, "sampling cannot set num_retries: the backend does, or the pool"),
        (
            Prompt.chat("Hi"),
            {"extra": {"api_key": "sk-CANARY"}},
            {},
            "sampling cannot set api_key: the backend does, or the pool",
        ),
        (Prompt.chat("Hi"), {"temperature": float("nan")}, {}, "temperature is nan, which JSON has no word for"),
    ],
)
def test_what_cannot_be_sent_is_refused(prompt, sampling, extra, message):
    with pytest.raises(BackendError) as caught:
        LiteLLM(LiteLLMConfig(model="m", extra=extra)).encode(prompt, sampling)
    assert (caught.value.cause, caught.value.message) == (Cause.BAD_REQUEST, message)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"api_key": "sk-CANARY"}, "api_key must say where the key is, env:NAME or file:PATH"),
        ({"api_base": "ftp://h"}, "api_base is an address such as http://host:8000/v1"),
        ({"api_base": "http://u:CANARY@h/v1"}, "api_base is an address such as http://host:8000/v1"),
        ({"extra": {"num_retries": 3}}, "extra cannot set num_retries: the backend does, or the pool"),
        ({"extra": {"fallbacks": []}}, "extra cannot set fallbacks: the backend does, or the pool"),
        (
            {"extra": {"aws_secret_access_key": "CANARY"}},
            "the argument aws_secret_access_key of extra carries a secret",
        ),
        ({"extra": {"top_p": float("nan")}}, "extra must be plain JSON"),
        ({"model": ""}, "at least 1 character"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(given, message):
    with pytest.raises(ValueError, match=message) as caught:
        LiteLLMConfig(**{"model": "m", **given})
    assert "CANARY" not in str(caught.value)


def test_litellm_that_is_missing_stops_the_member(monkeypatch):
    monkeypatch.setitem(sys.modules, "litellm", None)
    error = fail()
    assert (error.stops_member, error.hint) == (True, "pip install pool-litellm")
    assert error.message.startswith("litellm cannot be imported: ")


def test_checking_a_recipe_does_not_import_it():
    program = (
        "import sys; from pool_litellm.backend import LiteLLM; from pool_core.interfaces.values import Prompt\n"
        "backend = LiteLLM(LiteLLM.Config(model='m')); backend.encode(Prompt.chat('Hi'), {})\n"
        "print([name for name in ('litellm', 'openai', 'asyncio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_before_it_is_open_it_says_so():
    backend = LiteLLM(LiteLLMConfig(model="m"))
    with pytest.raises(BackendError, match="the backend is not open"):
        asyncio.run(backend.generate(Request(0, Prompt.chat("Hi"), {}, 0, b"{}", 1.0)))
    assert pickle.loads(pickle.dumps(backend)).config == backend.config
