"""How long the API asks to wait, as its headers say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pool_anthropic.waits import read_exhaustion

NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


def limit(counted, remaining, reset):
    return {f"anthropic-ratelimit-{counted}-remaining": remaining, f"anthropic-ratelimit-{counted}-reset": reset}


@pytest.mark.parametrize(
    ("remaining", "reset", "seconds"),
    [
        ("0", "1994-11-06T08:49:43Z", 6.0),
        ("0", "1994-11-06T08:49:43.5+00:00", 6.5),
        ("0", "1994-11-06T09:49:38+01:00", 1.0),
        ("0", "1994-11-06T08:49:43", 6.0),
        ("0", "1994-11-06T08:49:00Z", None),
        ("0", "soon", None),
        ("0", "", None),
        ("1", "1994-11-06T08:49:43Z", None),
        ("", "1994-11-06T08:49:43Z", None),
    ],
)
@pytest.mark.parametrize("counted", ["requests", "tokens", "input-tokens", "output-tokens"])
def test_reads_when_a_limit_takes_requests_again(counted, remaining, reset, seconds):
    headers = limit(counted, remaining, reset)
    assert read_exhaustion(headers, lambda: NOW) == seconds
    assert read_exhaustion(headers | {"date": DATE}, lambda: 0.0) == seconds
    assert read_exhaustion(headers | {"date": "today"}, lambda: NOW) == seconds


def test_the_longest_wait_counts():
    headers = limit("requests", "0", "1994-11-06T08:49:38Z") | limit("tokens", "0", "1994-11-06T08:49:40Z")
    assert read_exhaustion(headers, lambda: NOW) == 3.0
    assert read_exhaustion({}, lambda: NOW) is None


@given(st.text(), st.text())
def test_a_wait_is_a_finite_number_or_none(reset, date):
    wait = read_exhaustion(limit("tokens", "0", reset) | {"date": date}, lambda: NOW)
    assert wait is None or 0 <= wait < float("inf")
