"""The budget as an account: never passed by more than what is in flight, never stuck, and clear when it ends."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool_core.engine.budget import Account, Reservation
from pool_core.interfaces.values import Answer, Usage
from pool_core.plan.prices import Rate, TokenPrice, compute_cost
from pool_core.plan.tokens import Forecast
from pool_core.recipe.models import Budget
from pool_core.testing.virtual_time import run_virtual


def make_account(*, spent=0, cost=0.0, started=0.0, **budget):
    return Account(Budget(**budget), tokens=spent, cost=cost, started=started)


# What fits


def test_without_a_budget_everything_fits():
    account = make_account()
    assert all(account.reserve(10**12, 10.0**6, 10.0**9) for _ in range(100))
    assert (account.exhausted, account.count_seconds(5)) == ("", None)


def test_what_is_in_flight_counts():
    account = make_account(max_tokens=100)
    first = account.reserve(60, None, 0)
    assert account.reserve(60, None, 0) is None
    assert account.exhausted == ""
    account.settle(first, Usage(10, 10), None)
    assert account.reserve(80, None, 0) == Reservation(80, 0.0)
    assert account.tokens == 20


def test_a_call_that_brought_nothing_counts_nothing():
    account = make_account(max_tokens=100, max_cost=1)
    account.release(account.reserve(100, 1.0, 0))
    assert (account.tokens, account.cost) == (0, 0.0)
    assert account.reserve(100, 1.0, 0)


def test_the_budget_may_be_used_to_the_last_token():
    account = make_account(max_tokens=100, spent=40)
    account.settle(account.reserve(60, None, 0), Usage(30, 30), None)
    assert account.tokens == 100
    assert account.reserve(0, None, 0)


def test_money_that_was_reserved_leaves_no_rest():
    account = make_account(max_cost=1)
    reservations = [account.reserve(1, 0.1, 0) for _ in range(9)]
    for reservation in reservations:
        account.release(reservation)
    assert account.reserve(1, 1.0, 0)  # ten times 0.1, taken and given back, is not quite 0


# What an answer does not say


@pytest.mark.parametrize(
    ("usage", "tokens"), [(Usage(), 50), (Usage(10, None), 50), (Usage(None, 70), 70), (Usage(3, 4), 7)]
)
def test_usage_that_is_not_told_counts_as_estimated(usage, tokens):
    account = make_account(max_tokens=100)
    account.settle(account.reserve(50, None, 0), usage, None)
    assert account.tokens == tokens
    assert account.estimated == (tokens != 7)


def test_a_cost_that_is_not_known_counts_as_estimated():
    account = make_account(max_cost=1)
    account.settle(account.reserve(50, 0.25, 0), Usage(), None)
    account.settle(account.reserve(50, 0.25, 0), Usage(1, 1), 0.5)
    account.settle(account.reserve(50, None, 0), Usage(1, 1), None)
    assert account.cost == 0.75


# How it ends


def test_the_end_of_the_tokens_says_what_to_do():
    account = make_account(max_tokens=10_000, spent=9_950)
    assert account.reserve(1_200, None, 0) is None
    assert account.exhausted == (
        "the budget is reached: 9,950 tokens of `max_tokens: 10000` are used, and the next request may use 1,200; "
        "raise `budget: {max_tokens: ...}` and run the same command again"
    )


def test_the_end_of_the_money_says_what_to_do():
    account = make_account(max_cost=5, cost=4.98)
    assert account.reserve(1_200, 0.0312, 0) is None
    assert account.exhausted == (
        "the budget is reached: $4.98 of `max_cost: 5` are spent, and the next request may cost $0.0312; "
        "raise `budget: {max_cost: ...}` and run the same command again"
    )


def test_the_end_of_the_time_says_what_to_do():
    account = make_account(max_time=60, started=1000)
    assert account.reserve(1, None, 1059.9)
    assert account.count_seconds(1050) == 10
    assert account.reserve(1, None, 1060) is None
    assert account.exhausted == (
        "the time is up: `max_time: 60` seconds have passed; run the same command again to go on"
    )


def test_nothing_leaves_after_the_end():
    account = make_account(max_tokens=100)
    assert account.reserve(101, None, 0) is None
    assert account.reserve(1, None, 0) is None
    assert account.exhausted


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 80), st.booleans()), max_size=60),
    st.integers(1, 400),
    st.integers(0, 2**32),
)
def test_the_budget_is_passed_by_no_more_than_what_is_in_flight(calls, most, seed):
    """Calls leave and end in any order; each has an estimate, what it really uses, and may fail."""
    random = Random(seed)
    account = make_account(max_tokens=most, max_cost=most / 1000)
    flying, at_stop = [], None
    for estimate, actual, fails in calls:
        reservation = account.reserve(estimate, estimate / 1000, 0)
        if reservation is not None:
            flying.append((reservation, actual, fails))
            at_stop = account.tokens, list(flying)
        elif not flying:
            assert account.exhausted
            break
        while flying and random.random() < 0.4:
            end(account, flying.pop(random.randrange(len(flying))))
    for call in flying:
        end(account, call)
    if at_stop is not None:
        settled, in_flight = at_stop  # when the last one left
        assert settled + sum(reservation.tokens for reservation, _, _ in in_flight) <= most
        beyond = sum(max(0, actual - reservation.tokens) for reservation, actual, fails in in_flight if not fails)
        assert account.tokens <= most + beyond
        assert account.cost <= (most + beyond) / 1000 + 1e-9
        assert account.tokens <= most + sum(actual for _, actual, _ in in_flight)
    assert (account._open, account._reserved_tokens, account._reserved_cost) == (0, 0, 0.0)


def end(account, call):
    reservation, actual, fails = call
    if fails:
        account.release(reservation)
    else:
        account.settle(reservation, Usage(actual, 0), actual / 1000)


# Waiting


def test_a_call_that_does_not_fit_waits_for_those_in_flight():
    async def main():
        account, order = make_account(max_tokens=100), []

        async def call(name, estimate, actual, seconds):
            reservation = await account.acquire(estimate, None)
            if reservation is None:
                order.append((name, "refused"))
                return
            order.append((name, asyncio.get_running_loop().time()))
            await asyncio.sleep(seconds)
            account.settle(reservation, Usage(actual, 0), None)

        await asyncio.gather(call("a", 60, 10, 1), call("b", 60, 40, 1), call("c", 10, 10, 1), call("d", 90, 1, 1))
        return order, account.tokens

    # c would fit at once and does not overtake b; d no longer fits when all have ended
    order, tokens = run_virtual(main())
    assert order == [("a", 0.0), ("b", 1.0), ("c", 1.0), ("d", "refused")]
    assert tokens == 60


def test_the_end_of_the_time_ends_every_wait():
    async def main():
        account = make_account(max_tokens=100, max_time=5)
        await account.acquire(100, None)
        waiting = [asyncio.ensure_future(account.acquire(50, None)) for _ in range(3)]
        asyncio.get_running_loop().call_later(account.count_seconds(0), lambda: account.expire(5.0))
        return await asyncio.gather(*waiting), asyncio.get_running_loop().time(), account.exhausted

    given, now, exhausted = run_virtual(main())
    assert given == [None] * 3
    assert now == 5.0
    assert exhausted.startswith("the time is up")


@pytest.mark.parametrize("late", [False, True])
def test_a_wait_that_is_cancelled_keeps_nothing_and_lets_the_next_one_through(late):
    async def main():
        account = make_account(max_tokens=100)
        first = await account.acquire(100, None)
        large = asyncio.ensure_future(account.acquire(90, None))
        small = asyncio.ensure_future(account.acquire(80, None))
        await asyncio.sleep(0)
        if late:
            account.settle(first, Usage(5, 5), None)  # the large one is given its place, and does not run any more
        large.cancel()
        await asyncio.gather(large, return_exceptions=True)
        if not late:
            account.settle(first, Usage(5, 5), None)
        return await small

    assert run_virtual(main()) == Reservation(80, 0.0)


def spend(seed, max_tokens):
    """64 workers spend a dollar on answers of very different lengths; returns what was spent in the end."""
    random, price = Random(seed), TokenPrice(Rate(0.5, 2.0), "here")

    async def main():
        account, forecast = make_account(max_cost=1.0), Forecast(max_tokens)

        async def work():
            while True:
                body = b"x" * random.randint(100, 4000)
                guess = forecast.guess(body)
                tokens = guess.input_tokens + guess.output_tokens
                reservation = await account.acquire(tokens, compute_cost(guess, price))
                if reservation is None:
                    return
                usage = Usage(len(body) // 4, min(4096, int(random.expovariate(1 / 300)) + 1))
                await asyncio.sleep(0.2 + usage.output_tokens / 50)
                forecast.learn(body, usage)
                account.settle(reservation, usage, compute_cost(usage, price))

        await asyncio.gather(*(work() for _ in range(64)))
        assert account.exhausted.startswith("the budget is reached")
        return account.cost

    return run_virtual(main())


@pytest.mark.parametrize("max_tokens", [None, 4096])
def test_a_run_spends_what_it_may_and_little_more(max_tokens):
    """What is in flight is worth 6 % of the budget; the budget is passed by a third of that at most, on average."""
    spent = [spend(seed, max_tokens) for seed in range(20)]
    assert min(spent) >= 0.98
    assert max(spent) <= 1.04
    assert 0.99 <= sum(spent) / len(spent) <= 1.02


def test_what_waited_for_its_place_does_not_leave_when_the_budget_is_used_up(make_member, run_members):
    """``b`` and ``c`` share a place; while ``c`` waits for it, ``a`` uses far more than was thought."""
    sent = []

    def make_script(name, seconds, tokens):
        async def answer(_request):
            sent.append(name)
            await asyncio.sleep(seconds)
            return Answer("yes", "stop", Usage(tokens, tokens))

        return answer

    members = [
        make_member("a", make_script("a", 1, 50_000), concurrency=1),
        *(make_member(name, make_script(name, 5, 1), quota="shared", concurrency=1) for name in "bc"),
    ]
    summary = run_members(members, 5, budget={"max_tokens": 20_000})
    assert sent == ["a", "b"]
    assert summary.status == "limited"
    assert summary.limit.startswith("the budget is reached: 100,002 tokens of `max_tokens: 20000` are used")
