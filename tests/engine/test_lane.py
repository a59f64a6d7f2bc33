"""A lane: what it does with each failure, in which order it asks again, and what a broken plugin costs."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import Counter, defaultdict
from typing import Any

import pytest
from pydantic import BaseModel

from pool_core.errors import BackendError, ParseError
from pool_core.interfaces.batch_backend import BatchBackend
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.values import Answer, Cause, Usage
from pool_core.testing.scripted import EchoTask, ScriptedBackend


def now() -> float:
    return asyncio.get_running_loop().time()


def get_text(request) -> str:
    return request.prompt.messages[-1].content


class Failing:
    """A script: fails the first calls of each row as told, then answers. Keeps when each row was asked."""

    def __init__(self, errors: dict[str, list[BaseException]], *, seconds: float = 0):
        self.errors = {text: list(found) for text, found in errors.items()}
        self.asked: dict[str, list[float]] = defaultdict(list)
        self.order: list[str] = []
        self.seconds = seconds

    async def __call__(self, request):
        text = get_text(request)
        self.asked[text].append(now())
        self.order.append(text)
        await asyncio.sleep(self.seconds)
        left = self.errors.get(text, [])
        return left.pop(0) if left else f"answer to {text}"


def fail(cause: Cause = Cause.SERVER, times: int = 1, **options: Any) -> list[BaseException]:
    return [BackendError(cause, f"failed with {cause}", **options) for _ in range(times)]


def count_ends(read_run) -> Counter[str]:
    return Counter(str(generation["cause"] or generation["status"]) for generation in read_run().values())


# Asking again


@pytest.mark.parametrize("cause", [Cause.TRANSPORT, Cause.TIMEOUT, Cause.OVERLOADED, Cause.SERVER])
def test_a_failure_in_passing_is_asked_again_as_often_as_attempts_says(cause, make_member, run_members, read_run):
    script = Failing({"row 0": fail(cause, 2), "row 1": fail(cause, 3), "row 3": fail(cause, 99)})
    script.errors["row 2"] = []
    summary = run_members([make_member("a", script, attempts=3, concurrency=1)], 4)
    assert [len(script.asked[f"row {number}"]) for number in range(4)] == [3, 3, 1, 3]
    found = read_run()
    assert [found[str(n), "a", 0]["status"] for n in range(4)] == ["ok", "failed", "ok", "failed"]
    assert found["1", "a", 0]["message"] == f"failed with {cause}"
    assert found["1", "a", 0]["cause"] == cause.value
    member = summary.members[0]
    assert (summary.status, member.requests, member.retries) == ("partial", 10, 6)


@pytest.mark.parametrize(
    "cause",
    [Cause.BAD_REQUEST, Cause.CONTEXT_LENGTH, Cause.CONTENT_FILTER, Cause.REFUSAL, Cause.EMPTY, Cause.PLUGIN],
)
def test_other_failures_are_asked_once(cause, make_member, run_members, read_run):
    script = Failing({"row 1": fail(cause, 99)})
    summary = run_members([make_member("a", script)], 3)
    assert {text: len(times) for text, times in script.asked.items()} == {"row 0": 1, "row 1": 1, "row 2": 1}
    assert count_ends(read_run) == {"ok": 2, cause.value: 1}
    assert (summary.status, summary.members[0].stopped) == ("partial", "")


def test_cells_whose_wait_is_over_come_before_new_ones(make_member, run_members):
    script = Failing({f"row {n}": fail(retry_after=wait) for n, wait in [(0, 25.0), (1, 15.0)]}, seconds=10)
    run_members([make_member("a", script, concurrency=1)], 6)
    # asked at 0 and 10; row 0 waits from 10 to about 35, row 1 from 20 to about 35, in their own order
    assert script.order[:4] == ["row 0", "row 1", "row 2", "row 3"]
    assert sorted(script.order[4:6]) == ["row 0", "row 1"]
    assert script.order[6:] == ["row 4", "row 5"]


def test_a_cell_that_waits_holds_no_worker(make_member, run_members):
    errors = {f"row {n}": fail(retry_after=500.0) for n in range(1, 80, 2)}
    script = Failing(errors, seconds=1)
    run_members([make_member("a", script, concurrency=2)], 100)
    others = [times for text, times in script.asked.items() if text not in errors]
    # 100 first requests by two workers, one second each: 50 s, as if none had failed
    assert max(max(times) for times in others) <= 50
    assert all(times[1] >= 500 for text, times in script.asked.items() if text in errors)


def test_the_number_of_cells_that_wait_is_bounded(make_member, run_members):
    waiting = {f"row {n}": fail(retry_after=100.0) for n in range(1, 600, 2)}
    script = Failing(waiting)
    summary = run_members([make_member("a", script, concurrency=4)], 600)
    assert summary.status == "complete"
    before = [text for text in waiting if script.asked[text][0] < 100]
    assert 64 <= len(before) <= 64 + 4


def test_all_workers_go_on_once_fewer_cells_wait(make_member, run_members):
    """With as many waiting as may wait, the workers rest; the first one back must wake them all."""
    waits = [10.0] + [10_000.0] * 63
    errors: dict[str, list[BaseException]] = {
        f"row {2 * n + 1}": fail(retry_after=wait) for n, wait in enumerate(waits)
    }
    script = Failing(errors)

    async def answer(request):
        if script.asked[get_text(request)] or get_text(request) not in errors:
            await asyncio.sleep(1)
        return await script(request)

    backend = ScriptedBackend(answer)
    peak_later = 0

    async def steer(_engine):
        nonlocal peak_later
        await asyncio.sleep(30)
        peak_later = backend.in_flight

    member = make_member("a", backend, concurrency=8, max_wait=20_000, deadline=20_000)
    summary = run_members([member], 400, steer=steer)
    assert summary.status == "complete"
    assert peak_later == 8
    assert sum(times[0] < 100 for times in script.asked.values()) == 400


def test_a_named_wait_is_a_lower_bound(make_member, run_members):
    script = Failing({"row 0": fail(retry_after=42.0)})
    run_members([make_member("a", script)], 1)
    assert 42 <= script.asked["row 0"][1] <= 42 * 1.1 + 0.05


# Rate limits


def test_a_rate_limit_pauses_the_quota_and_uses_up_no_attempts(make_member, run_members):
    errors = fail(Cause.RATE_LIMIT, 5, retry_after=10.0) + fail(Cause.SERVER, 1)
    script = Failing({"row 3": errors}, seconds=1)
    summary = run_members([make_member("a", script, concurrency=1, attempts=2)], 10)
    assert summary.status == "complete"
    assert len(script.asked["row 3"]) == 7
    times = sorted(time for times in script.asked.values() for time in times)
    pauses = [later - earlier for earlier, later in itertools.pairwise(times) if later - earlier > 1.5]
    assert len(pauses) == 5
    assert all(11 <= pause <= 12.1 for pause in pauses)


@pytest.mark.parametrize("limits", [{}, {"max_wait": 15.0}, {"deadline": 12.0}])
def test_nothing_is_sent_within_a_wait_that_the_server_names(limits, make_member, run_members):
    """Neither by those who waited for the place of the call that was refused, nor where its cell gives up."""
    script = Failing({"row 0": fail(Cause.RATE_LIMIT, 4, retry_after=10.0)}, seconds=1)
    run_members([make_member(name, script, quota="shared", concurrency=2, **limits) for name in "ab"], 20)
    times = sorted(time for times in script.asked.values() for time in times)
    for refused in (at + 1 for at in script.asked["row 0"][:4]):
        assert not [time for time in times if refused <= time < refused + 10]


def test_a_cell_waits_for_rate_limits_no_longer_than_max_wait(make_member, run_members, read_run):
    script = Failing({"row 0": fail(Cause.RATE_LIMIT, 99, retry_after=40.0)})
    summary = run_members([make_member("a", script, max_wait=100)], 2)
    assert len(script.asked["row 0"]) == 3
    assert script.asked["row 0"][-1] <= 100
    found = read_run()["0", "a", 0]
    assert found["cause"] == "rate_limit"
    assert found["message"].startswith("failed with rate_limit; it would have waited 12")
    assert found["message"].endswith(" s, more than `limits: {max_wait: 100}`")
    assert summary.members[0].failed == {"rate_limit": 1}


@pytest.mark.parametrize("cause", [Cause.RATE_LIMIT, Cause.OVERLOADED])
@pytest.mark.parametrize("retry_after", [86_400.0, math.inf])
def test_a_server_that_asks_for_more_than_max_wait_holds_nothing_up(
    cause, retry_after, make_member, run_members, read_run
):
    error = BackendError(cause, "closed", retry_after=retry_after, where="host", hint="come back")
    script = Failing({"row 0": [error]})
    ended = []

    async def steer(engine):
        await engine._task
        ended.append(now())

    summary = run_members([make_member("a", script, max_wait=600)], 2, steer=steer)
    assert ended[0] <= 2
    message = read_run()["0", "a", 0]["message"]
    head, hint = message.split("\n")
    span = "24 h" if retry_after == 86_400 else "for ever"
    assert head == (
        f"host: closed; it asks to wait {span}, more than `limits: {{max_wait: 600}}`; what is left can be asked then, "
        "by the same command"
    )
    assert hint == "  come back"
    assert summary.members[0].stopped == message


def test_a_wait_that_no_server_names_may_be_longer_than_max_wait(make_member, run_members):
    """``max_wait`` bounds what servers ask for; a member that never waits for them still asks again."""
    script = Failing({"row 0": fail(Cause.SERVER, 2)})
    assert run_members([make_member("a", script, max_wait=0)], 1).status == "complete"


@pytest.mark.parametrize("retry_after", [0.0, 0.5, 5.0])
@pytest.mark.parametrize("cause", [Cause.RATE_LIMIT, Cause.OVERLOADED])
def test_a_server_that_asks_for_no_more_than_max_wait_stops_nobody(
    cause, retry_after, make_member, run_members, read_run
):
    """What a call waits on top, of its own accord, is not what the server asks for."""
    script = Failing({f"row {number}": fail(cause, 1, retry_after=retry_after) for number in range(20)})
    member = make_member("a", script, concurrency=1, max_wait=max(5.0, retry_after))
    assert run_members([member], 20).status == "complete"
    script = Failing({"row 0": fail(Cause.RATE_LIMIT, 99, retry_after=retry_after)})
    (member,) = run_members([make_member("a", script, max_wait=5)], 2, run_dir="long").members
    assert (member.stopped, member.ok, member.failed) == ("", 1, {"rate_limit": 1})


def test_the_last_attempt_is_told_to_wait_for_long_like_any_other(make_member, run_members):
    script = Failing({"row 0": fail(Cause.OVERLOADED, 1, retry_after=86_400.0)})
    (member,) = run_members([make_member("a", script, concurrency=1, attempts=1)], 5).members
    assert member.stopped.startswith("failed with overloaded; it asks to wait 24 h")
    assert (member.requests, member.pending) == (1, 4)


@pytest.mark.parametrize("retry_after", [0, -30, math.nan, 0.001])
def test_a_rate_limit_that_says_at_once_is_not_asked_without_end(retry_after, make_member, run_members, read_run):
    script = Failing({"row 0": fail(Cause.RATE_LIMIT, 100_000, retry_after=retry_after)})
    run_members([make_member("a", script, concurrency=1, max_wait=600)], 1)
    assert 20 <= len(script.asked["row 0"]) <= 200
    assert count_ends(read_run) == {"rate_limit": 1}


def test_more_than_a_thousand_waits_in_a_row_break_nothing(make_member, run_members):
    script = Failing({"row 0": fail(Cause.RATE_LIMIT, 1100, retry_after=0)})
    member = make_member("a", script, max_wait=900_000, max_stall=900_000, deadline=900_000)
    assert run_members([member], 1).status == "complete"


# Stopping a member


@pytest.mark.parametrize(
    ("cause", "options"),
    [
        (Cause.AUTH, {}),
        (Cause.QUOTA_EXHAUSTED, {}),
        (Cause.BAD_REQUEST, {"stops_member": True}),
        (Cause.TRANSPORT, {"stops_member": True}),
        (Cause.RATE_LIMIT, {"stops_member": True}),
    ],
)
def test_a_failure_that_all_calls_would_share_stops_its_member_alone(
    cause, options, make_member, run_members, read_run
):
    refused = Failing({"row 4": fail(cause, 99, hint="mend it", **options)}, seconds=1)
    other = Failing({}, seconds=1)
    summary = run_members([make_member("a", refused, concurrency=2), make_member("b", other, concurrency=2)], 20)
    a, b = summary.members
    assert summary.status == "partial"
    assert (a.stopped, b.stopped) == (f"failed with {cause}\n  mend it", "")
    assert (b.ok, b.pending) == (20, 0)
    assert (a.ok, a.failed, a.pending) == (5, {cause.value: 1}, 14)  # what was in flight has finished
    assert len(refused.asked) == 6
    assert Counter(g["status"] for (_, name, _), g in read_run().items() if name == "a") == {
        "ok": 5, "failed": 1, "pending": 14
    }  # fmt: skip


def test_a_server_that_was_never_reached_stops_its_member_whatever_its_attempts(make_member, run_members):
    dead = ScriptedBackend(lambda _: BackendError(Cause.TRANSPORT, "connection refused"))
    (member,) = run_members([make_member("a", dead, concurrency=1, attempts=2)], 500).members
    assert member.stopped == "its server was never reached: connection refused"
    assert len(dead.requests) < 100


def test_a_server_that_was_never_reached_stops_its_member(make_member, run_members):
    dead = ScriptedBackend(lambda _: BackendError(Cause.TRANSPORT, "connection refused", hint="start it"))
    summary = run_members([make_member("a", dead, concurrency=3), make_member("b", lambda _: "yes")], 500)
    a, b = summary.members
    assert a.stopped == "its server was never reached: connection refused\n  start it"
    assert len(dead.requests) <= 4 * (3 + 64 + 3)
    assert (b.ok, summary.status) == (500, "partial")
    assert a.failed["transport"] + a.pending == 500
    assert a.failed["transport"] <= 3


@pytest.mark.parametrize(
    "first",
    ["yes", BackendError(Cause.BAD_REQUEST, "no"), BackendError(Cause.RATE_LIMIT, "later"),
     BackendError(Cause.TIMEOUT, "slow", maybe_billed=True), BackendError(Cause.CONTENT_FILTER, "withheld")],
)  # fmt: skip
def test_a_server_that_was_reached_once_does_not_stop_its_member(first, make_member, run_members):
    said = [first]
    backend = ScriptedBackend(lambda _: said.pop() if said else BackendError(Cause.TRANSPORT, "connection reset"))
    (member,) = run_members([make_member("a", backend, concurrency=1)], 100).members
    # not at once, as a server that was never there: it may come back, and is given ten minutes
    assert member.stopped == (
        "nothing was answered for 600 s (`limits: {max_stall: 600}`); the last failure: connection reset"
    )
    assert 10 <= len(backend.requests) <= 60
    assert member.pending > 80


@pytest.mark.parametrize("error", [BackendError(Cause.AUTH, "no key", hint="set KEY"), OSError("no device"),
                                   SystemExit("cannot load")])  # fmt: skip
def test_a_backend_that_cannot_be_opened_stops_its_member_alone(error, make_member, run_members):
    class Closed(ScriptedBackend):
        async def open(self):
            raise error

    closed = Closed(lambda _: "yes", "closed")
    summary = run_members([make_member("a", closed), make_member("b", lambda _: "yes")], 3)
    a, b = summary.members
    expected = "no key\n  set KEY" if isinstance(error, BackendError) else (
        f"its backend cannot be opened: {type(error).__name__}: {error}"
    )  # fmt: skip
    assert a.stopped == expected
    assert (a.pending, b.ok, summary.status) == (3, 3, "partial")
    assert closed.requests == []
    assert closed.closed == 1


# Time limits


def test_a_request_has_no_more_than_its_timeout(make_member, run_members, read_run):
    async def answer(request):
        await asyncio.sleep(1000 if get_text(request) == "row 1" else 1)
        return "yes"

    backend = ScriptedBackend(answer)
    run_members([make_member("a", backend, timeout=7.5, attempts=2)], 2)
    assert [get_text(request) for request in backend.requests].count("row 1") == 2
    assert read_run()["1", "a", 0]["cause"] == "timeout"
    assert read_run()["1", "a", 0]["message"] == "no answer within 7.5 s"
    assert backend.in_flight == 0


def test_a_timeout_of_the_backends_own_keeps_its_words(make_member, run_members, read_run):
    run_members([make_member("a", lambda _: TimeoutError("no connection within 2 s"), attempts=2)], 1)
    assert read_run()["0", "a", 0]["message"] == "no connection within 2 s"
    assert read_run()["0", "a", 0]["cause"] == "timeout"


# Broken plugins cost their cell


class Odd:
    def __repr__(self):
        return "Odd()"


BROKEN = {
    "ValueError": (ValueError("bad"), "the backend ScriptedBackend broke: ValueError: bad"),
    "SystemExit": (SystemExit(3), "the backend ScriptedBackend broke: SystemExit: 3"),
    "CancelledError": (asyncio.CancelledError("gone"), "the backend ScriptedBackend broke: CancelledError: gone"),
    "ExceptionGroup": (
        ExceptionGroup("many", [OSError("x")]),
        "the backend ScriptedBackend broke: ExceptionGroup: many (1 sub-exception)",
    ),
    "cause": (
        BackendError("busy", "no room"),  # type: ignore[arg-type]
        "the backend ScriptedBackend failed with 'busy', which is no cause: no room",
    ),
    "retry_after": (
        BackendError(Cause.SERVER, "no room", retry_after="soon"),  # type: ignore[arg-type]
        "the backend ScriptedBackend asked to wait 'soon', not seconds: no room",
    ),
    "extra": (
        Answer("yes", extra={"x": Odd()}),
        (
            "the answer of the backend ScriptedBackend cannot be stored: TypeError: "
            "Encoding objects of type Odd is unsupported"
        ),
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_whatever_a_backend_does_costs_its_cell_only(kind, make_member, run_members, read_run):
    reply, message = BROKEN[kind]

    def answer(request):
        return reply if get_text(request) == "row 2" else "yes"

    summary = run_members([make_member("a", answer, concurrency=2), make_member("b", lambda _: "yes")], 6)
    found = read_run()
    assert (found["2", "a", 0]["cause"], found["2", "a", 0]["message"]) == ("plugin", message)
    assert [(member.ok, member.pending, member.stopped) for member in summary.members] == [(5, 0, ""), (6, 0, "")]
    assert summary.status == "partial"


@pytest.mark.parametrize("result", [None, "text", 7, {"text": "x"}])
def test_a_backend_that_returns_no_answer_costs_its_cell_only(result, make_member, run_members, read_run):
    class Wrong(ScriptedBackend):
        async def generate(self, request):
            return result if get_text(request) == "row 1" else await super().generate(request)

    run_members([make_member("a", Wrong(lambda _: "yes"))], 3)
    kind = type(result).__name__
    assert read_run()["1", "a", 0]["message"] == f"the backend Wrong returned {kind} instead of Answer"
    assert count_ends(read_run) == {"ok": 2, "plugin": 1}


def test_a_backend_that_cannot_write_a_request_costs_its_cell_only(make_member, run_members, read_run):
    class Unable(ScriptedBackend):
        def encode(self, prompt, sampling):
            if prompt.messages[0].content == "row 1":
                raise OverflowError("too long")
            if prompt.messages[0].content == "row 2":
                raise BackendError(Cause.CONTEXT_LENGTH, "too long")
            return super().encode(prompt, sampling)

    summary = run_members([make_member("a", Unable(lambda _: "yes"))], 4)
    found = read_run()
    assert found["1", "a", 0]["message"] == "the backend Unable cannot write the request: OverflowError: too long"
    assert count_ends(read_run) == {"ok": 2, "plugin": 1, "context_length": 1}
    assert summary.members[0].requests == 2


def test_half_an_emoji_in_a_row_costs_at_most_its_cell(make_member, run_members):
    summary = run_members([make_member("a", lambda _: "\ud83d yes")], ["fine", "half \ud83d", "fine too"])
    assert summary.members[0].pending == 0
    assert summary.members[0].ok >= 2


def test_a_task_that_breaks_costs_its_cell_only(make_member, run_members, read_run):
    class Broken(EchoTask):
        def render(self, row):
            if row["text"] == "row 1":
                raise SystemExit("render")
            return super().render(row)

        def parse(self, answer, row):
            match row["text"]:
                case "row 2":
                    raise KeyError("parse")
                case "row 3":
                    return {"said": "not a model"}
                case "row 4":
                    raise ParseError("cannot", cause=Cause.REFUSAL)
            return super().parse(answer, row)

    summary = run_members([make_member("a", lambda _: "yes", task=Broken())], 6)
    assert count_ends(read_run) == {"ok": 2, "render": 1, "parse": 1, "schema": 1, "refusal": 1}
    assert summary.members[0].pending == 0


def test_outputs_that_cannot_be_stored_cost_their_cell_only(make_member, run_members, read_run):
    class Output(BaseModel):
        said: str

        def model_dump(self, **options: Any) -> dict[str, Any]:
            return {"said": Odd()} if self.said == "odd" else super().model_dump(**options)

    class Storing(EchoTask):
        def __init__(self):
            super().__init__()
            self.Output = Output

        def parse(self, answer, row):
            return Output(said="odd" if row["text"] == "row 1" else "fine")

    run_members([make_member("a", lambda _: "yes", task=Storing())], 3)
    found = read_run()["1", "a", 0]
    assert found["message"].startswith("the output fields cannot be stored: TypeError: ")
    assert found["cause"] == "schema"
    assert found["usage"] == {"input_tokens": 1, "output_tokens": 1}
    assert count_ends(read_run) == {"ok": 2, "schema": 1}


@pytest.mark.parametrize("count", [-1, 2**63, 2**70, 1.5, "12", None, [1]])
def test_counts_of_tokens_that_are_none_are_left_out(count, make_member, run_members, read_run):
    def answer(_request):
        return Answer("yes", usage=Usage(count, 5))

    summary = run_members([make_member("a", answer)], 1)
    assert read_run()["0", "a", 0]["usage"] == {"input_tokens": None, "output_tokens": 5}
    assert (summary.status, summary.members[0].input_tokens, summary.members[0].output_tokens) == ("complete", 0, 5)


def test_usage_that_is_no_usage_is_left_out(make_member, run_members, read_run):
    assert run_members([make_member("a", lambda _: Answer("yes", usage={"input": 1}))], 1).status == "complete"
    assert read_run()["0", "a", 0]["usage"] is None


def test_members_that_share_a_batching_backend_do_not_take_each_others_answers(make_member, run_members, read_run):
    """Results of batches are joined by the request's id, so ids are unique within the run."""

    class Batching(BatchBackend[PluginConfig]):
        Config = PluginConfig
        batch_size = 4

        def __init__(self):
            super().__init__(PluginConfig())
            self.opened = 0
            self.ids: list[int] = []

        @property
        def model(self):
            return "batching"

        @property
        def endpoint(self):
            return "batching"

        async def open(self):
            self.opened += 1

        async def generate_batch(self, requests):
            self.ids += [request.id for request in requests]
            return {request.id: Answer(f"{get_text(request)} {request.sampling['seed']}") for request in requests}

    class Seedless(Batching):
        @classmethod
        def capabilities(cls, config, inner):
            return ScriptedBackend.capabilities(config, inner)

    backend = Seedless()
    members = [
        make_member(name, backend, sampling={"seed": seed}, timeout=5, attempts=1)
        for name, seed in [("a", 100), ("b", 200)]
    ]
    summary = run_members(members, 10)
    assert summary.status == "complete"
    assert len(set(backend.ids)) == len(backend.ids) == 20
    assert {(row, name): g["said"] for (row, name, _), g in read_run().items()} == {
        (str(n), name): f"row {n} {seed}" for n in range(10) for name, seed in [("a", 100), ("b", 200)]
    }
    assert backend.opened == 1
