"""What a run would use: counted as a run would ask, unknown where it is not known, and nothing is sent."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from pathlib import Path
from random import Random

import pytest

from pool_core.errors import BackendError, PluginError
from pool_core.interfaces.values import Answer, Cause, Prompt, Usage
from pool_core.job import run_plan
from pool_core.plan import build
from pool_core.plan.build import make_plan
from pool_core.plan.prices import Rate, TokenPrice
from pool_core.plan.rows import MemoryRows
from pool_core.plan.tokens import count_tokens
from pool_core.recipe.models import Limits, Member, PoolSpec, Price, Recipe
from pool_core.report.duration import Span
from pool_core.report.estimate import estimate_run
from pool_core.report.member_estimate import predict_output
from pool_core.store.records import Measured
from pool_core.testing.scripted import EchoTask, ScriptedBackend, make_registry
from pool_core.testing.virtual_time import run_virtual

TEXTS = [f"row {number}" for number in range(40)]
MILLION = 1_000_000


class World:
    """Plans of scripted members over rows, to be estimated and run in one directory."""

    def __init__(self, run_dir):
        self.run_dir = run_dir
        self.sent = 0

    def answer(self, request):
        self.sent += 1
        return Answer(request.prompt.messages[0].content, "stop", Usage(50, 10), "scripted")

    def make_member(self, name="a", script=None, *, sampling=None, price=(1.0, 10.0), limits=None, **more):
        return Member(
            name=name,
            backend=ScriptedBackend(script or self.answer, model=name),
            task=EchoTask(),
            sampling=sampling or {},
            limits=Limits(**(limits or {})),
            price=None if price is None else Price(input=price[0], output=price[1]),
            **more,
        )

    def plan(self, *members, texts=TEXTS, **pool):
        recipe = Recipe(pool=PoolSpec(members=members, policies=(), **pool))
        rows = [text if isinstance(text, dict) else {"text": text} for text in texts]
        return make_plan(recipe, make_registry(), rows=MemoryRows(rows, None))

    def estimate(self, *members, **more):
        return estimate_run(self.plan(*members, **more), self.run_dir)

    def run(self, *members, **more):
        return run_virtual(run_plan(self.plan(*members, **more), make_registry(), self.run_dir), threads=True)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "run")


def sum_tokens(texts):
    ranges = [count_tokens(Prompt.chat(text)) for text in texts]
    return sum(one.low for one in ranges), sum(one.high for one in ranges)


# Before anything ran


def test_every_prompt_counts_and_nothing_is_sent(world):
    estimate = world.estimate(world.make_member(sampling={"max_tokens": 100}))
    (member,) = estimate.members
    low, high = sum_tokens(TEXTS)
    assert (estimate.rows, member.cells, member.requests, member.reused, member.failing) == (40, 40, 40, 0, 0)
    assert low - 1 < member.input_tokens.low <= low
    assert high <= member.input_tokens.high < high + 1
    assert member.output_tokens == Span(0, 4000)
    assert member.cost.low == pytest.approx(low * 1.0 / MILLION)
    assert member.cost.high == pytest.approx((high * 1.0 + 4000 * 10.0) / MILLION)
    assert estimate.run is None
    assert world.sent == 0
    assert not world.run_dir.exists()


def test_what_is_not_known_is_null_and_never_0(world):
    estimate = world.estimate(world.make_member(price=None))
    (member,) = estimate.members
    assert member.output_tokens == Span(0, None)
    assert (member.cost, member.price, member.latency, member.measured) == (None, None, None, 0)
    assert estimate.cost is None
    assert estimate.seconds == Span(None, None)


def test_a_price_without_a_longest_answer_gives_the_least(world):
    (member,) = world.estimate(world.make_member()).members
    assert member.cost.low > 0
    assert member.cost.high is None


def test_the_sum_has_the_least_of_what_is_known(world):
    bounded = world.make_member("a", sampling={"max_tokens": 5})
    total = world.estimate(bounded, world.make_member("b", sampling={"max_tokens": 5}))
    assert total.cost.high == pytest.approx(2 * total.members[0].cost.high)
    partly = world.estimate(bounded, world.make_member("b", price=None))
    assert partly.cost == Span(pytest.approx(partly.members[0].cost.low), None)
    assert partly.output_tokens == Span(0, None)


def test_samples_and_assignment_count(world):
    estimate = world.estimate(world.make_member("a"), world.make_member("b"), samples=3, assign="balanced")
    assert sum(member.requests for member in estimate.members) == 120
    assert [member.requests for member in estimate.members] == [60, 60]


def test_a_row_for_nobody_costs_nothing(world):
    (member,) = world.estimate(world.make_member(when="text == 'row 3'"), assign="routed").members
    assert (member.cells, member.requests) == (1, 1)


def test_long_prompts_are_billed_at_their_rate(world, monkeypatch):
    price = TokenPrice(Rate(1, 10), "here", ((1000, Rate(2, 20)),))
    monkeypatch.setattr(build, "find_price", lambda *_: price)
    # 1,100 letters: 203 to 448 tokens; 5,500: 1,003 to 2,208; 3,300: 603 to 1,328, which may be beyond the step
    texts = ["x" * 1100, "x" * 5500, "x" * 3300]
    (member,) = world.estimate(world.make_member(sampling={"max_tokens": 100}), texts=texts).members
    assert member.cost.low == pytest.approx((203 * 1 + 1003 * 2 + 603 * 1) / MILLION)
    assert member.cost.high == pytest.approx((448 * 1 + 2208 * 2 + 1328 * 2 + 100 * (10 + 20 + 20)) / MILLION)


# Cells that cannot be asked


def test_cells_that_cannot_be_asked_are_counted_and_the_first_is_told(world):
    texts = ["fine", {"text": 7}, {"text": None}, "fine too"]
    (member,) = world.estimate(world.make_member(), texts=texts, samples=2).members
    assert (member.cells, member.failing, member.requests) == (8, 4, 4)
    assert member.problem.endswith("the column 'text' must hold text, not int")
    assert member.problem.startswith("row '")


def test_a_condition_that_fails_is_one_cell(world):
    members = world.make_member(when="n > 1"), world.make_member("b")
    rows = [{"text": "x", "n": 2}, {"text": "y", "n": "many"}, {"text": "z", "n": 0}]
    first, second = world.estimate(*members, texts=rows, assign="routed").members
    assert (first.cells, first.failing, first.requests) == (2, 1, 1)
    assert (second.cells, second.failing, second.requests) == (3, 0, 3)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (BackendError(Cause.BAD_REQUEST, "half an emoji"), "half an emoji"),
        (ZeroDivisionError("by zero"), "cannot write the request: ZeroDivisionError: by zero"),
    ],
)
def test_a_backend_that_refuses_a_prompt_costs_its_cells(world, monkeypatch, error, message):
    def encode(_self, prompt, _sampling):
        if prompt.messages[0].content == "row 3":
            raise error
        return b"{}"

    monkeypatch.setattr(ScriptedBackend, "encode", encode)
    (member,) = world.estimate(world.make_member()).members
    assert (member.failing, member.requests) == (1, 39)
    assert member.problem.endswith(message)


def test_a_backend_that_cannot_be_made_is_an_error(world):
    plan = world.plan(world.make_member())
    (member,) = plan.members

    class Broken:
        def build(self):
            raise ValueError("no such device")

        name = "broken"

    object.__setattr__(member, "backend", Broken())
    with pytest.raises(PluginError, match="no such device"):
        estimate_run(plan, world.run_dir)


# With a run directory


def test_what_was_answered_is_not_counted_again(world):
    member = world.make_member(sampling={"max_tokens": 100})
    world.run(member, texts=TEXTS[:25])
    estimate = world.estimate(member)
    (counted,) = estimate.members
    assert (counted.cells, counted.reused, counted.requests) == (40, 25, 15)
    assert estimate.run == world.run_dir
    world.sent = 0
    world.run(member)
    assert world.sent == counted.requests
    (counted,) = world.estimate(member).members
    assert (counted.reused, counted.requests) == (40, 0)
    assert (counted.input_tokens, counted.output_tokens, counted.cost) == (Span(0, 0), Span(0, 0), Span(0.0, 0.0))


def test_equal_rows_have_answers_of_their_own(world):
    member = world.make_member()
    world.run(member, texts=["same"] * 3)
    (counted,) = world.estimate(member, texts=["same"] * 5).members
    assert (counted.reused, counted.requests) == (3, 2)


def test_a_failed_call_is_asked_again(world):
    def script(request):
        if "row 3" in request.prompt.messages[0].content:
            return BackendError(Cause.BAD_REQUEST, "no")
        return "yes"

    world.run(world.make_member(script=script), texts=TEXTS[:10])
    (counted,) = world.estimate(world.make_member(), texts=TEXTS[:10]).members
    assert (counted.reused, counted.requests) == (9, 1)


def test_another_prompt_is_counted_in_full_with_what_answers_were_like(world):
    world.run(world.make_member(sampling={"max_tokens": 100}))
    member = world.make_member(sampling={"max_tokens": 200}, limits={"concurrency": 4})
    (counted,) = world.estimate(member).members
    assert (counted.reused, counted.requests, counted.measured) == (0, 40, 40)
    assert counted.output_tokens == Span(400, 400)  # each had 10


def test_prompts_that_were_answered_tell_how_many_tokens_the_others_have(world):
    member = world.make_member()
    world.run(member, texts=TEXTS[:20])
    (counted,) = world.estimate(member).members
    (low, _), (all_low, _) = sum_tokens(TEXTS[:20]), sum_tokens(TEXTS)
    exact = 20 * 50 / low * (all_low - low)  # each was said to have 50
    assert counted.input_tokens == Span(int(exact), int(exact) + 1)
    assert counted.cost.low == pytest.approx(counted.cost.high)
    assert counted.cost.low == pytest.approx((exact * 1 + 200 * 10) / MILLION)


def test_few_answers_tell_nothing(world):
    member = world.make_member(sampling={"max_tokens": 100})
    world.run(member, texts=TEXTS[:7])
    (counted,) = world.estimate(member).members
    assert counted.measured == 0
    assert counted.output_tokens == Span(0, 3300)
    assert counted.input_tokens.low < counted.input_tokens.high


def test_answers_that_do_not_say_their_tokens_tell_nothing(world):
    world.run(world.make_member(script=lambda _request: Answer("yes", "stop")))
    (counted,) = world.estimate(world.make_member(), texts=[*TEXTS, "more"]).members
    assert (counted.reused, counted.measured, counted.output_tokens) == (40, 0, Span(0, None))


def test_the_time_follows_from_how_long_answers_took(world):
    async def script(_request):
        await asyncio.sleep(2)
        return "yes"

    def make():
        return world.make_member(script=script, limits={"concurrency": 5})

    world.run(make(), texts=TEXTS[:20])
    estimate = world.estimate(make())
    assert estimate.members[0].latency == pytest.approx(2)
    assert estimate.seconds == Span(pytest.approx(8), pytest.approx(8))


def test_a_run_directory_is_left_as_it_is(world):
    world.run(world.make_member())
    before = {path.name: path.read_bytes() for path in world.run_dir.iterdir() if path.name == "run.sqlite"}
    world.estimate(world.make_member())
    assert before == {path.name: path.read_bytes() for path in world.run_dir.iterdir() if path.name == "run.sqlite"}


def test_an_empty_file_of_a_killed_run_is_no_run(world):
    world.run_dir.mkdir()
    (world.run_dir / "run.sqlite").write_bytes(b"")
    assert world.estimate(world.make_member()).run is None


# The prediction


@pytest.mark.parametrize("answers", [8, 12, 60])
def test_the_prediction_of_a_sum_holds_95_percent_of_them(answers):
    random, held = Random(1), 0
    for _ in range(2000):
        lengths = [random.gauss(300, 80) for _ in range(answers)]
        squares = sum(one**2 for one in lengths)
        measured = Measured(answers, 1.0, answers, sum(lengths) / answers, squares / answers)
        low, high = predict_output(100, None, measured)
        held += low <= sum(random.gauss(300, 80) for _ in range(100)) <= high
    assert 0.94 <= held / 2000 <= 0.96


def test_the_prediction_is_bounded_by_the_longest_answers():
    measured = Measured(10, 1.0, 10, 50.0, 2600.0)
    low, high = predict_output(10, 52, measured)
    assert low < 500 < high
    assert high == 520
    assert predict_output(10, 5, measured) == (50.0, 50.0)
    assert predict_output(0, None, measured) == (0.0, 0.0)
    assert predict_output(0, None, None) == (0.0, 0.0)


# Form


def test_the_json_form_is_plain_and_complete(world):
    estimate = world.estimate(world.make_member(sampling={"max_tokens": 1}, limits={"rpm": 40}), texts=["x" * 55])
    assert json.loads(json.dumps(estimate.to_dict())) == {
        "version": 1,
        "rows": 1,
        "run": None,
        "members": [
            {
                "name": "a",
                "model": "a",
                "cells": 1,
                "reused": 0,
                "failing": 0,
                "problem": "",
                "requests": 1,
                "input_tokens": {"low": 13, "high": 30},
                "output_tokens": {"low": 0, "high": 1},
                "cost": {"low": pytest.approx(13e-6), "high": pytest.approx(40e-6)},
                "price": {"base": {"input": 1.0, "output": 10.0}, "source": "recipe", "steps": []},
                "max_tokens": 1,
                "measured": 0,
                "latency": None,
            }
        ],
        "total": {
            "requests": 1,
            "input_tokens": {"low": 13, "high": 30},
            "output_tokens": {"low": 0, "high": 1},
            "cost": {"low": pytest.approx(13e-6), "high": pytest.approx(40e-6)},
        },
        "seconds": {"low": 1.5, "high": None},
    }


def test_whoever_watches_is_told_of_each_row(world):
    seen = []
    estimate_run(world.plan(world.make_member()), world.run_dir, watch=seen.append)
    assert seen == list(range(1, 41))


def test_memory_does_not_grow_with_the_rows(world):
    class Many(MemoryRows):
        def read(self):
            for number in range(self.rows):
                yield f"row {number}", {"id": number, "text": "x" * 50}

    def measure(rows):
        recipe = Recipe(pool=PoolSpec(members=[world.make_member()], policies=()))
        plan = make_plan(recipe, make_registry(), rows=Many(rows, "id"))
        tracemalloc.start()
        estimate_run(plan, Path("nowhere"))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    measure(10)
    # a page has 256 rows, and garbage comes and goes; what is kept of a row would be 50 bytes at least
    assert measure(60_000) < measure(1000) + 300_000
