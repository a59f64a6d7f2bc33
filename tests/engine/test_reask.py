"""Asking again when an answer gives nothing: every answer is kept, and none is bought twice."""

from __future__ import annotations

from collections import Counter

import pytest

from pool_core.interfaces.values import Answer, Cause
from pool_core.store.store import Store
from pool_core.testing.scripted import EchoConfig, EchoTask, ScriptedBackend


def get_texts(request):
    return [(message.role, message.content) for message in request.prompt.messages]


@pytest.fixture
def run(make_member, run_members, tmp_path):
    """Run one member whose task cannot read ``bad``; returns its summary, its backend, and the answers that it paid."""

    def run(script, *, rows=1, reask=None, fail_on="bad", steer=None):
        backend = ScriptedBackend(script, model="a")
        member = make_member("a", backend, task=EchoTask(EchoConfig(fail_on=fail_on)), concurrency=1)
        summary = run_members([member.model_copy(update={"reask": reask})], rows, steer=steer)
        with Store.read(tmp_path / "run") as store:
            paid = sum(spent.answers for spent in store.read_spent().values())
        return summary.members[0], backend, paid

    return run


def make_reask(**keys):
    from pool_core.recipe.models import Reask

    return Reask(**keys)


def test_without_the_option_an_answer_that_cannot_be_read_fails_its_cell(run):
    member, backend, paid = run(lambda _: "bad")
    assert (member.failed, len(backend.requests), paid) == ({"parse": 1}, 1, 1)


def test_the_model_is_shown_its_answer_and_what_was_wrong_with_it(run, read_run):
    said = ["good", "bad once", "bad"]
    member, backend, paid = run(lambda _: said.pop(), reask=make_reask(times=2))
    assert (member.ok, member.reasks, member.requests, paid) == (1, 2, 3, 3)
    first, second, third = map(get_texts, backend.requests)
    assert first == [("user", "row 0")]
    assert second == [
        *first,
        ("assistant", "bad"),
        ("user", "That answer cannot be read: the answer holds 'bad'\nAnswer again, in the form that was asked for."),
    ]
    assert third[:3] == second
    assert third[3] == ("assistant", "bad once")
    assert read_run()["0", "a", 0]["said"] == "good"


def test_the_error_need_not_be_shown(run):
    said = ["good", "bad"]
    _, backend, _ = run(lambda _: said.pop(), reask=make_reask(show_error=False))
    assert [get_texts(request) for request in backend.requests] == [[("user", "row 0")]] * 2


def test_the_number_of_reasks_is_bounded_and_each_answer_is_kept(run):
    member, backend, paid = run(lambda _: "bad", rows=3, reask=make_reask(times=2))
    assert (member.failed, len(backend.requests), paid) == ({"parse": 3}, 9, 9)


def test_an_empty_answer_is_asked_again_once(run):
    said = {0: [Answer("", "stop"), "fine"], 1: [Answer(None, "stop"), Answer("", "stop"), "never"]}
    member, backend, paid = run(lambda request: said[int(get_texts(request)[0][1][4:])].pop(0), rows=2)
    assert (member.ok, member.failed, member.requests, paid) == (1, {"empty": 1}, 4, 4)
    assert {len(get_texts(request)) for request in backend.requests} == {1}


@pytest.mark.parametrize("finish_reason", ["length", "content_filter"])
def test_what_was_cut_or_withheld_is_not_asked_again(finish_reason, run):
    member, backend, _ = run(lambda _: Answer("half", finish_reason), reask=make_reask(times=5))
    assert len(backend.requests) == 1
    assert set(member.failed) <= {Cause.TRUNCATED.value, Cause.CONTENT_FILTER.value}


def test_a_run_that_was_stopped_between_two_requests_of_a_cell_buys_none_twice(run, tmp_path):
    """The first answer is in the store without a cell; the next start reads it and asks only the second time."""
    stop = []

    async def steer(engine):
        stop.append(engine)

    def bad_then_stop(_request):
        stop[0].stop()
        return "bad"

    member, backend, paid = run(bad_then_stop, reask=make_reask(times=1), steer=steer)
    assert (member.pending, len(backend.requests), paid) == (1, 1, 1)
    member, backend, paid = run(lambda _: "good", reask=make_reask(times=1))
    assert (member.ok, len(backend.requests), paid) == (1, 1, 2)
    assert len(get_texts(backend.requests[0])) == 3  # it is the re-ask, with the stored answer and its error


def test_a_better_parser_reads_the_first_answer_and_asks_nothing(run):
    run(lambda _: "bad", rows=4, reask=make_reask(times=1))
    member, backend, paid = run(lambda _: "bad", rows=4, reask=make_reask(times=1), fail_on="")
    assert (member.ok, len(backend.requests), paid) == (4, 0, 8)


def test_more_reasks_than_before_ask_only_the_difference(run):
    run(lambda _: "bad", rows=4, reask=make_reask(times=1))
    member, backend, paid = run(lambda _: "good", rows=4, reask=make_reask(times=2))
    assert (member.ok, len(backend.requests), paid) == (4, 4, 12)
    assert Counter(len(get_texts(request)) for request in backend.requests) == {5: 4}
