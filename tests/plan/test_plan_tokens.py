"""Tokens without a tokenizer: ranges that hold for many languages, and forecasts that learn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool_core.interfaces.values import Message, Prompt, Usage
from pool_core.plan.tokens import (
    DEFAULT_OUTPUT,
    Forecast,
    TokenRange,
    count_tokens,
    estimate_tokens,
    find_max_tokens,
)

#: Article 1 of the Universal Declaration of Human Rights, and its tokens as counted by the package bpe-openai 0.1.4.
DECLARATION = json.loads((Path(__file__).parent / "article_1.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("article", DECLARATION, ids=lambda article: article["language"])
def test_the_range_holds_what_tokenizers_count(article):
    low, high = count_tokens(Prompt(text=article["text"]))
    counted = article["tokens"].values()
    assert low <= min(counted) <= max(counted) <= high


def test_messages_and_a_schema_have_tokens_of_their_own():
    plain = count_tokens(Prompt(text="x" * 110))
    assert plain == TokenRange(20, 44)
    assert count_tokens(Prompt.chat("x" * 55, "x" * 55)) == TokenRange(26, 60)
    low, high = count_tokens(Prompt(text="x" * 110, schema={"type": "object"}))
    assert low == plain.low
    assert high > plain.high


def test_parts_that_are_no_text_are_not_known():
    text = {"type": "text", "text": "x" * 55}
    image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    assert count_tokens(Prompt((Message("user", [text]),))) == TokenRange(13, 30)
    assert count_tokens(Prompt((Message("user", [text, image]),))) == TokenRange(13, None)


@given(st.text(), st.text())
def test_more_text_has_more_tokens(first, second):
    one, both = count_tokens(Prompt(text=first)), count_tokens(Prompt(text=first + second))
    assert one.low <= one.high
    assert one.low <= both.low
    assert one.high <= both.high


@given(st.text(st.characters(codec="utf-8")))
def test_no_range_is_beyond_what_byte_tokenizers_can_make(text):
    assert count_tokens(Prompt(text=text)).high <= len(text.encode())


@pytest.mark.parametrize(
    ("sampling", "most"),
    [
        ({}, None),
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7}, 7),
        ({"max_tokens": "many"}, None),
    ],
)
def test_where_the_longest_answer_is_written(sampling, most):
    assert find_max_tokens(sampling) == most


def test_a_call_before_anything_is_known():
    assert estimate_tokens(b"x" * 400, 50) == 151
    assert estimate_tokens(b"", None) == 1 + DEFAULT_OUTPUT
    assert Forecast(50).guess(b"x" * 400) == Usage(101, 50)


def test_a_forecast_learns_from_answers():
    forecast = Forecast(4096)
    for _ in range(7):
        forecast.learn(b"x" * 100, Usage(50, 20))
    assert forecast.guess(b"x" * 200) == Usage(51, 4096)
    forecast.learn(b"x" * 100, Usage(50, 20))
    assert forecast.guess(b"x" * 200) == Usage(100, 20)


def test_long_answers_count_for_more_since_they_are_in_flight_for_longer():
    forecast = Forecast(None)
    for _ in range(4):
        forecast.learn(b"x", Usage(1, 100))
        forecast.learn(b"x", Usage(1, 300))
    assert forecast.guess(b"x") == Usage(1, 250)


def test_a_forecast_of_empty_answers():
    forecast = Forecast(None)
    for _ in range(8):
        forecast.learn(b"x", Usage(1, 0))
    assert forecast.guess(b"x") == Usage(1, 0)


@pytest.mark.parametrize("usage", [Usage(), Usage(1, None), Usage(None, 1)])
def test_a_forecast_learns_nothing_from_usage_that_is_not_told(usage):
    forecast = Forecast(10)
    for _ in range(20):
        forecast.learn(b"xxxx", usage)
        forecast.learn(b"", Usage(1, 1))
    assert forecast.guess(b"xxxx") == Usage(2, 10)
