"""The judge of the faults: what is right, what is wrong and why, without any server."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fault_judge import Expectation, Seen, SeenRow, Verdict, judge, make_answer
from faults import is_blurred

FAILED = SeenRow("failed", error="APIError: no")
GOOD = {row: SeenRow("ok", make_answer(row)) for row in range(3)}
#: Three rows, of which row 1 has the fault and was asked twice.
SEEN = Seen(None, {1: (0.0, 1.0)}, GOOD | {1: FAILED}, frozenset({1}), count=3)
EXPECTED = Expectation(2, 3)


def end(row):
    return replace(SEEN, rows=GOOD | {1: row})


def ask(*times):
    return replace(SEEN, requests={1: times})


def test_what_is_right():
    assert judge(EXPECTED, SEEN) == Verdict("right", 2)


def test_a_row_that_is_gone_has_failed():
    assert judge(EXPECTED, replace(SEEN, rows={row: GOOD[row] for row in (0, 2)})) == Verdict("right", 2)


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (replace(SEEN, killed_after=60.0), "does not end within 60 s"),
        (replace(SEEN, requests={0: (0.0,)}), "no request arrives"),
        (ask(0.0), "fewer than 2 requests for one row"),
        (ask(0.0, 1.0, 2.0, 3.0), "more than 3 requests for one row"),
        (ask(0.0, 0.1, 0.29), "asks again without a wait"),
        (replace(SEEN, rows={1: FAILED}, crash="Boom: a\n  b"), "2 of 2 good rows are lost (Boom: a b)"),
        (replace(SEEN, rows=GOOD | {1: FAILED, 2: FAILED}), "1 of 2 good rows are lost"),
        (replace(SEEN, rows=GOOD | {1: FAILED, 2: GOOD[0]}), "1 of 2 good rows are lost"),
        (replace(SEEN, strayed=1), "the prompt goes to another server"),
        (replace(SEEN, leaks=("its file log.txt",)), "the key is in its file log.txt"),
        (end(SeenRow("failed", error="TypeError: '>=' not supported")), "ends in a bare TypeError"),
        (replace(SEEN, rows={0: GOOD[0], 2: GOOD[2]}, crash="KeyError: 'usage'"), "ends in a bare KeyError"),
        (end(SeenRow("failed", error="AssertionError()")), "ends in a bare AssertionError"),
        (end(SeenRow("ok", "")), "'' is taken for an answer"),
        (end(SeenRow("ok", "a page of a portal that is long")), "'a page of a porta...' is taken for an answer"),
    ],
)
def test_what_is_wrong(seen, reason):
    verdict = judge(EXPECTED, seen)
    assert (verdict.kind, verdict.reasons) == ("wrong", (reason,))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (SeenRow("ok", None), "handed on as None"),
        (SeenRow("ok", "half", mark="`finish_reason: length`"), "handed on with `finish_reason: length`"),
    ],
)
def test_what_is_left_to_the_caller(row, reason):
    assert judge(EXPECTED, end(row)) == Verdict("caller", 2, (reason,))
    wrong = judge(EXPECTED, replace(end(row), strayed=1))
    assert wrong == Verdict("wrong", 2, ("the prompt goes to another server",))


@pytest.mark.parametrize(
    ("seen", "reasons"),
    [
        (replace(SEEN, rows=GOOD), ()),
        (replace(SEEN, rows=GOOD, requests={1: (0.0, 0.96)}), ()),
        (replace(SEEN, rows=GOOD, requests={1: (0.0, 0.5)}), ("asks again after 0.5 s, not after 1 s",)),
        (SEEN, ("no answer in the end (APIError: no)",)),
        (replace(SEEN, rows={0: GOOD[0], 2: GOOD[2]}), ("no answer in the end (the row is gone)",)),
        (end(SeenRow("ok", "other")), ("'other' is taken for the answer",)),
    ],
)
def test_a_row_that_must_be_good_in_the_end(seen, reasons):
    assert judge(Expectation(2, 2, "ok", wait=1.0), seen).reasons == reasons


def test_either_end_can_be_right():
    either = Expectation(1, 2, "any", may_stray=True)
    for row in (FAILED, SeenRow("ok", "anything")):
        assert judge(either, replace(end(row), strayed=1)) == Verdict("right", 2)


def test_every_row_counts_where_every_row_has_the_fault():
    rows = dict.fromkeys(range(3), FAILED)
    seen = Seen(None, {0: (0.0,), 2: (0.0, 1.0)}, rows, frozenset(range(3)), count=3)
    assert judge(Expectation(0, 2), seen) == Verdict("right", 2)
    assert judge(Expectation(0, 1), seen).reasons == ("more than 1 request for one row",)


def test_waits_that_a_busy_machine_may_have_made_are_looked_at_again():
    assert not is_blurred(ask(0.0, 0.5))
    assert not is_blurred(ask(0.0, 0.1, 0.29))
    assert is_blurred(ask(0.0, 0.1, 0.4))
    assert not is_blurred(ask(0.0, 0.5, 1.5))
