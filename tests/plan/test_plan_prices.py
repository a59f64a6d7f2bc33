"""Prices: the recipe's before those that are known, unknown never 0, and what a call costs."""

from __future__ import annotations

import builtins
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool_core.interfaces.values import Capabilities, Offer, Usage
from pool_core.plan import prices
from pool_core.plan.prices import (
    Rate,
    TokenPrice,
    compute_cost,
    find_price,
    format_dollars,
    knows_prices,
    look_up_price,
)
from pool_core.recipe.models import Price
from pool_core.testing.scripted_plugin import EchoBackend

#: Environments that promise every plugin have the package too: there these tests fail without it.
known = pytest.mark.skipif(
    find_spec("genai_prices") is None and "openai" not in os.environ.get("POOL_EXPECT_PLUGINS", ""),
    reason="genai-prices is not installed",
)

OPENAI = Offer("gpt-4o-mini", "https://api.openai.com/v1")


# What is looked up


def test_the_recipe_goes_before_what_is_known(monkeypatch):
    monkeypatch.setattr(prices, "look_up_price", lambda offer: pytest.fail("looked up"))
    assert find_price(Price(input=1, output=2.5), OPENAI) == TokenPrice(Rate(1.0, 2.5), "recipe")


def test_a_price_of_zero_is_a_price():
    assert find_price(Price(input=0, output=0), None) == TokenPrice(Rate(0.0, 0.0), "recipe")


def test_a_backend_that_buys_nothing_has_no_known_price(monkeypatch):
    monkeypatch.setattr(prices, "look_up_price", lambda offer: pytest.fail("looked up"))
    assert find_price(None, None) is None


def test_a_server_of_ones_own_is_not_looked_up(monkeypatch):
    monkeypatch.setattr(prices, "look_up_price", lambda offer: pytest.fail("looked up"))
    assert find_price(None, Offer("gpt-4o-mini", "http://127.0.0.1:8000/v1")) is None


def test_without_the_package_nothing_is_known(monkeypatch):
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    assert not knows_prices()
    assert find_price(None, OPENAI) is None


@known
def test_a_model_of_a_known_provider():
    price = find_price(None, OPENAI)
    assert price.base == Rate(0.15, 0.6)
    assert price.steps == ()
    assert price.source.startswith("genai-prices ")
    assert price.source.endswith(": openai/gpt-4o-mini")


@known
@pytest.mark.parametrize(
    "offer",
    [
        Offer("gpt-4o-mini", "https://llm.example.org/v1"),
        Offer("gpt-4o-mini", "https://127.0.0.1/v1"),
        Offer("a-model-that-nobody-has", "https://api.openai.com/v1"),
    ],
)
def test_another_address_or_model_is_unknown(offer):
    assert find_price(None, offer) is None


@known
def test_a_model_that_charges_for_more_than_tokens_is_unknown():
    assert look_up_price(Offer("sonar-pro", "https://api.perplexity.ai")) is None


@known
def test_a_model_whose_long_prompts_cost_more():
    price = look_up_price(Offer("claude-sonnet-4-5", "https://api.anthropic.com/v1"))
    assert price.base == Rate(3.0, 15.0)
    assert price.steps == ((200_000, Rate(6.0, 22.5)),)


@known
def test_every_known_model_has_a_price_or_none():
    from genai_prices.data_snapshot import get_snapshot

    found = [
        look_up_price(Offer(model.id, "https://api.openai.com/v1"))
        for provider in get_snapshot().providers
        if provider.id == "openai"
        for model in provider.models
    ]
    assert len(found) > 50
    assert all(price is None or (price.base.input >= 0 and price.base.output >= 0) for price in found)


@known
def test_looking_up_opens_no_socket_and_starts_no_thread():
    program = (
        "import socket, threading\n"
        "socket.socket.connect = socket.getaddrinfo = None\n"
        "from pool_core.plan.prices import find_price\n"
        "from pool_core.interfaces.values import Offer\n"
        f"assert find_price(None, {OPENAI!r}).base.input > 0\n"
        "assert threading.active_count() == 1\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_plan_without_an_offer_does_not_import_the_package(plan, monkeypatch):
    real = builtins.__import__

    def refuse(name, *rest, **more):
        assert not name.startswith("genai_prices")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert plan({"name": "a", "backend": "echo", "task": "echo"}).members[0].price is None


# Steps, as the package writes them


class FakePrice:
    """A model's prices, of which only some are set."""

    def __init__(self, **prices):
        self.prices = prices

    def __getattr__(self, name):
        return self.prices.get(name)


class FakeTiers:
    def __init__(self, base, **tiers):
        self.base = base
        self.tiers = [type("Tier", (), {"start": int(start[1:]), "price": price}) for start, price in tiers.items()]


def test_steps_of_prompts_and_answers_may_differ():
    model = FakePrice(input_mtok=FakeTiers(1, _100=2, _300=4), output_mtok=FakeTiers(10, _200=20))
    price = prices._read_price(model, "here")
    assert price == TokenPrice(Rate(1, 10), "here", ((100, Rate(2, 10)), (200, Rate(2, 20)), (300, Rate(4, 20))))
    assert [price.find_rate(tokens).input for tokens in (0, 100, 101, 300, 301)] == [1, 1, 2, 2, 4]


@pytest.mark.parametrize(
    "model",
    [
        FakePrice(input_mtok=1),
        FakePrice(output_mtok=1),
        FakePrice(),
        FakePrice(input_mtok=1, output_mtok=1, requests_kcount=5),
        FakePrice(input_mtok=1, output_mtok=1, output_reasoning_mtok=5),
    ],
)
def test_a_price_that_is_not_whole_is_unknown(model):
    assert prices._read_price(model, "here") is None


# What a call costs


PRICE = TokenPrice(Rate(2, 10), "here", ((1000, Rate(4, 20)),))


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (Usage(1000, 100), 0.003),
        (Usage(1001, 100), 0.006004),
        (Usage(0, 0), 0),
        (Usage(None, 100), None),
        (Usage(1000, None), None),
        (Usage(), None),
    ],
)
def test_the_cost_of_a_call(usage, cost):
    assert compute_cost(usage, PRICE) == (cost if cost is None else pytest.approx(cost))


def test_a_call_without_a_price_has_no_cost():
    assert compute_cost(Usage(10, 10), None) is None


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**7))
def test_more_tokens_never_cost_less(first, second, more_in, more_out):
    assert compute_cost(Usage(first + more_in, second + more_out), PRICE) >= compute_cost(Usage(first, second), PRICE)


@pytest.mark.parametrize(
    ("dollars", "text"),
    [
        (0, "$0.00"),
        (0.00001, "<$0.0001"),
        (0.0042, "$0.0042"),
        (0.5, "$0.5000"),
        (12.3, "$12.30"),
        (12345, "$12,345.00"),
    ],
)
def test_dollars_as_people_read_them(dollars, text):
    assert format_dollars(dollars) == text


# In a plan


def test_a_member_has_its_price(plan, monkeypatch):
    looked_up = TokenPrice(Rate(1, 2), "a list")
    monkeypatch.setattr(prices, "knows_prices", lambda: True)
    monkeypatch.setattr(prices, "look_up_price", lambda offer: looked_up if offer == OPENAI else None)
    monkeypatch.setattr(EchoBackend, "capabilities", lambda *_: Capabilities(offer=OPENAI))
    made = plan(
        {"name": "a", "backend": "echo", "task": "echo"},
        {"name": "b", "backend": "echo", "task": "echo", "price": {"input": 0.1, "output": 0.2}},
    )
    assert [member.price for member in made.members] == [looked_up, TokenPrice(Rate(0.1, 0.2), "recipe")]


def find_unknown(made):
    return [finding for finding in made.findings if finding.rule == "price-unknown"]


def make_plan_with_budget(registry, **budget):
    from pool_core.plan.build import make_plan
    from pool_core.plan.rows import MemoryRows
    from pool_core.recipe.models import Recipe

    members = [
        {"name": "a", "backend": "echo", "task": "echo"},
        {"name": "b", "backend": "echo", "task": "echo", "price": {"input": 0, "output": 0}},
    ]
    recipe = Recipe.model_validate({"pool": {"members": members, "policies": []}, "budget": budget})
    return make_plan(recipe, registry, rows=MemoryRows([{"text": "x"}], None))


@pytest.mark.parametrize("installed", [True, False])
def test_a_budget_of_money_needs_every_price(registry, monkeypatch, installed):
    monkeypatch.setattr("pool_core.plan.check_budget.knows_prices", lambda: installed)
    made = make_plan_with_budget(registry, max_cost=5)
    (finding,) = find_unknown(made)
    assert (finding.level, finding.members, finding.key) == ("error", ("a",), "backend")
    assert finding.message == "the budget has a `max_cost`, and the price of a is not known"
    hint = (
        "write its dollars per million tokens, as in `price: {input: 0.5, output: 1.5}`, or 0 for a server of your own"
    )
    more = '; `pip install "pool-core[prices]"` knows the prices of many providers'
    assert finding.hint == (hint if installed else hint + more)
    assert not made.compatible


def test_other_budgets_need_no_price(registry):
    assert find_unknown(make_plan_with_budget(registry, max_tokens=100, max_time=3)) == []
    assert find_unknown(make_plan_with_budget(registry)) == []
