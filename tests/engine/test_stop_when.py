"""`stop_when`: too many failed cells stop their member, or the run."""

from __future__ import annotations

import asyncio

import pytest

from pool_core.engine.thresholds import FailureCount
from pool_core.errors import BackendError
from pool_core.interfaces.values import Answer, Cause, Usage
from pool_core.recipe.models import StopWhen


def test_a_number_of_failures():
    count = FailureCount(StopWhen(failed=3))
    assert [count.note(cause) for cause in [None, Cause.PARSE, Cause.EMPTY, None]] == [""] * 4
    assert count.note(Cause.PARSE) == "3 cells failed: `stop_when: {failed: 3}`"


def test_a_share_counts_from_the_least_number_on():
    count = FailureCount(StopWhen(share=0.5, least=6))
    assert [count.note(Cause.PARSE) for _ in range(5)] == [""] * 5
    assert count.note(None) == ""  # judged when a cell fails
    assert count.note(Cause.PARSE) == "6 of 7 cells failed: `stop_when: {share: 0.5}`"


def test_only_the_named_causes_count():
    count = FailureCount(StopWhen(failed=2, causes=(Cause.PARSE, Cause.SCHEMA)))
    assert [count.note(cause) for cause in [Cause.EMPTY, Cause.PARSE, Cause.EMPTY]] == [""] * 3
    assert count.note(Cause.SCHEMA) == "2 cells failed (parse, schema): `stop_when: {failed: 2}`"


def make_script(seconds=1.0):
    async def answer(_request):
        await asyncio.sleep(seconds)
        return BackendError(Cause.BAD_REQUEST, "no")

    return answer


async def answer_well(_request):
    await asyncio.sleep(1)
    return "yes"


def test_a_member_stops_alone(make_member, run_members):
    failing = make_member("a", make_script(), concurrency=2).model_copy(update={"stop_when": StopWhen(failed=5)})
    summary = run_members([failing, make_member("b", answer_well)], 100)
    a, b = summary.members
    assert a.stopped == "5 cells failed: `stop_when: {failed: 5}`"
    assert 5 <= sum(a.failed.values()) <= 6
    assert (b.ok, summary.status) == (100, "partial")


@pytest.mark.parametrize("concurrency", [1, 4])
def test_the_run_stops_by_a_limit(concurrency, make_member, run_members):
    members = [
        make_member("a", make_script(), concurrency=concurrency),
        make_member("b", answer_well, concurrency=concurrency),
    ]
    summary = run_members(members, 100, pool={"stop_when": StopWhen(share=0.3, least=10)})
    assert (summary.status, summary.exit_code) == ("limited", 5)
    assert "cells failed: `stop_when: {share: 0.3}`" in summary.limit
    assert all(member.pending > 50 for member in summary.members)


# A budget over a run's whole life


@pytest.mark.parametrize("usage", [None, Usage(None, 50)])
def test_where_a_server_does_not_say_what_it_used_the_budget_holds_over_all_starts_together(
    usage, make_member, run_members
):
    asked = []

    def answer(request):
        asked.append(request)
        return Answer("yes", usage=usage)

    for _ in range(4):
        member = make_member("a", answer, sampling={"max_tokens": 100})
        source = run_members([member], 50, budget={"max_tokens": 1000})
        assert source.status == "limited"
    assert 4 <= len(asked) <= 12
