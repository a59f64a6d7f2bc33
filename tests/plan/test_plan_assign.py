"""The assignment of samples: fair, exact, and a function of the row and the seed alone."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pool_core.plan.assign import MOST_SAMPLES, WHEN_FAILED, make_assigner
from pool_core.templates import Expression

ROW = {"source": "code", "length": 3}
sizes = st.integers(1, 7)
totals = st.integers(1, 25)
seeds = st.integers(0, 2**32)


def make(assign, samples=None, seed=0, weights=(1.0, 1.0, 1.0), conditions=()):
    return make_assigner(assign, samples, seed, weights, conditions or [None] * len(weights))


def make_routed(*conditions, samples=None, seed=0):
    compiled = [text and Expression(text) for text in conditions]
    return make("routed", samples, seed, [1.0] * len(conditions), compiled)


def test_all_gives_each_member_the_same():
    assert list(make("all")(0, "a", ROW)) == [1, 1, 1]
    assert list(make("all", 6)(41, "b", {})) == [2, 2, 2]
    assert list(make("all", MOST_SAMPLES, weights=[1.0])(0, "a", ROW)) == [254]


def test_more_samples_than_a_byte_holds_are_refused_by_the_plan_and_not_here():
    assert make("all", 10_000, weights=[1.0]) is not None


@settings(deadline=None)
@given(sizes, totals, seeds, st.integers(1, 60))
def test_balanced_totals_differ_by_at_most_one_over_any_prefix(members, samples, seed, rows):
    assign = make("balanced", samples, seed, [1.0] * members)
    so_far = Counter(dict.fromkeys(range(members), 0))
    for position in range(rows):
        counts = assign(position, "", {})
        assert sum(counts) == samples
        so_far.update(dict(enumerate(counts)))
        assert max(so_far.values()) - min(so_far.values()) <= 1


@given(sizes, totals, seeds)
def test_balanced_rows_differ_by_at_most_one_too(members, samples, seed):
    counts = make("balanced", samples, seed, [1.0] * members)(seed % 1000, "", {})
    assert max(counts) - min(counts) <= 1


def test_balanced_meets_every_place_of_a_periodic_input():
    assign = make("balanced", 1, weights=[1.0] * 4)
    places = {position % 4 for position in range(200) if assign(position, "", {})[0]}
    assert places == {0, 1, 2, 3}


@settings(deadline=None)
@given(
    st.sampled_from(["all", "balanced", "weighted", "routed"]),
    totals,
    seeds,
    st.lists(st.text(max_size=8), unique=True, min_size=1, max_size=20),
    st.randoms(use_true_random=False),
)
def test_the_order_of_evaluation_does_not_matter(assign, samples, seed, ids, random):
    def answer_all(order):
        rule = make(assign, samples, seed, [1.0, 2.0, 3.0])
        return {position: rule(position, ids[position], ROW) for position in order}

    shuffled = random.sample(range(len(ids)), len(ids))
    assert answer_all(range(len(ids))) == answer_all(shuffled)


@given(totals, seeds, st.lists(st.floats(0.01, 1e6), min_size=1, max_size=6), st.text())
def test_weighted_rows_sum_to_the_samples(samples, seed, weights, row_id):
    assert sum(make("weighted", samples, seed, weights)(0, row_id, ROW)) == samples


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_weighted_shares_converge(seed):
    assign = make("weighted", 2, seed, [3.0, 1.0])
    first = sum(assign(0, f"row {number}", ROW)[0] for number in range(1000))
    assert 0.68 < first / 2000 < 0.82


def test_weighted_depends_on_the_row_and_not_on_its_position():
    assign = make("weighted", 3, 7, [1.0, 1.0, 1.0])
    assert {assign(position, "x", ROW) for position in range(20)} == {assign(0, "x", {})}
    assert len({assign(0, str(number), ROW) for number in range(20)}) > 1


def test_weighted_takes_ids_that_are_no_valid_text():
    assert sum(make("weighted", 2)(0, "\ud83d", ROW)) == 2


@pytest.mark.parametrize("assign", ["balanced", "weighted", "routed"])
def test_the_seed_decides(assign):
    def answer_all(seed):
        rule = make(assign, 4, seed)
        return [rule(position, str(position), ROW) for position in range(40)]

    assert answer_all(1) == answer_all(1)
    assert answer_all(1) != answer_all(2)


def test_routed_goes_to_the_members_whose_condition_holds():
    assign = make_routed("source == 'code'", "source != 'code'", None)
    assert list(assign(0, "a", {"source": "code"})) == [1, 0, 1]
    assert list(assign(0, "a", {"source": "chat"})) == [0, 1, 1]


@settings(deadline=None)
@given(totals, st.text())
def test_routed_shares_the_samples_among_those_it_chose(samples, row_id):
    counts = make_routed("true", "false", "true", "true", samples=samples)(0, row_id, {})
    chosen = [counts[0], counts[2], counts[3]]
    assert sum(counts) == samples
    assert counts[1] == 0
    assert max(chosen) - min(chosen) <= 1


def test_routed_does_not_always_favour_the_first():
    assign = make_routed("true", "true", samples=1)
    assert {assign(0, str(number), {}) for number in range(40)} == {b"\1\0", b"\0\1"}


def test_routed_gives_nothing_where_no_condition_holds():
    assert make_routed("false", "false", samples=3)(0, "a", {}) == b"\0\0"


def test_a_condition_that_fails_is_marked_and_the_others_share():
    assign = make_routed("missing == 1", "true", "true", samples=4)
    assert list(assign(0, "a", {})) == [WHEN_FAILED, 2, 2]
    assert list(make_routed("missing > 1", "false")(0, "a", {})) == [WHEN_FAILED, 0]


def test_the_mark_is_no_number_of_samples():
    assert WHEN_FAILED == MOST_SAMPLES + 1 == 255


def test_balanced_moves_on_from_row_to_row():
    assign = make("balanced", 1, weights=[1.0] * 3)
    assert all(a != b for a, b in pairwise(assign(position, "", {}) for position in range(3)))
