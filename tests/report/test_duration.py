"""How long a run takes at its limits: the tightest one of the slowest quota."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool_core.recipe.models import Limits
from pool_core.report.duration import Load, Span, estimate_seconds


def load(requests=600, *, quota="q", tokens=(60_000, 120_000), latency=None, **limits):
    return Load(quota, Limits(**limits), requests, Span(*tokens), latency)


@pytest.mark.parametrize(
    ("loads", "span"),
    [
        ([], Span(0.0, 0.0)),
        ([load(0, rpm=1)], Span(0.0, 0.0)),
        ([load()], Span(None, None)),
        ([load(rpm=60)], Span(600.0, None)),
        ([load(tpm=6000)], Span(600.0, None)),
        ([load(latency=2.0, concurrency=10)], Span(120.0, 120.0)),
        ([load(latency=2.0)], Span(1200 / 256, None)),
        ([load(latency=2.0, max_concurrency=12)], Span(100.0, None)),
        ([load(latency=2.0, concurrency=10, rpm=60)], Span(600.0, 600.0)),
        ([load(latency=2.0, concurrency=10, tpm=6000)], Span(600.0, 1200.0)),
        ([load(latency=2.0, concurrency=10, tpm=6000, tokens=(60_000, None))], Span(600.0, None)),
        ([load(latency=2.0, concurrency=1, rpm=6000)], Span(1200.0, 1200.0)),
    ],
)
def test_the_tightest_limit_holds(loads, span):
    assert estimate_seconds(loads) == span


def test_quotas_work_side_by_side():
    fast, slow = load(latency=1.0, concurrency=10), load(quota="other", latency=1.0, concurrency=1)
    assert estimate_seconds([fast, slow]) == Span(600.0, 600.0)
    assert estimate_seconds([fast, load(quota="other")]) == Span(60.0, None)


def test_members_of_a_quota_share_its_smallest_limit():
    both = [load(latency=1.0, concurrency=10, rpm=600), load(latency=3.0, concurrency=20)]
    assert estimate_seconds(both) == Span(240.0, 240.0)
    assert estimate_seconds([load(rpm=600), load(rpm=60)]) == Span(1200.0, None)
    assert estimate_seconds([load(latency=1.0), load(latency=1.0, concurrency=4)]) == Span(300.0, 300.0)


@given(
    st.lists(
        st.builds(
            load,
            st.integers(0, 1000),
            quota=st.sampled_from("ab"),
            latency=st.none() | st.floats(0.01, 100),
            rpm=st.none() | st.integers(1, 1000),
            concurrency=st.just("auto") | st.integers(1, 100),
        ),
        max_size=5,
    )
)
def test_the_least_is_never_more_than_the_most(loads):
    span = estimate_seconds(loads)
    if span.low is not None and span.high is not None:
        assert span.low <= span.high
    if span.high is not None:
        assert span.low is not None
