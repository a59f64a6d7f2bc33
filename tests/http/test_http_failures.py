"""Statuses, codes, waits and exceptions become the right causes, and messages that help."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool_core.http.causes import (
    CODES,
    FIELD_PHRASES,
    PHRASES,
    STATUSES,
    Complaint,
    Verdict,
    classify,
    read_complaint,
)
from pool_core.http.config import HttpConfig
from pool_core.http.failures import Failures
from pool_core.http.keys import Key
from pool_core.http.waits import read_exhaustion, read_retry_after
from pool_core.interfaces.values import Cause

exceptions = pytest.importorskip("pyreqwest.exceptions", reason="the client is what the plugins depend on")


class ServerConfig(HttpConfig):
    """A server as a plugin would describe it."""

    @property
    def url(self):
        return f"{self.base_url}/ask"


CANARY = "sk-CANARY-0123456789/abcdef"
CONFIG = ServerConfig(model="m", base_url="http://host:8000/v1", api_key="env:MINE")
FAILURES = Failures(CONFIG, Key(CANARY))
NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT

#: What each status means; STATUSES has those that do not mean what their class does.
STATUS_CAUSES = {
    101: Cause.BAD_REQUEST,
    300: Cause.BAD_REQUEST,
    307: Cause.BAD_REQUEST,
    400: Cause.BAD_REQUEST,
    401: Cause.AUTH,
    402: Cause.QUOTA_EXHAUSTED,
    403: Cause.AUTH,
    404: Cause.BAD_REQUEST,
    405: Cause.BAD_REQUEST,
    407: Cause.AUTH,
    408: Cause.TIMEOUT,
    409: Cause.SERVER,
    410: Cause.BAD_REQUEST,
    413: Cause.CONTEXT_LENGTH,
    418: Cause.BAD_REQUEST,
    422: Cause.BAD_REQUEST,
    425: Cause.SERVER,
    429: Cause.RATE_LIMIT,
    500: Cause.SERVER,
    501: Cause.SERVER,
    502: Cause.SERVER,
    503: Cause.OVERLOADED,
    504: Cause.SERVER,
    524: Cause.SERVER,
    529: Cause.OVERLOADED,
}
STOPPING_STATUSES = {101, 300, 307, 404, 405, 410}
#: What each code or type means. Those that no further call would change stop the member.
CODE_CAUSES = {
    Cause.AUTH: (
        "account_deactivated authentication_error invalid_api_key invalid_authentication invalid_organization "
        "permission_denied permission_error unsupported_country_region_territory"
    ),
    Cause.QUOTA_EXHAUSTED: (
        "billing_error billing_hard_limit_reached billing_not_active insufficient_balance insufficient_quota"
    ),
    Cause.CONTEXT_LENGTH: (
        "context_length_exceeded exceed_context_size_error request_too_large string_above_max_length"
    ),
    Cause.CONTENT_FILTER: "content_filter content_policy_violation moderation_blocked",
    Cause.RATE_LIMIT: "rate_limit_error rate_limit_exceeded",
    Cause.OVERLOADED: "engine_overloaded overloaded_error server_overloaded slow_down",
    Cause.BAD_REQUEST: "deploymentnotfound model_decommissioned model_not_found",
    Cause.TIMEOUT: "timeout_error",
    Cause.SERVER: "api_error server_error",
}
EACH_CODE = [(code, cause) for cause, codes in CODE_CAUSES.items() for code in codes.split()]


@pytest.mark.parametrize(("status", "cause"), STATUS_CAUSES.items())
def test_a_status_has_a_cause(status, cause):
    assert classify(status) == Verdict(cause, status in STOPPING_STATUSES)


@pytest.mark.parametrize("status", [200, 400, 403, 429, 500])
@pytest.mark.parametrize(("code", "cause"), EACH_CODE)
def test_a_code_or_type_knows_better_than_the_status(status, code, cause):
    verdict = Verdict(cause, stops_member=cause is Cause.BAD_REQUEST)
    assert classify(status, Complaint(code=code)) == verdict
    assert classify(status, Complaint(code="x", type=code.upper())) == verdict


def test_every_row_of_the_tables_is_tested():
    assert STATUSES.keys() <= STATUS_CAUSES.keys()
    assert CODES.keys() == {code for code, _ in EACH_CODE}
    assert len(PHRASES) == 7
    assert len(FIELD_PHRASES) == 2


@pytest.mark.parametrize(
    ("status", "complaint", "cause"),
    [
        (429, Complaint(code="insufficient_quota"), Cause.QUOTA_EXHAUSTED),
        (401, Complaint(type="invalid_request_error"), Cause.AUTH),
        (200, Complaint(type="invalid_request_error"), Cause.BAD_REQUEST),
        (200, Complaint(type="not_found_error"), Cause.BAD_REQUEST),
        (200, Complaint(), Cause.SERVER),
        (200, Complaint(status=429), Cause.RATE_LIMIT),
        (413, Complaint(code="rate_limit_exceeded"), Cause.CONTEXT_LENGTH),
        (400, Complaint("This model's Maximum context length is 4096"), Cause.CONTEXT_LENGTH),
        (
            422,
            Complaint("Input validation error: `inputs` must have less than 9 tokens. Given: 12"),
            Cause.CONTEXT_LENGTH,
        ),
        (422, Complaint("`inputs` tokens + `max_new_tokens` must be <= 9. Given: 8 `inputs`"), Cause.CONTEXT_LENGTH),
        (400, Complaint("Your credit balance is too low"), Cause.QUOTA_EXHAUSTED),
        (400, Complaint("prompt is too long: 9 tokens > 8 maximum"), Cause.CONTEXT_LENGTH),
        (400, Complaint("input length and `max_tokens` exceed context limit: 9 + 1 > 8"), Cause.CONTEXT_LENGTH),
        (500, Complaint("maximum context length"), Cause.SERVER),
        (400, Complaint("Server is pinned to 'a'; requested 'b'."), Cause.BAD_REQUEST),
        (400, Complaint(code="content_filter", type="invalid_request_error"), Cause.CONTENT_FILTER),
        (404, Complaint(code="model_not_found"), Cause.BAD_REQUEST),
    ],
)
def test_status_code_and_phrase_together(status, complaint, cause):
    assert classify(status, complaint).cause is cause


SENT = ("model", "messages", "response_format", "seed", "temperature")


@pytest.mark.parametrize(
    ("status", "option", "stops"),
    [
        (400, "temperature", True),
        (422, "response_format", True),
        (422, "model", True),
        (400, "messages", False),
        (422, "seed", False),
        (422, "prompt", False),
        (422, "input_ids", False),
        (422, "", False),
        (409, "temperature", False),
    ],
)
def test_an_option_that_every_row_sends_stops_the_member(status, option, stops):
    verdict = classify(status, Complaint("no", option=option), SENT)
    assert (verdict.stops_member, verdict.option) == (stops, option if stops else "")


def invalid(field):
    """What llama-cpp-python says of a field, with the status 500."""
    told = f"{{'type': 'literal_error', 'loc': ('body', '{field}', 'type'), 'msg': \"Input should be 'text'\"}}"
    return {"error": {"message": f"1 validation error:\n  {told}", "type": "internal_server_error", "param": None}}


def unexpected(*fields):
    """What `transformers serve` says of fields, with the status 422."""
    return {"detail": f"Unexpected fields in the request: {{{', '.join(map(repr, fields))}}}"}


@pytest.mark.parametrize(
    ("status", "reply", "verdict"),
    [
        (500, invalid("response_format"), Verdict(Cause.BAD_REQUEST, stops_member=True, option="response_format")),
        (500, invalid("messages"), Verdict(Cause.BAD_REQUEST)),
        (500, {"error": {"message": "It failed.", "param": "temperature"}}, Verdict(Cause.SERVER)),
        (422, unexpected("temperature"), Verdict(Cause.BAD_REQUEST, stops_member=True, option="temperature")),
        (422, unexpected("temperature", "top_k"), Verdict(Cause.BAD_REQUEST, stops_member=True, option="temperature")),
        (422, unexpected("not_sent"), Verdict(Cause.BAD_REQUEST)),
        (400, {"detail": "Server is pinned to 'a'; requested 'b'."}, Verdict(Cause.BAD_REQUEST, stops_member=True)),
    ],
)
def test_a_request_that_no_row_could_mend_stops_the_member_however_it_is_said(status, reply, verdict):
    assert classify(status, read_complaint(reply), SENT) == verdict


def test_a_long_row_does_not_stop_the_member_whatever_option_is_named():
    complaint = Complaint("maximum context length is 9", option="temperature")
    assert classify(400, complaint, SENT) == Verdict(Cause.CONTEXT_LENGTH)


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        ({"error": {"message": "m", "type": "t", "code": "c"}}, Complaint("m", "c", "t")),
        ({"error": {"message": "m", "code": 429}}, Complaint("m", status=429)),
        ({"error": {"message": "m", "code": 7, "type": 8}}, Complaint("m")),
        ({"error": "m", "error_type": "x"}, Complaint("m")),
        (
            {"object": "error", "message": "m", "type": "BadRequestError", "code": 400},
            Complaint("m", type="BadRequestError"),
        ),
        ({"error": {"message": "m", "param": "response_format.type"}}, Complaint("m", option="response_format")),
        ({"error": {"message": "m", "param": "messages[0].content"}}, Complaint("m", option="messages")),
        ({"error": {"message": "m", "param": 5}}, Complaint("m")),
        ({"message": "m", "param": "top_p"}, Complaint("m", option="top_p")),
        ({"detail": "m"}, Complaint("m")),
        ({"detail": [{"loc": ["body"], "msg": "m"}]}, Complaint("m")),
        ({"detail": [{"loc": ["body", "top_p"], "msg": "m"}]}, Complaint("m", option="top_p")),
        ({"detail": [{"loc": ["body", 3], "msg": "m"}]}, Complaint("m")),
        ({"errors": ["m", "n"]}, Complaint("m")),
        ({"error": {"a": 1}}, Complaint()),
        ({"error": {"message": [1], "code": "c"}}, Complaint(code="c")),
        ({"error": [[1]]}, None),
        ({}, None),
        ([1], None),
        ("m", None),
    ],
)
def test_reads_the_complaints_of_many_servers(reply, complaint):
    assert read_complaint(reply) == complaint


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "86400"}, 86400.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "20", "retry-after": "1"}, 0.02),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "+1"}, None),
        ({"retry-after": "1\x1f"}, 1.0),
        ({"retry-after": "NaN"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e400"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "1_0"}, None),
        ({"retry-after": "\u0661"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "1, 2"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Sun, 06 Nov 1994 08:50:07 GMT"}, 30.0),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37 -0000"}, 0.0),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:07 GMT"}, None),
        ({"retry-after": "Sun, 06 Nov 1994 08:50:07 GMT", "date": "Sun, 06 Nov 1994 08:50:00 GMT"}, 7.0),
        ({"retry-after": "Sun, 06 Nov 1994 08:50:07 GMT", "date": "today"}, 30.0),
        ({"retry-after": "Sun, 99 Nov 1994 08:50:07 GMT"}, None),
    ],
)
def test_reads_how_long_to_wait(headers, seconds):
    assert read_retry_after(headers, lambda: NOW) == seconds


@pytest.mark.parametrize(
    ("remaining", "reset", "seconds"),
    [
        ("0", "6m0s", 360.0),
        ("0", "1s", 1.0),
        ("0", "20ms", 0.02),
        ("0", " 1h2m3.5s ", 3723.5),
        ("0", "0s", 0.0),
        ("0.0", "1m26.4s", 86.4),
        ("1", "6m0s", None),
        ("-1", "6m0s", None),
        ("", "6m0s", None),
        ("0", "", None),
        ("0", "60", None),
        ("0", "1792000000", None),
        ("0", "1d", None),
        ("0", "-1s", None),
        ("0", "1s soon", None),
        ("0", "6m 0s", None),
        ("0", "9" * 400 + "s", None),
    ],
)
@pytest.mark.parametrize("counted", ["requests", "tokens"])
def test_reads_when_a_limit_that_is_used_up_takes_requests_again(remaining, reset, seconds, counted):
    headers = {f"x-ratelimit-remaining-{counted}": remaining, f"x-ratelimit-reset-{counted}": reset}
    assert read_exhaustion(headers) == pytest.approx(seconds)


def test_the_longest_of_two_limits_counts():
    headers = {f"x-ratelimit-remaining-{counted}": "0" for counted in ("requests", "tokens")}
    assert read_exhaustion(headers) is None
    assert read_exhaustion(headers | {"x-ratelimit-reset-tokens": "2s"}) == 2.0
    both = {"x-ratelimit-reset-requests": "3s", "x-ratelimit-reset-tokens": "2s"}
    assert read_exhaustion(headers | both) == 3.0
    assert read_exhaustion(headers | both | {"x-ratelimit-remaining-requests": "1"}) == 2.0


@given(st.text(), st.text())
def test_an_exhaustion_is_a_finite_number_or_none(remaining, reset):
    wait = read_exhaustion({"x-ratelimit-remaining-tokens": remaining, "x-ratelimit-reset-tokens": reset})
    assert wait is None or 0 <= wait < float("inf")


@given(st.text(), st.text(), st.text())
def test_a_wait_is_a_finite_number_or_none(seconds, milliseconds, date):
    wait = read_retry_after({"retry-after": seconds, "retry-after-ms": milliseconds, "date": date})
    assert wait is None or 0 <= wait < float("inf")


def test_without_a_date_the_wall_clock_counts():
    assert read_retry_after({"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"}) > 1e9


def test_a_message_names_the_request_for_the_provider_to_find_it():
    assert write(500, **{"x-request-id": "r\n1"}).message == "500 Internal Server Error [request r\\n1]"
    assert write(500, **{"request-id": "req_1"}).message == "500 Internal Server Error [request req_1]"


SENT_BODY = b'{"model":"m","messages":[],"response_format":{}}'


def write(status, body=b"", failures=FAILURES, **headers):
    error = failures.of_status(status, headers, body, SENT_BODY)
    assert error.where == f"POST {CONFIG.url}"
    return error


def test_a_rate_limit_that_names_no_wait_has_that_of_the_limit_that_is_used_up():
    used_up = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "20ms"}
    assert write(429, **used_up).retry_after == 0.02
    assert write(429, **used_up, **{"retry-after": "3"}).retry_after == 3.0
    assert write(500, **used_up).retry_after is None


def test_a_message_has_status_words_and_code():
    error = write(429, b'{"error":{"message":"Wait.","code":"rate_limit_exceeded"}}', **{"retry-after": "3"})
    assert error.message == "429 Too Many Requests: Wait. (rate_limit_exceeded)"
    assert (error.cause, error.retry_after, error.hint) == (Cause.RATE_LIMIT, 3.0, "")
    assert str(error) == f"POST {CONFIG.url}: {error.message}"


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (500, b"", "500 Internal Server Error"),
        (599, b"", "599"),
        (502, b"<html>\n<b>Bad</b>", "502 Bad Gateway: <html>\\n<b>Bad</b>"),
        (500, b"[" * 100_000, "500 Internal Server Error: " + "[" * 200),
        (500, b"\xff\x00", "500 Internal Server Error: \\xff\\x00"),
        (500, b'{"error":{"message":"a\\u001b[1mb\\nc"}}', "500 Internal Server Error: a\\x1b[1mb\\nc"),
        (500, b'{"error":{"message":"' + b"x" * 999 + b'"}}', "500 Internal Server Error: " + "x" * 300),
        (500, b'{"error":{"message":"m","code":"' + b"c" * 999 + b'"}}', f"500 Internal Server Error: m ({'c' * 64})"),
    ],
)
def test_a_message_is_short_and_printable(status, body, message):
    assert write(status, body).message == message


@pytest.mark.parametrize(
    ("status", "body", "hint"),
    [
        (401, b"", "check the key in env:MINE"),
        (402, b"", "add credit at the provider, then run again"),
        (413, b"", "shorten the prompt or lower max_tokens"),
        (404, b'{"error":{"code":"model_not_found","message":"no m"}}', "check base_url and model"),
        (400, b'{"error":{"code":"model_not_found","message":"no m"}}', "check base_url and model"),
        (400, b'{"error":{"message":"no"}}', ""),
        (
            422,
            b'{"error":{"message":"no","param":"response_format.type"}}',
            "response_format is sent with every row, and this server does not take it as it is",
        ),
        (500, b"", ""),
    ],
)
def test_a_hint_says_what_to_do(status, body, hint):
    assert write(status, body).hint == hint


def test_without_a_key_the_hint_says_how_to_give_one():
    failures = Failures(ServerConfig(model="m", base_url=CONFIG.base_url))
    assert write(401, failures=failures).hint == "no key was sent; set api_key to env:NAME or file:PATH"


@pytest.mark.parametrize(
    ("location", "goal"),
    [
        ("https://other.example:81/x?key=1", "redirect to https://other.example:81"),
        ("https://u:p@other.example/x", "redirect to https://other.example"),
        ("/v2", "redirect to http://host:8000"),
        ("//other.example", "redirect to http://other.example"),
        (None, "redirect without a valid address"),
        ("http://[bad", "redirect without a valid address"),
        ("http://a:99999/", "redirect without a valid address"),
    ],
)
def test_a_redirect_names_its_goal_only(location, goal):
    error = write(307, **({"location": location} if location else {}))
    assert (error.cause, error.message) == (Cause.BAD_REQUEST, f"307: {goal}")
    assert error.hint == "redirects are never followed; set base_url to the address of the server itself"


@pytest.mark.parametrize("padding", [0, 290, 295])
def test_a_key_in_a_message_is_masked_before_it_is_cut(padding):
    body = b'{"error":{"message":"' + b"x" * padding + CANARY.encode() + b' is wrong"}}'
    message = write(401, body).message
    assert "sk-" not in message
    assert message.startswith("401 Unauthorized: " + "x" * padding + "***")


def test_a_key_in_a_body_or_code_is_masked():
    assert write(500, f"<p>{CANARY}".encode()).message == "500 Internal Server Error: <p>***"
    body = b'{"error":{"message":"m","code":"' + CANARY.encode() + b'"}}'
    assert write(500, body).message == "500 Internal Server Error: m (***)"
    assert FAILURES.of_unreadable_body(f"<p>{CANARY}".encode()).message == "not JSON: <p>***"
    assert FAILURES.of_missing_answer("choices", CANARY.encode()).message == "the reply has no choices: ***"


def translate(kind, *steps):
    return FAILURES.of_exception(kind("outermost", {"causes": [{"message": step} for step in steps]}), 30.0)


CONNECT = "client error (Connect)"
READ = "error reading a body from connection"


@pytest.mark.parametrize(
    ("kind", "steps", "cause", "message", "hint"),
    [
        (
            exceptions.ConnectTimeoutError,
            [CONNECT, "deadline has elapsed"],
            Cause.TIMEOUT,
            "cannot reach host:8000: no connection within 5 s",
            "check base_url and that the server runs",
        ),
        (
            exceptions.ConnectTimeoutError,
            ["error sending request", "operation timed out"],
            Cause.TIMEOUT,
            "no whole answer from host:8000 within 30 s",
            "raise the timeout or lower max_tokens",
        ),
        (
            exceptions.ReadTimeoutError,
            ["operation timed out"],
            Cause.TIMEOUT,
            "no whole answer from host:8000 within 30 s",
            "raise the timeout or lower max_tokens",
        ),
        (
            exceptions.ConnectError,
            [CONNECT, "tcp connect error", "Connection refused (os error 111)"],
            Cause.TRANSPORT,
            "cannot reach host:8000: connection refused",
            "check base_url and that the server runs",
        ),
        (
            exceptions.ConnectError,
            [CONNECT, "dns error", "failed to lookup address information: Name or service not known"],
            Cause.TRANSPORT,
            "cannot reach host:8000: failed to lookup address information: Name or service not known",
            "check base_url and that the server runs",
        ),
        (
            exceptions.ConnectError,
            [CONNECT, "invalid peer certificate: UnknownIssuer"],
            Cause.BAD_REQUEST,
            "host:8000 cannot be trusted: invalid peer certificate: UnknownIssuer",
            "set ca_file to the certificate of the authority that signed the server's",
        ),
        (
            exceptions.ConnectError,
            [CONNECT, "received corrupt message of type InvalidContentType"],
            Cause.TRANSPORT,
            "cannot reach host:8000: received corrupt message of type InvalidContentType",
            "the server may speak http, not https",
        ),
        (
            exceptions.ReadError,
            [READ, "Connection reset by peer (os error 104)"],
            Cause.TRANSPORT,
            "the connection to host:8000 broke within its reply: connection reset by peer",
            "",
        ),
        (exceptions.ReadError, ["Broken pipe"], Cause.TRANSPORT, "the connection to host:8000 broke: broken pipe", ""),
        (
            exceptions.BodyDecodeError,
            [READ, "end of file"],
            Cause.TRANSPORT,
            "the connection to host:8000 broke within its reply: end of file",
            "",
        ),
        (
            exceptions.BodyDecodeError,
            ["Invalid gzip header"],
            Cause.BAD_REPLY,
            "host:8000 sent what is no valid HTTP reply: invalid gzip header",
            "check base_url and that the server runs",
        ),
        (exceptions.ClientClosedError, [], Cause.TRANSPORT, "the connection to host:8000 broke: outermost", ""),
        (exceptions.RequestPanicError, ["panic"], Cause.TRANSPORT, "the connection to host:8000 broke: panic", ""),
    ],
)
def test_an_exception_has_a_cause_and_names_the_server(kind, steps, cause, message, hint):
    error = translate(kind, *steps)
    assert (error.cause, error.message, error.hint, error.where) == (cause, message, hint, f"POST {CONFIG.url}")


@pytest.mark.parametrize(
    ("url", "server"),
    [("http://h/v1", "h:80"), ("https://h/v1", "h:443"), ("http://[::1]:9/v1", "[::1]:9")],
)
def test_the_server_is_named_with_its_port(url, server):
    failures = Failures(ServerConfig(model="m", base_url=url))
    assert failures.of_exception(exceptions.ReadError("gone", {"causes": None}), 1).message.startswith(
        f"the connection to {server} "
    )
