"""What one member does about failures that are more than one cell's: breakers, stalls, keys, budgets of retries."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from random import Random

import pytest

from pool_core.errors import BackendError
from pool_core.interfaces.values import Answer, Cause, Usage
from pool_core.testing.scripted import ScriptedBackend


def now() -> float:
    return asyncio.get_running_loop().time()


def get_text(request) -> str:
    return request.prompt.messages[-1].content


def make_outage(start, end, cause=Cause.SERVER, seconds=0.5):
    """A server that takes ``seconds`` for an answer and fails everything between ``start`` and ``end``."""
    times = []

    async def answer(request):
        times.append(now())
        if start <= now() < end:
            await asyncio.sleep(0.05)
            return BackendError(cause, "out")
        await asyncio.sleep(seconds)
        return "yes"

    return answer, times


@pytest.mark.parametrize("cause", [Cause.TRANSPORT, Cause.TIMEOUT, Cause.OVERLOADED, Cause.SERVER, Cause.BAD_REPLY])
def test_an_outage_costs_few_calls_and_no_cell(cause, make_member, run_members):
    script, times = make_outage(20, 320, cause)
    summary = run_members([make_member("a", script, concurrency=8)], 2000)
    assert summary.status == "complete"
    # what was in flight and refilled until the breaker opened, then probes: 1, 2, 4, 8, 16, 30, 30 ... seconds apart
    assert sum(20 <= at < 320 for at in times) <= 8 + 20 + 36 + 15
    recovered = [at for at in times if at >= 320]
    assert recovered[0] <= 320 + 30 + 1
    assert sum(at < recovered[0] + 10 for at in recovered) >= 0.9 * 8 * 10 / 0.5  # the old rate, within seconds


def test_what_waited_for_its_place_when_the_breaker_opened_is_not_sent(make_member, run_members):
    """With one place a second, 32 workers wait for theirs when the server fails."""
    script, times = make_outage(30, 130)
    summary = run_members([make_member("a", script, rpm=60)], 100)
    assert summary.status == "complete"
    assert sum(30 <= at < 130 for at in times) <= 20 + 9  # until it opens, then probes


def test_a_wait_that_is_named_to_a_probe_holds_for_its_cell(make_member, run_members):
    sent = []

    async def answer(request):
        sent.append((now(), get_text(request)))
        await asyncio.sleep(0.1)
        if len(sent) <= 4:  # the breaker opens
            return BackendError(Cause.SERVER, "out")
        if len(sent) == 5:  # the first probe
            return BackendError(Cause.OVERLOADED, "busy", retry_after=50.0)
        return "yes"

    assert run_members([make_member("a", answer, concurrency=2)], 20).status == "complete"
    probed, text = sent[4]
    assert next(at for at, again in sent[5:] if again == text) >= probed + 50


def test_a_probe_is_sent_for_another_cell_each_time(make_member, run_members, read_run):
    """A long outage must not use up the attempts of the cells that stand first."""
    script, _ = make_outage(5, 500)
    probed = []

    async def answer(request):
        if 6 <= now() < 500:  # the breaker is open
            probed.append(get_text(request))
        return await script(request)

    summary = run_members([make_member("a", answer, concurrency=4, attempts=4)], 400)
    assert summary.status == "complete"
    assert len(probed) >= 15
    assert max(Counter(probed).values()) == 1


def test_the_other_members_go_on_at_their_pace(make_member, run_members):
    dead, _ = make_outage(5, 10_000)
    alive, times = make_outage(0, 0)
    members = [make_member("dead", dead, concurrency=4), make_member("alive", alive, concurrency=4)]
    summary = run_members(members, 400)
    a, b = summary.members
    assert (b.ok, summary.status) == (400, "partial")
    assert max(times) <= 50  # 400 cells, 4 at a time, half a second each
    assert a.stopped.startswith("nothing was answered for 600 s (`limits: {max_stall: 600}`); the last failure: out")
    assert a.ok + a.pending + sum(a.failed.values()) == 400


def test_a_steady_rate_limit_stops_the_member_in_the_end(make_member, run_members):
    backend = ScriptedBackend(lambda _: BackendError(Cause.RATE_LIMIT, "slow down", retry_after=20.0))
    member = make_member("a", backend, concurrency=4, max_wait=3600)
    (summary,) = run_members([member], 50).members
    assert summary.stopped == (
        "nothing was answered for 600 s (`limits: {max_stall: 600}`); the last failure: slow down"
    )
    assert len(backend.requests) <= 4 * 35


def test_rows_that_are_refused_now_and_then_stop_nobody(make_member, run_members):
    backend = ScriptedBackend(lambda request: (
        BackendError(Cause.BAD_REQUEST, "no") if int(get_text(request).split()[1]) % 20 else "yes"
    ))  # fmt: skip
    (member,) = run_members([make_member("a", backend, concurrency=1)], 100).members
    assert (member.stopped, member.ok, member.failed) == ("", 5, {"bad_request": 95})


def test_a_recipe_that_every_row_is_refused_for_stops_its_member(make_member, run_members):
    backend = ScriptedBackend(lambda _: BackendError(Cause.BAD_REQUEST, "no such option", hint="remove it"))
    (member,) = run_members([make_member("a", backend, concurrency=4)], 500).members
    assert member.stopped == "its first 20 requests were all refused: no such option\n  remove it"
    assert 20 <= len(backend.requests) <= 24
    assert member.pending == 500 - len(backend.requests)


def test_replies_that_nobody_can_read_stop_a_member_that_never_answered(make_member, run_members):
    backend = ScriptedBackend(lambda _: BackendError(Cause.BAD_REPLY, "not JSON: <html>", hint="check base_url"))
    (member,) = run_members([make_member("a", backend, concurrency=2)], 500).members
    assert member.stopped == "its server never gave a readable reply: not JSON: <html>\n  check base_url"
    assert len(backend.requests) <= 8


def test_one_unreadable_reply_is_asked_again(make_member, run_members):
    said = [BackendError(Cause.BAD_REPLY, "cut off", maybe_billed=True)]
    (member,) = run_members([make_member("a", lambda _: said.pop() if said else "yes")], 5).members
    assert (member.ok, member.requests, member.retries, member.maybe_billed) == (5, 6, 1, 1)


def test_a_call_that_may_have_been_billed_is_sent_again_once(make_member, run_members, read_run):
    backend = ScriptedBackend(
        lambda request: (
            BackendError(Cause.TRANSPORT, "cut off", maybe_billed=True) if get_text(request) == "row 3" else "yes"
        )
    )
    (member,) = run_members([make_member("a", backend)], 10).members
    assert Counter(map(get_text, backend.requests))["row 3"] == 2
    assert read_run()["3", "a", 0]["cause"] == "transport"
    assert (member.ok, member.maybe_billed) == (9, 2)


def test_a_cell_has_no_more_time_than_its_deadline(make_member, run_members, read_run):
    backend = ScriptedBackend(
        lambda request: BackendError(Cause.SERVER, "busy", retry_after=40.0) if get_text(request) == "row 1" else "yes"
    )
    run_members([make_member("a", backend, deadline=100)], 5)
    assert Counter(map(get_text, backend.requests))["row 1"] == 3
    assert read_run()["1", "a", 0]["message"] == "busy; its time is over: `limits: {deadline: 100}`"


# Keys


class Rotating(ScriptedBackend):
    """Takes the key ``new`` from some time on; `refresh` reads the key again."""

    def __init__(self, at, *, changes=True):
        super().__init__(self._answer)
        self.at, self.changes = at, changes
        self.key = "old"
        self.refreshed = 0

    async def refresh(self):
        self.refreshed += 1
        await asyncio.sleep(0.1)
        changed, self.key = self.changes and self.key == "old", "new" if self.changes else "old"
        return changed

    async def _answer(self, request):
        key = self.key
        await asyncio.sleep(1)
        if now() >= self.at and key == "old":
            return BackendError(Cause.AUTH, "wrong key")
        return "yes"


def test_a_key_that_was_changed_in_mid_run_is_read_again(make_member, run_members):
    backend = Rotating(at=10)
    (member,) = run_members([make_member("a", backend, concurrency=8)], 200).members
    assert (member.ok, member.stopped) == (200, "")
    assert member.requests <= 200 + 16


def test_a_key_that_is_wrong_and_stays_so_stops_the_member(make_member, run_members):
    backend = Rotating(at=10, changes=False)
    (member,) = run_members([make_member("a", backend, concurrency=8)], 200).members
    assert member.stopped == "wrong key"
    assert member.requests <= 80 + 16


def test_a_key_that_never_worked_is_not_read_again(make_member, run_members):
    backend = Rotating(at=0)
    (member,) = run_members([make_member("a", backend, concurrency=1)], 200).members
    assert (backend.refreshed, member.requests, member.stopped) == (0, 1, "wrong key")


# Amplification


def test_where_every_third_call_fails_all_cells_end_well_and_calls_stay_few(make_member, run_members):
    random = Random(1)

    async def answer(_request):
        await asyncio.sleep(1)
        return BackendError(Cause.SERVER, "busy") if random.random() < 1 / 3 else "yes"

    (member,) = run_members([make_member("a", answer, concurrency=32, attempts=30)], 3000).members
    assert member.ok == 3000
    assert member.requests <= 3000 * 1.6


def test_what_a_call_used_is_kept_with_its_answer(make_member, run_members, tmp_path):
    from pool_core.store.store import Store

    run_members([make_member("a", lambda _: Answer("yes", usage=Usage(3, 4)))], 5)
    with Store.read(tmp_path / "run") as store:
        (spent,) = store.read_spent().values()
    assert (spent.answers, spent.input_tokens, spent.output_tokens, spent.unknown_cost) == (5, 15, 20, 5)


# Pauses that an answer asks for


def test_a_pause_that_an_answer_asks_for_holds_for_the_quota_and_has_an_end(make_member, run_members):
    times: dict[str, list[float]] = {"a": [], "b": []}

    class Pausing(ScriptedBackend):
        async def generate(self, request):
            times[self.model].append(now())
            if self.model == "a" and get_text(request) == "row 3":
                self.pause(1e9)  # a server's nonsense: no more than `max_wait` is believed
            return await super().generate(request)

    members = [
        make_member(name, Pausing(lambda _: "yes", model=name, quota="one"), concurrency=1, max_wait=50)
        for name in "ab"
    ]
    summary = run_members(members, 10)
    assert summary.status == "complete"
    for asked in times.values():
        assert max(later - earlier for earlier, later in itertools.pairwise(asked)) >= 49
        assert max(asked) <= 51


# Plugins that break or hang outside of a call


class Refusing(ScriptedBackend):
    """Answers, then refuses the key; `refresh` does as told."""

    def __init__(self, refreshing, model="a"):
        super().__init__(self._answer, model)
        self._refreshing = refreshing

    async def _answer(self, request):
        await asyncio.sleep(1)
        return BackendError(Cause.AUTH, "wrong key") if now() > 5 else "yes"

    async def refresh(self):
        return await self._refreshing()


async def break_down():
    raise ValueError("boom")


async def hang():
    await asyncio.sleep(1e9)


@pytest.mark.parametrize(
    ("refreshing", "reason"),
    [
        (break_down, "wrong key; the key cannot be read again: ValueError: boom"),
        (hang, "wrong key; the key cannot be read again: not within 50 s"),
    ],
)
def test_a_key_that_cannot_be_read_again_stops_its_member_alone(refreshing, reason, make_member, run_members):
    members = [
        make_member("a", Refusing(refreshing), concurrency=2, timeout=50),
        make_member("b", lambda _: "yes"),
    ]
    a, b = run_members(members, 100).members
    assert (a.stopped, b.ok) == (reason, 100)


class Opening(ScriptedBackend):
    """Does as told when it is opened and closed."""

    def __init__(self, opening=None, closing=None):
        super().__init__(lambda _: "yes", "a")
        self._opening, self._closing = opening, closing

    async def open(self):
        if self._opening is not None:
            await self._opening()

    async def aclose(self):
        if self._closing is not None:
            await self._closing()


def test_a_backend_that_never_opens_does_not_keep_a_stop_or_the_end_of_time_waiting(make_member, run_members):
    ended = []

    async def steer(engine):
        await asyncio.sleep(20)
        engine.stop()
        await engine._task
        ended.append(now())

    members = [make_member("a", Opening(hang)), make_member("b", lambda _: "yes")]
    summary = run_members(members, 5, steer=steer)
    assert (summary.status, summary.members[0].pending, summary.members[1].ok) == ("interrupted", 5, 5)
    assert ended[0] <= 21


@pytest.mark.parametrize("error", [asyncio.CancelledError("gone"), GeneratorExit(), BaseException("odd")])
def test_whatever_a_backend_raises_when_it_opens_or_closes_is_its_members_alone(error, make_member, run_members):
    async def fail():
        raise error

    summary = run_members([make_member("a", Opening(fail)), make_member("b", lambda _: "yes")], 3)
    a, b = summary.members
    assert a.stopped.startswith(f"its backend cannot be opened: {type(error).__name__}")
    assert (a.pending, b.ok) == (3, 3)
    summary = run_members(
        [make_member("a", Opening(closing=fail)), make_member("b", lambda _: "yes")], 3, run_dir="two"
    )
    assert summary.status == "complete"
    assert any(f"cannot be closed: {type(error).__name__}" in note for note in summary.notes)


def test_a_host_that_takes_no_connection_was_never_reached(make_member, run_members):
    backend = ScriptedBackend(lambda _: BackendError(Cause.TIMEOUT, "no connection within 5 s"))
    (member,) = run_members([make_member("a", backend, concurrency=4)], 100).members
    assert member.stopped == "its server was never reached: no connection within 5 s"
    assert len(backend.requests) < 20


def test_a_wait_that_an_overloaded_server_names_pauses_its_quota(make_member, run_members):
    times = []

    def answer(_request):
        times.append(now())
        return BackendError(Cause.OVERLOADED, "busy", retry_after=30.0) if len(times) == 5 else "yes"

    assert run_members([make_member("a", answer, concurrency=1)], 20).status == "complete"
    assert times[5] - times[4] >= 30


# What is told of a run that went on


def test_what_earlier_starts_have_finished_is_told_though_this_one_did_not_come_to_it(make_member, run_members):
    def make(script):
        return [make_member("a", script, concurrency=1)]

    def refuse_one(request):
        return BackendError(Cause.BAD_REQUEST, "no") if get_text(request) == "row 0" else "yes"

    (first,) = run_members(make(refuse_one), 600).members
    assert (first.ok, first.failed, first.pending) == (599, {"bad_request": 1}, 0)
    summary = run_members(make(lambda _: BackendError(Cause.AUTH, "no key")), 600)
    (again,) = summary.members
    assert (summary.status, again.stopped) == ("partial", "no key")
    assert (again.ok, again.failed, again.pending) == (599, {"auth": 1}, 0)
