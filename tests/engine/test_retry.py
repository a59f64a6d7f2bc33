"""What each cause leads to, and how long is waited: row by row, and within bounds."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool_core.engine.retry import ACTIONS, Action, RetryBudget, compute_backoff
from pool_core.interfaces.values import Cause

TABLE = {
    "transport": "retry",
    "timeout": "retry",
    "overloaded": "retry",
    "server": "retry",
    "bad_reply": "retry",
    "rate_limit": "wait",
    "auth": "stop_member",
    "quota_exhausted": "stop_member",
    "bad_request": "fail",
    "context_length": "fail",
    "content_filter": "fail",
    "refusal": "fail",
    "truncated": "fail",
    "empty": "reask",
    "parse": "reask",
    "schema": "reask",
    "render": "fail",
    "plugin": "fail",
    "budget": "fail",
    "cancelled": "fail",
}


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_its_action(cause):
    assert ACTIONS[cause] is Action(TABLE[cause.value])


def test_the_table_names_causes_alone():
    assert set(ACTIONS) == set(Cause)
    assert set(TABLE) == {cause.value for cause in Cause}


class Extreme(Random):
    """Draws the end of every range."""

    def __init__(self, share):
        super().__init__(0)
        self.share = share

    def uniform(self, a, b):
        return a + (b - a) * self.share


def test_the_bound_doubles_from_half_a_second_to_thirty():
    longest = [compute_backoff(failures, None, Extreme(1.0)) for failures in range(1, 10)]
    assert longest == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert compute_backoff(5, None, Extreme(0.0)) == 0
    assert compute_backoff(5, None, Extreme(0.25)) == 2


#: A bound that is computed in another order may be smaller in its last digit.
ROUNDING = 1 + 1e-12


@given(failures=st.integers(1, 10**6), seed=st.integers(), retry_after=st.none() | st.floats(0, 1e7))
def test_waits_lie_between_what_the_server_names_and_the_bound(failures, seed, retry_after):
    seconds = compute_backoff(failures, retry_after, Random(seed))
    least = retry_after or 0.0
    assert least <= seconds <= max(30.0, (1.1 * least + 0.05) * ROUNDING)


@given(failures=st.integers(1, 20), seed=st.integers(), retry_after=st.floats(1, 3600))
def test_on_top_of_a_named_wait_there_is_little_jitter(failures, seed, retry_after):
    assert retry_after <= compute_backoff(failures, retry_after, Random(seed)) <= (1.1 * retry_after + 0.05) * ROUNDING


def test_calls_that_were_told_the_same_do_not_come_back_all_at_once():
    random = Random(1)
    assert len({compute_backoff(1, 20.0, random) for _ in range(100)}) == 100


@pytest.mark.parametrize("retry_after", [0, 0.0, 0.01])
def test_a_server_that_always_says_at_once_is_asked_ever_more_rarely(retry_after):
    assert compute_backoff(8, retry_after, Extreme(1.0)) == 30


@pytest.mark.parametrize("retry_after", [-1, -math.inf, math.nan])
def test_a_named_wait_that_is_none_says_nothing(retry_after):
    assert compute_backoff(3, retry_after, Extreme(0.5)) == compute_backoff(3, None, Extreme(0.5)) == 1


def test_an_endless_named_wait_stays_endless():
    assert compute_backoff(1, math.inf, Random(0)) == math.inf


# The retry budget


def test_in_an_outage_retries_end_but_for_a_trickle():
    budget = RetryBudget()
    sent = sum(budget.take(second / 10) for second in range(36_000))  # an hour, ten tries per second
    assert 35 + 3590 <= sent <= 36 + 3600
    assert sum(budget.take(5000.0) for _ in range(100)) == 1


def test_extra_calls_tend_to_seven_percent_of_the_calls_that_succeed_at_once():
    budget = RetryBudget()
    for _ in range(36):
        assert budget.take(0.0) or True
    first = extra = 0
    for number in range(100_000):
        now = number * 1e-6  # no time for the trickle
        budget.note_success(of_retry=False)
        first += 1
        extra += budget.take(now)
    assert extra / first <= 1 / 14 + 0.001


def test_retries_that_help_every_other_time_go_on_for_ever():
    budget = RetryBudget()
    for number in range(100_000):
        assert budget.take(0.0)
        if number % 2:
            budget.note_success(of_retry=True)


def test_the_bucket_never_holds_more_than_its_capacity():
    budget = RetryBudget()
    for _ in range(10_000):
        budget.note_success(of_retry=True)
    assert sum(budget.take(0.0) for _ in range(1000)) == 36  # 35 of 500 / 14, and one that trickles
