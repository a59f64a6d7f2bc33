"""A fallback takes cells over whose calls fail, and each cell says who answered."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from pydantic import ValidationError

from pool_core.errors import BackendError, ParseError
from pool_core.interfaces.values import Cause
from pool_core.recipe.models import Member, PoolSpec
from pool_core.store.store import Store
from pool_core.testing.scripted import EchoTask, ScriptedBackend


def get_text(request) -> str:
    return request.prompt.messages[-1].content


@pytest.fixture
def make_pair(make_member):
    """Two members, ``a`` with the fallback ``b``."""

    def make(a, b, *, task=None, **limits):
        first = make_member("a", a, task=task, **limits)
        return [first.model_copy(update={"fallback": "b"}), make_member("b", b)]

    return make


def fail_on(*texts, cause=Cause.SERVER, **options):
    def answer(request):
        return BackendError(cause, "broken", **options) if get_text(request) in texts else f"a: {get_text(request)}"

    return answer


def answer_as_b(request):
    return f"b: {get_text(request)}"


def read_said(read_run, name="a"):
    return {row: cell["said"] for (row, member, _), cell in read_run().items() if member == name}


@pytest.mark.parametrize(
    "cause",
    [Cause.TRANSPORT, Cause.TIMEOUT, Cause.OVERLOADED, Cause.SERVER, Cause.BAD_REPLY, Cause.BAD_REQUEST,
     Cause.CONTEXT_LENGTH],
)  # fmt: skip
def test_a_cell_whose_calls_fail_is_taken_over(cause, make_pair, run_members, read_run):
    members = make_pair(fail_on("row 1", cause=cause), answer_as_b, attempts=2)
    summary = run_members(members, 3)
    a, b = summary.members
    assert summary.status == "complete"
    assert (a.ok, a.taken_over, b.ok, b.taken_over) == (3, 1, 3, 0)
    assert read_said(read_run) == {"0": "a: row 0", "1": "b: row 1", "2": "a: row 2"}
    cells = read_run()
    assert [cells[row, "a", 0]["answered_by"] for row in "012"] == [None, "b", None]
    assert [cells[row, "a", 0]["model"] for row in "012"] == ["a", "b", "a"]


@pytest.mark.parametrize("cause", [Cause.REFUSAL, Cause.CONTENT_FILTER, Cause.PLUGIN])
def test_other_failures_are_the_members_own(cause, make_pair, run_members, read_run):
    summary = run_members(make_pair(fail_on("row 1", cause=cause), answer_as_b), 3)
    assert summary.members[0].failed == {cause.value: 1}
    assert read_run()["1", "a", 0]["answered_by"] is None


def test_an_answer_that_cannot_be_read_is_not_taken_over(make_pair, run_members):
    class Strict(EchoTask):
        def parse(self, answer, row):
            raise ParseError("no")

    summary = run_members(make_pair(fail_on(), answer_as_b, task=Strict()), 3)
    assert summary.members[0].failed == {"parse": 3}


@pytest.mark.parametrize("cause", [Cause.AUTH, Cause.QUOTA_EXHAUSTED])
def test_a_member_that_is_stopped_leaves_all_its_cells_to_its_fallback(cause, make_pair, run_members, read_run):
    dead = ScriptedBackend(lambda _: BackendError(cause, "no"), model="a")
    summary = run_members(make_pair(dead, answer_as_b), 2000)
    a, b = summary.members
    assert summary.status == "complete"
    assert (a.ok, a.taken_over, a.stopped, b.ok) == (2000, 2000, "no", 2000)
    assert len(dead.requests) <= 32
    assert set(read_said(read_run).values()) == {f"b: row {n}" for n in range(2000)}


def test_a_backend_that_does_not_open_leaves_all_its_cells_to_its_fallback(make_pair, run_members):
    class Closed(ScriptedBackend):
        async def open(self):
            raise BackendError(Cause.AUTH, "no key")

    summary = run_members(make_pair(Closed(answer_as_b, "a"), answer_as_b), 10)
    assert (summary.status, summary.members[0].taken_over) == ("complete", 10)


def test_an_outage_is_taken_over_once_the_member_gives_up(make_pair, run_members):
    async def answer(request):
        await asyncio.sleep(1)
        return BackendError(Cause.SERVER, "down")

    summary = run_members(make_pair(answer, answer_as_b, max_stall=60, concurrency=4), 500)
    assert (summary.status, summary.members[0].taken_over) == ("complete", 500)


def test_where_both_fail_the_cell_fails_with_the_fallbacks_words(make_pair, run_members, read_run):
    def refuse(request):
        if get_text(request) == "row 1":
            return BackendError(Cause.BAD_REQUEST, "not here either")
        return answer_as_b(request)

    run_members(make_pair(fail_on("row 1", cause=Cause.BAD_REQUEST), refuse), 3)
    cell = read_run()["1", "a", 0]
    assert (cell["status"], cell["message"], cell["answered_by"]) == ("failed", "not here either", "b")


def test_where_both_are_stopped_the_rest_stays_pending(make_pair, run_members):
    dead = ScriptedBackend(lambda _: BackendError(Cause.AUTH, "no"), model="a")
    gone = ScriptedBackend(lambda _: BackendError(Cause.AUTH, "neither"), model="b")
    a, b = run_members(make_pair(dead, gone), 600).members
    assert (a.stopped, b.stopped) == ("no", "neither")
    assert a.pending + sum(a.failed.values()) == 600
    assert b.pending + sum(b.failed.values()) == 600


def test_a_chain_of_fallbacks(make_member, run_members, read_run):
    def refuse(request):
        return BackendError(Cause.AUTH, "no")

    members = [
        make_member("a", refuse).model_copy(update={"fallback": "b"}),
        make_member("b", refuse).model_copy(update={"fallback": "c"}),
        make_member("c", lambda request: f"c: {get_text(request)}"),
    ]
    summary = run_members(members, 700)
    assert summary.status == "complete"
    assert Counter(cell["answered_by"] for cell in read_run().values()) == {None: 700, "c": 1400}


def test_what_a_fallback_answered_stays_though_nothing_is_known_of_the_members_and_the_first_works_again(
    make_pair, run_members, read_run, tmp_path
):
    """Objects from Python have no fingerprint: each request is made again, and its answer is found in the store."""

    def run(a, rows=3):
        backends = [ScriptedBackend(a, model="a"), ScriptedBackend(answer_as_b, model="b")]
        summary = run_members(make_pair(*backends), rows)
        return summary, [len(backend.requests) for backend in backends]

    assert run(fail_on("row 1", cause=Cause.BAD_REQUEST))[1] == [3, 4]
    before = read_run()
    for script in (fail_on("row 1", cause=Cause.BAD_REQUEST), fail_on()):
        summary, counts = run(script)
        assert (summary.status, counts) == ("complete", [0, 0])
        assert read_run() == before
    with Store.read(tmp_path / "run") as store:
        assert sum(spent.answers for spent in store.read_spent().values()) == 6


def test_where_the_fallback_would_be_asked_something_else_the_member_is_asked_first(make_pair, run_members, read_run):
    def run(rows):
        return run_members(make_pair(fail_on("row 1", cause=Cause.BAD_REQUEST), answer_as_b), rows)

    run(["row 0", "row 1"])
    summary = run(["row 0", "row 1 mended"])
    assert summary.members[0].taken_over == 0
    assert read_said(read_run) == {"0": "a: row 0", "1": "a: row 1 mended"}


def test_stopping_the_run_ends_those_who_wait_to_hand_over(make_pair, run_members):
    async def slow(request):
        await asyncio.sleep(10)
        return answer_as_b(request)

    async def steer(engine):
        await asyncio.sleep(25)
        engine.stop()

    dead = ScriptedBackend(lambda _: BackendError(Cause.AUTH, "no"), model="a")
    summary = run_members(make_pair(dead, slow), 5000, steer=steer)
    assert summary.status == "interrupted"


BASE = {"backend": ScriptedBackend(lambda _: ""), "task": EchoTask()}


@pytest.mark.parametrize(
    ("fallbacks", "problem"),
    [
        ({"a": "x"}, "the fallback of 'a' is 'x', and no member has that name"),
        ({"a": "a"}, "'a' is its own fallback; name another member"),
        ({"a": "b", "b": "a"}, "fallbacks go round in a circle: a -> b -> a"),
        ({"a": "b", "b": "c", "c": "b"}, "fallbacks go round in a circle: a -> b -> c -> b"),
    ],
)
def test_wrong_fallbacks_are_refused(fallbacks, problem):
    members = tuple(Member(name=name, fallback=fallbacks.get(name), **BASE) for name in "abc")
    with pytest.raises(ValidationError, match=problem):
        PoolSpec(members=members)
