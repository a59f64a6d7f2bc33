"""The adaptive limit, told call by call what became of them."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from pool_core.engine.adapt.limit import AdaptiveLimit
from pool_core.engine.adapt.stretch import Stretch
from pool_core.engine.place import End, Place
from pool_core.interfaces.values import Usage


class Calls:
    """Calls under an adaptive limit, driven by hand. ``now`` moves only when it is moved."""

    def __init__(self, most=1000, start=4):
        self.limit = AdaptiveLimit(most, start)
        self.now = 0.0
        self.given = 0
        self.places = []

    def fill(self, most=None):
        """Let in as many as the limit allows, or only until ``most`` are in flight."""
        while len(self.places) < min(self.limit.current, most or self.limit.current):
            self.given += 1
            self.places.append(Place(0, self.now, len(self.places) + 1, 0.0, self.given))
            self.limit.note_given(self.places[-1])
        return self

    def end(self, end, count=1, usage=None, newest=False):
        for _ in range(count):
            place = self.places.pop(-1 if newest else 0)
            self.limit.note_end(self.now, place, end, usage)
        return self

    def answer_all(self, latency=1.0):
        self.now += latency
        return self.end(End.ANSWERED, len(self.places))

    def refuse(self, count=1):
        return self.end(End.LIMITED, count, newest=True)

    def settle(self, capacity, rounds=40, latency=1.0):
        """A server that works on ``capacity`` calls, and refuses all others."""
        for _ in range(rounds):
            self.fill()
            while len(self.places) > capacity:
                self.refuse()
            self.answer_all(latency)
        return self.fill()


def test_it_doubles_in_the_time_of_a_call_while_it_is_used():
    calls, limits = Calls(), []
    for _ in range(6):
        calls.fill().answer_all()
        limits.append(calls.limit.current)
    assert limits == [8, 16, 32, 64, 128, 256]


def test_it_does_not_grow_for_calls_that_were_no_more_than_before():
    calls = Calls()
    for _ in range(6):
        calls.fill().answer_all()
    for _ in range(50):
        calls.fill(most=100).answer_all()
    assert calls.limit.current == 256


def test_it_stops_at_the_most_that_it_may_reach():
    calls = Calls(most=50)
    for _ in range(20):
        calls.fill().answer_all()
    assert calls.limit.current == 50
    assert Calls(most=2).limit.current == 2


@pytest.mark.parametrize("end", [End.LIMITED, End.OVERLOADED])
def test_each_refused_call_of_a_burst_takes_one_so_that_what_was_taken_is_left(end):
    calls = Calls()
    for _ in range(6):
        calls.fill().answer_all()
    calls.fill().end(end, 56, newest=True)  # the server took 200 of 256
    assert calls.limit.current == 200


def test_one_burst_takes_half_at_most():
    calls = Calls()
    for _ in range(6):
        calls.fill().answer_all()
    calls.fill().refuse(256)
    assert calls.limit.current == 128


def test_answers_to_calls_of_before_a_cut_do_not_raise_the_limit():
    calls = Calls()
    for _ in range(6):
        calls.fill().answer_all()
    calls.fill().refuse(1)
    calls.now += 10
    calls.end(End.ANSWERED, 200)
    assert calls.limit.current == 255


def test_a_refusal_far_under_the_limit_brings_it_near_to_what_was_in_flight():
    calls = Calls()
    for _ in range(6):
        calls.fill().answer_all()
    calls.fill(most=20).refuse(1)
    assert calls.limit.current == 128
    calls.fill(most=20).refuse(1)
    assert calls.limit.current == 64


def test_refusals_of_the_first_calls_after_each_cut_halve_the_limit():
    calls = Calls().settle(64)
    assert calls.limit.current == 64
    limits = []
    for _ in range(12):  # the server takes nothing any more
        calls.refuse(1)
        limits.append(calls.limit.current)
        calls.end(End.ANSWERED, max(1, len(calls.places) - calls.limit.current + 1)).fill()
    assert limits == sorted(limits, reverse=True)
    assert limits[:4] == [64, 63, 62, 31]  # the first one may be a mood
    assert limits[-1] <= 8


def test_it_settles_at_the_capacity_and_tries_one_more_ever_more_rarely():
    calls, tries = Calls().settle(10), []
    for _ in range(2000):
        calls.fill()
        if len(calls.places) > 10:
            tries.append(calls.now)
            assert len(calls.places) == 11
            calls.refuse(1)
        calls.answer_all(0.1)  # 100 answers in a second
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    assert calls.limit.current in {10, 11}
    assert gaps == sorted(gaps)
    assert gaps[-1] == pytest.approx(16, abs=1.5)


def test_a_slow_server_is_tried_with_one_call_in_a_hundred():
    calls, tries, answered = Calls().settle(2), 0, 0
    for _ in range(1000):
        calls.fill()
        if len(calls.places) > 2:
            tries += 1
            calls.refuse(1)
        answered += 2
        calls.answer_all(30.0)
    assert answered / 110 <= tries + 10
    assert tries <= answered / 100


def test_it_rises_fast_once_a_try_was_answered():
    calls = Calls().settle(10)
    start = calls.now
    while calls.limit.current < 200:
        calls.fill().answer_all(1.0)
    assert calls.now - start < 16 + 10 + 6


def test_one_refusal_after_many_answers_is_a_mood():
    calls = Calls(most=64)
    for _ in range(8):
        calls.fill().answer_all()
    calls.fill().refuse(1)
    assert calls.limit.current == 63  # the first one ends the rise
    calls.answer_all(0.01)
    for _ in range(20):
        calls.fill().answer_all(0.01)
        calls.fill().refuse(1)
    assert calls.limit.current == 63
    calls.fill().refuse(1)
    assert calls.limit.current == 62  # two together are no mood


def test_failures_alone_halve_it_and_one_answer_forgives_them():
    calls = Calls()
    for _ in range(4):
        calls.fill().answer_all()
    assert calls.limit.current == 64
    calls.fill().end(End.FAILED, 63)
    assert calls.limit.current == 64
    calls.end(End.ANSWERED).fill().end(End.FAILED, 63)
    assert calls.limit.current == 65
    calls.fill()
    for _ in range(20):
        calls.end(End.FAILED, len(calls.places)).fill()
    assert calls.limit.current == 1
    for _ in range(6):
        calls.fill().answer_all()
    assert calls.limit.current == 64


def test_a_cancelled_call_says_nothing():
    calls = Calls().fill()
    calls.now += 1
    calls.end(End.CANCELLED, 4)
    assert calls.limit.current == 4


def test_latency_that_grows_with_the_calls_in_flight_ends_the_rise():
    calls, peak = Calls(), 0
    for _ in range(60):  # a server that works on one at a time
        calls.fill()
        peak = max(peak, calls.limit.current)
        for _ in range(len(calls.places)):
            calls.now += 0.1
            calls.end(End.ANSWERED).fill()
    assert peak <= 32
    assert calls.limit.current <= 3


def test_a_long_answer_may_take_long():
    calls = Calls()
    for number in range(8):  # answers become ever longer, and take as long as they are
        calls.fill()
        calls.now += 1.9**number
        calls.end(End.ANSWERED, len(calls.places), Usage(10, round(100 * 1.9**number)))
    assert calls.limit.current == 1000
    calls = Calls()
    for number in range(8):
        calls.fill()
        calls.now += 1.9**number
        calls.end(End.ANSWERED, len(calls.places), Usage(10, None))
    assert calls.limit.current < 300


def make_stretch(latencies, tokens=None):
    stretch = Stretch()
    for number, latency in enumerate(latencies):
        usage = Usage(1, tokens[number]) if tokens else None
        stretch.add(100.0, Place(0, 100.0 - latency, 3, 0.0), usage)
    return stretch


def test_stretches_are_compared_by_their_logarithms():
    slow, fast = make_stretch([2.0] * 50), make_stretch([1.0] * 50)
    difference, error = slow.compare(fast)
    assert difference == pytest.approx(math.log(2))
    assert 0 < error < 0.05
    assert fast.compare(slow)[0] == pytest.approx(-math.log(2))
    assert (slow.latency, slow.level) == (2.0, 3.0)


def test_few_answers_are_uncertain_however_equal_they_are():
    few, many = make_stretch([2.0] * 2), make_stretch([2.0] * 200)
    other = make_stretch([1.0] * 200)
    assert few.compare(other)[1] > 4 * many.compare(other)[1]


def test_the_measure_that_varies_less_is_used():
    lengths = [10, 1000] * 20
    long, short = make_stretch([0.01 * n for n in lengths], lengths), make_stretch([0.01 * n for n in lengths], lengths)
    assert long.compare(short)[1] < 0.1  # per token all are alike
    steady = make_stretch([1.0] * 40, lengths)
    assert steady.compare(make_stretch([1.0] * 40, lengths))[1] < 0.1  # tokens have nothing to do with it
    partly = make_stretch([0.01 * n for n in lengths[:-1]] + [1.0], [*lengths[:-1], None])
    assert partly.compare(short)[1] > 0.3  # one that is not known makes the others useless
