"""The configuration refuses what cannot work, says so clearly, and never repeats a value."""

from __future__ import annotations

import json
import pickle
import traceback
from pathlib import Path

import pytest
from pool_openai.config import OpenAIConfig
from pydantic import ValidationError

from pool_core.http.keys import KeyReference

CANARY = "sk-CANARY-0123456789/abcdef"


def refuse(context=None, **config):
    """Validate a configuration that is wrong, and return the message."""
    with pytest.raises(ValidationError) as caught:
        OpenAIConfig.model_validate({"model": "m"} | config, context=context)
    error = caught.value
    shown = [str(error), repr(error), str(error.errors()), error.json(), str(error.args)]
    shown += traceback.format_exception(error)
    chain = error
    while chain := chain.__context__ or chain.__cause__:
        shown += [repr(chain), str(chain.errors()) if isinstance(chain, ValidationError) else ""]
    assert not [text for text in shown if "CANARY" in text]
    return str(error)


def test_needs_a_model_alone():
    config = OpenAIConfig(model="m")
    assert (config.base_url, config.api, config.key_header) == ("https://api.openai.com/v1", "chat", "authorization")
    assert config.url == "https://api.openai.com/v1/chat/completions"
    assert OpenAIConfig(model="m", api="completions").url == "https://api.openai.com/v1/completions"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("http://host:8000/v1/", "http://host:8000/v1"),
        ("https://Host/v1//", "https://host/v1"),
        ("http://host", "http://host"),
        ("http://[::1]:80/v1", "http://[::1]:80/v1"),
    ],
)
def test_base_url_is_kept_without_a_slash_at_its_end(given, kept):
    assert OpenAIConfig(model="m", base_url=given).base_url == kept


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://CANARY/v1", "must start with http:// or https:// and a host"),
        ("CANARY:8000/v1", "must start with http:// or https:// and a host"),
        ("http:///CANARY", "must start with http:// or https:// and a host"),
        ("http://u:CANARY@host/v1", "holds a user name or password; use api_key: env:NAME or file:PATH"),
        ("http://CANARY@host/v1", "holds a user name or password"),
        ("http://host/v1?key=CANARY", "ends before ? and #; remove the query or fragment"),
        ("http://host/v1#CANARY", "ends before ? and #"),
        ("http://host/v1?", "ends before ? and #"),
        ("http://host/CANARY v1", "has a space, a backslash, or a character outside ASCII"),
        ("http://host\\CANARY", "has a space, a backslash, or a character outside ASCII"),
        ("http://hóst/CANARY", "has a space, a backslash, or a character outside ASCII"),
        ("http://host:99999/CANARY", "is not a valid address; write it like http://host:8000/v1"),
        ("http://[host/CANARY", "is not a valid address"),
        ("http://host/v1/chat/completions", "ends before /chat/completions or /completions; `api` adds that part"),
        ("http://host/v1/completions/", "ends before /chat/completions or /completions"),
    ],
)
def test_base_url_is_refused(url, message):
    assert message in refuse(base_url=url)


@pytest.mark.parametrize(
    ("config", "reference"),
    [
        ({}, "env:OPENAI_API_KEY"),
        ({"api_key": None}, "env:OPENAI_API_KEY"),
        ({"base_url": "https://eu.api.openai.com/v1"}, "env:OPENAI_API_KEY"),
        ({"api_key": "env:MINE"}, "env:MINE"),
        ({"base_url": "http://api.openai.com/v1"}, "None"),
        ({"base_url": "https://fakeapi.openai.com/v1"}, "None"),
        ({"base_url": "https://api.openai.com.evil.example/v1"}, "None"),
        ({"base_url": "http://127.0.0.1:8000/v1"}, "None"),
        ({"base_url": "http://127.0.0.1:8000/v1", "api_key": "env:MINE"}, "env:MINE"),
    ],
)
def test_the_usual_key_is_for_the_usual_server_only(config, reference):
    assert str(OpenAIConfig(model="m", **config).key_reference) == reference


def test_a_key_file_is_found_from_the_recipe():
    config = OpenAIConfig.model_validate(
        {"model": "m", "api_key": "file:key.txt"}, context={"folder": Path("/recipes")}
    )
    assert config.key_reference == KeyReference("file", "/recipes/key.txt")
    config = OpenAIConfig.model_validate({"model": "m", "api_key": "file:/k"}, context={"folder": Path("/recipes")})
    assert config.api_key == "file:/k"
    assert OpenAIConfig(model="m", api_key="file:key.txt").api_key == "file:key.txt"


@pytest.mark.parametrize(
    "value", [CANARY, f"env:{CANARY}", f"ENV:{CANARY}", "file:", "env:", "", f"file:{CANARY}\n", f"bearer {CANARY}"]
)
def test_what_is_no_reference_is_refused_and_not_repeated(value):
    message = refuse(api_key=value)
    assert "must say where the key is, env:NAME or file:PATH, and never be the key itself" in message


@pytest.mark.parametrize(
    "config",
    [
        {"api_key": ["CANARY"]},
        {"apikey": "CANARY"},
        {"headers": {"X-A": ["CANARY"]}},
        {"headers": "CANARY"},
        {"model": {"CANARY": 1}},
        {"api": "CANARY", "connect_timeout": "CANARY"},
        {"model": None, "api_key": CANARY},
    ],
)
def test_no_validation_error_repeats_a_value(config):
    refuse(**config)


def test_a_missing_model_does_not_show_the_rest():
    with pytest.raises(ValidationError, match="Field required") as caught:
        OpenAIConfig.model_validate({"api_key": "env:A", "organization": "CANARY"})
    assert "CANARY" not in str(caught.value.errors()) + repr(caught.value)
    assert caught.value.errors()[0]["loc"] == ("model",)


@pytest.mark.parametrize(
    "name", ["Authorization", "api-key", "X-API-Key", "Cookie", "Proxy-Authorization", "x-goog-api-key", "X-Auth-Token"]
)
def test_headers_with_secrets_are_refused(name):
    assert f"the header {name} carries a secret; use api_key and key_header" in refuse(headers={name: "CANARY"})


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"Host": "CANARY"}, "the header Host is the backend's own; remove it"),
        ({"content-length": "1"}, "the header content-length is the backend's own; remove it"),
        ({"OpenAI-Organization": "CANARY"}, "is the backend's own"),
        ({"X A": "CANARY"}, "has a name that no header can have"),
        ({"X-A\r\nX-B": "CANARY"}, "has a name that no header can have"),
        ({"X-A": "CANARY\r\nX-B: 1"}, "the header X-A has a line break or a character outside ASCII in its value"),
    ],
)
def test_headers_that_break_requests_are_refused(headers, message):
    assert message in refuse(headers=headers)


def test_organization_is_one_line():
    assert "organization has a line break or a character outside ASCII" in refuse(organization="CANARY\n")


@pytest.mark.parametrize("name", ["model", "messages", "prompt", "stream", "n"])
def test_extra_leaves_the_backends_fields_alone(name):
    assert f"extra cannot set {name}: the backend does" in refuse(extra={name: 1})


@pytest.mark.parametrize(
    "name", ["api_key", "API_KEY", "api-key", "apikey", "Authorization", "access_token", "auth_token", "client_secret"]
)
def test_extra_fields_with_secrets_are_refused(name):
    assert f"the field {name} of extra carries a secret; use api_key" in refuse(extra={name: "CANARY"})


def test_extra_fields_about_tokens_are_no_secrets():
    extra = {"max_completion_tokens": 9, "skip_special_tokens": True, "stop_token_ids": [1]}
    assert OpenAIConfig(model="m", extra=extra).extra == extra


@pytest.mark.parametrize("value", [float("nan"), {"a": [float("inf")]}, object(), "\ud800", {1, 2}])
def test_extra_is_plain_json(value):
    assert "extra must be plain JSON" in refuse(extra={"a": value})


@pytest.mark.parametrize("config", [{"connect_timeout": 0}, {"connect_timeout": float("inf")}, {"max_answer_bytes": 0}])
def test_limits_are_positive_and_finite(config):
    refuse(**config)


def test_ca_file_is_found_from_the_recipe():
    config = OpenAIConfig.model_validate({"model": "m", "ca_file": "ca.pem"}, context={"folder": Path("/recipes")})
    assert config.ca_file == Path("/recipes/ca.pem")


def test_a_configuration_survives_a_dump_and_a_pickle():
    config = OpenAIConfig(
        model="m", base_url="http://h/v1", api_key="file:/k", extra={"top_k": 3}, headers={"X-A": "b"}
    )
    assert OpenAIConfig.model_validate(json.loads(config.model_dump_json())) == config
    assert pickle.loads(pickle.dumps(config)) == config


def test_every_field_is_described():
    assert not [name for name, field in OpenAIConfig.model_fields.items() if not field.description]
