"""The judge itself: each invariant finds what it is there for, in a history that was tampered with."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
from history import StoredAnswer
from invariants import INVARIANTS, judge
from simulate import simulate
from worlds import MemberSpec, ServerSpec, Start, Stop, World

SERVER = ServerSpec("s", {"latency": 1.0, "spread": 0.0, "capacity": 100, "tokens": 10.0})
MEMBER = MemberSpec("a", 0, limits={"concurrency": 4, "timeout": 30.0})
START = Start((MEMBER,), tuple(range(12)), 1)


def make_world(start=START, *later, texts=12, server=SERVER):
    return World(0, (server,), tuple(f"row {number}" for number in range(texts)), (start, *later))


def change_member(**changes):
    return make_world(replace(START, members=(replace(MEMBER, **changes),)))


PLAIN = make_world()
TWICE = make_world(START, START)
LIMITED = change_member(limits={"concurrency": 4, "rpm": 6, "tpm": 200, "timeout": 30.0}, max_tokens=10)
STOPPED = make_world(replace(START, stop=Stop(at=1.5)))
FAILING = change_member(call_faults={"server": 0.3, "cut": 0.3}, limits={"concurrency": 4, "attempts": 3})
REFUSING = change_member(row_faults={"bad-request": 0.3})
WAITING = change_member(call_faults={"rate-wait": 0.3})
KEYLESS = change_member(lasting=("auth", 1.5))
OUTAGE = make_world(
    replace(START, rows=tuple(range(80))),
    texts=80,
    server=replace(SERVER, script=SERVER.script | {"outages": [(1.5, 200.0, "down")]}),
)
BUDGET = make_world(
    replace(START, members=(replace(MEMBER, max_tokens=10),), budget={"max_tokens": 400, "max_time": 100.0})
)
PAIR = make_world(replace(START, members=(replace(MEMBER, fallback="b"), replace(MEMBER, name="b")), samples=2))
PICKY = change_member(row_faults={"bad-request": 0.3}, stop_when={"failed": 100})


def find(history, **wanted):
    return next(call for call in history.calls if all(getattr(call, name) == it for name, it in wanted.items()))


def repeat(history, call, *, after=0.5, **changes):
    """One more call like ``call``, some seconds behind all others."""
    moment = max([history.starts[-1].ended, *(each.ended for each in history.calls)])
    at = call.ended_at + after
    copy = replace(call, sent=moment + 1, ended=moment + 2, sent_at=at, ended_at=at + 0.1, **changes)
    history.calls.append(copy)


def set_cell(history, number, **changes):
    cells = history.starts[-1].cells
    place = list(cells)[number]
    cells[place] = replace(cells[place], **changes)


def lose_cell(history):
    history.starts[-1].cells.popitem()


def swap_answers(history):
    first, second = list(history.starts[-1].cells.values())[:2]
    set_cell(history, 0, answer=second.answer)
    set_cell(history, 1, answer=first.answer)


def share_answer(history):
    set_cell(history, 1, answer=next(iter(history.starts[-1].cells.values())).answer)


def lose_answer(history):
    history.starts[-1].answers.popitem()


def store_another(history):
    history.starts[-1].answers[99] = StoredAnswer(10_000, "a", (1, 1))


def ask_again(history):
    repeat(history, find(history, end="answered"))


def ask_again_in_the_second_start(history):
    repeat(history, find(history, end="answered"), start=1)


def fly_together(history):
    for call in history.calls:
        call.sent, call.sent_at = min(each.sent for each in history.calls), 0.0


def rush(history):
    for call in history.calls:
        call.sent_at = call.ended_at = 0.0


def use_much(history):
    history.calls[0].usage = (500, 500)


def cut_wait_short(history):
    call = find(history, cause="rate_limit")
    following = next(each for each in history.calls if each.sent > call.ended)
    following.sent_at = call.ended_at + 2.0


def fail_often(history):
    call = find(history, cause="server")
    for _ in range(3):
        repeat(history, call)


def retry_at_once(history):
    call = find(history, cause="server")
    for _ in range(100):
        repeat(history, call, after=0.0)


def bill_often(history):
    call = find(history, maybe_billed=True)
    for _ in range(2):
        repeat(history, call, cause="overloaded")


def ask_refused_again(history):
    repeat(history, find(history, cause="bad_request"))


def ask_without_key(history):
    repeat(history, find(history, cause="auth"))


def go_on_without_key(history):
    history.starts[-1].progress["a"]["stopped"] = ""


def hammer(history):
    call = find(history, cause="transport")
    for _ in range(300):
        repeat(history, call)


def overspend(history):
    history.calls[0].usage = (500, 500)


def go_on_for_long(history):
    repeat(history, history.calls[0], after=200.0)


def send_after_stop(history):
    repeat(history, history.calls[0])


def linger(history):
    history.starts[-1].ended_at += 1000.0


def claim_limit(history):
    history.starts[-1].limit = "5 cells failed: `stop_when: {failed: 5}`"


def claim_stop_when(history):
    history.starts[-1].progress["a"]["stopped"] = "5 cells failed: `stop_when: {failed: 5}`"


def claim_unreached(history):
    history.starts[-1].progress["a"]["stopped"] = "its server was never reached: no"


def claim_stall(history):
    history.starts[-1].progress["a"]["stopped"] = "nothing was answered for 600 s"


def claim_named_wait(history):
    history.starts[-1].progress["a"]["stopped"] = "slow down; it asks to wait 1 s"


def miscount(history):
    history.starts[-1].progress["a"]["requests"] += 1


def misbill(history):
    history.starts[-1].progress["a"]["maybe_billed"] += 1


def lose_outcome(history):
    set_cell(history, 0, status="failed", cause="server", outputs=None, answer=None, message="no")


def spin(history):
    history.starts[-1].callbacks += 100_000


def crash(history):
    history.starts[-1].crash = "DeadlockError: deadlock"


def ignore_threshold(history):
    history.starts[-1].progress["a"]["failed"] = {"bad_request": 100}
    history.starts[-1].progress["a"]["done"] = 0


CASES = [
    (PLAIN, lose_cell, "check_states"),
    (PLAIN, lambda history: set_cell(history, 0, cause="server"), "check_states"),
    (PLAIN, lambda history: history.starts[0].assigned.popitem(), "check_states"),
    (PLAIN, swap_answers, "check_outcomes"),
    (PLAIN, lambda history: set_cell(history, 0, outputs={"said": "row 5 read by 1"}), "check_outcomes"),
    (PLAIN, lose_outcome, "check_outcomes"),
    (PLAIN, share_answer, "check_one_answer_one_cell"),
    (PAIR, lambda history: set_cell(history, 0, answered_by="b"), "check_fallbacks"),
    (PAIR, lambda history: set_cell(history, 1, answered_by="a"), "check_fallbacks"),
    (PLAIN, lose_answer, "check_answers_kept"),
    (PLAIN, store_another, "check_answers_kept"),
    (PLAIN, use_much, "check_answers_kept"),
    (PLAIN, ask_again, "check_no_repeats"),
    (TWICE, ask_again_in_the_second_start, "check_no_repeats"),
    (PLAIN, fly_together, "check_in_flight"),
    (LIMITED, rush, "check_request_rate"),
    (LIMITED, use_much, "check_token_rate"),
    (WAITING, cut_wait_short, "check_named_waits"),
    (FAILING, fail_often, "check_attempts"),
    (FAILING, bill_often, "check_attempts"),
    (FAILING, retry_at_once, "check_retry_budget"),
    (REFUSING, ask_refused_again, "check_final_failures"),
    (KEYLESS, ask_without_key, "check_hopeless_members"),
    (KEYLESS, go_on_without_key, "check_hopeless_members"),
    (OUTAGE, hammer, "check_outages"),
    (BUDGET, overspend, "check_budget"),
    (BUDGET, go_on_for_long, "check_budget"),
    (BUDGET, linger, "check_budget"),
    (STOPPED, send_after_stop, "check_stop"),
    (STOPPED, linger, "check_stop"),
    (PLAIN, claim_limit, "check_stop_when"),
    (PLAIN, claim_stop_when, "check_stop_when"),
    (PICKY, ignore_threshold, "check_stop_when"),
    (PLAIN, claim_unreached, "check_reasons"),
    (PLAIN, claim_stall, "check_reasons"),
    (PLAIN, claim_named_wait, "check_reasons"),
    (PLAIN, miscount, "check_accounts"),
    (PLAIN, misbill, "check_accounts"),
    (PLAIN, lambda history: set_cell(history, 0, attempts=7), "check_attempt_counts"),
    (PLAIN, lose_outcome, "check_healthy_members"),
    (PLAIN, spin, "check_idle"),
    (PLAIN, crash, "check_end"),
]


@pytest.fixture(scope="module")
def live(watchdog):
    """The history of a world, made once."""
    known = {}

    def live(world):
        if id(world) not in known:
            known[id(world)] = simulate(world, watchdog)
        return deepcopy(known[id(world)])

    return live


@pytest.mark.parametrize(("world", "tamper", "name"), CASES, ids=[f"{name}-{n}" for n, (*_, name) in enumerate(CASES)])
def test_an_invariant_finds_what_it_is_there_for(world, tamper, name, live):
    history = live(world)
    assert judge(history) == []
    tamper(history)
    assert name in {problem.split(": ")[1] for problem in judge(history)}


def test_every_invariant_has_such_a_case():
    assert {check.__name__ for check in INVARIANTS} | {"check_end"} == {name for *_, name in CASES}
