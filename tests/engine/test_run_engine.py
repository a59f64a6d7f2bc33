"""The run loop: lanes keep their own pace, memory is bounded, every cell ends once, stops and failures are clean."""

from __future__ import annotations

import asyncio
import gc
import itertools
import sqlite3
import time
from collections import Counter
from contextlib import contextmanager
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pool_core.api import hookimpl
from pool_core.engine import lane as lane_module
from pool_core.engine import run as run_module
from pool_core.engine.cell import Cell
from pool_core.engine.pages import PAGE_ROWS
from pool_core.errors import BackendError, StoreError
from pool_core.interfaces.values import Answer, Cause
from pool_core.store import writer as writer_module
from pool_core.store.store import Store
from pool_core.store.writer import Writer
from pool_core.testing.scripted import EchoConfig, EchoTask, ScriptedBackend, make_registry


def now() -> float:
    return asyncio.get_running_loop().time()


def get_text(request) -> str:
    return request.prompt.messages[-1].content


def make_slow(seconds, reply="yes"):
    async def answer(_request):
        await asyncio.sleep(seconds)
        return reply

    return answer


# Own pace


def test_a_slow_member_does_not_hold_up_a_fast_one(make_member, run_members):
    ends = {}

    def make_script(name, seconds):
        async def answer(_request):
            await asyncio.sleep(seconds)
            ends[name] = now()
            return "yes"

        return answer

    members = [
        make_member("slow", make_script("slow", 100), concurrency=2, timeout=1000),
        make_member("fast", make_script("fast", 1), concurrency=2),
    ]
    assert run_members(members, 600).status == "complete"
    assert ends["fast"] <= 301
    assert ends["slow"] >= 30_000


def test_a_member_that_is_slow_to_open_does_not_hold_up_another(make_member, run_members):
    class Loading(ScriptedBackend):
        async def open(self):
            await asyncio.sleep(300)
            await super().open()

    asked = {"loading": [], "ready": []}
    loading = Loading(lambda _: asked["loading"].append(now()) or "yes", "loading")
    ready = ScriptedBackend(lambda _: asked["ready"].append(now()) or "yes", "ready")
    assert run_members([make_member("a", loading), make_member("b", ready)], 3).status == "complete"
    assert set(asked["ready"]) == {0.0}
    assert set(asked["loading"]) == {300.0}
    assert (loading.opened, loading.closed, ready.opened, ready.closed) == (1, 1, 1, 1)


def test_a_member_whose_cells_never_wait_does_not_hold_up_another(make_member, run_members):
    class Instant(ScriptedBackend):
        async def generate(self, request):
            order.append("instant")
            return Answer("yes")

    order = []
    other = ScriptedBackend(lambda _: order.append("other") or "yes", "other")
    members = [make_member("a", Instant(lambda _: "")), make_member("b", other, concurrency=1)]
    assert run_members(members, 200, pool={"samples": 20}).status == "complete"
    # a page holds 2000 cells of each
    in_a_row = [len(list(group)) for name, group in itertools.groupby(order) if name == "instant"]
    assert max(in_a_row[:20]) <= 4 * 32


# Memory


def test_rows_in_memory_are_bounded_by_a_page_and_what_is_in_flight(make_member, run_members):
    gc.collect()
    earlier = {id(found) for found in gc.get_objects() if type(found) is Cell}
    most = 0

    async def answer(request):
        nonlocal most
        await asyncio.sleep(1)
        if request.id % 200 == 0:
            cells = [found for found in gc.get_objects() if type(found) is Cell and id(found) not in earlier]
            most = max(most, len({id(cell.row) for cell in cells}))
        return "yes"

    assert run_members([make_member("a", answer, concurrency=16)], 8 * PAGE_ROWS).status == "complete"
    assert PAGE_ROWS // 4 < most <= PAGE_ROWS + 16


def test_what_is_not_written_yet_is_bounded(make_member, run_members, monkeypatch):
    """A disk that is slower than the backends makes the lanes wait, and then go on."""
    monkeypatch.setattr(lane_module, "MOST_UNWRITTEN", 100)
    monkeypatch.setattr(run_module, "MOST_UNWRITTEN", 100)
    monkeypatch.setattr(writer_module, "LARGEST_GROUP", 50)
    most = 0

    def answer(_request):
        nonlocal most
        most = max(most, engine.store.writer.pending)
        return "yes"

    async def steer(running):
        nonlocal engine
        engine = running

    engine = None
    members = [make_member(name, answer, concurrency=8) for name in "ab"]
    assert run_members(members, 1500, steer=steer).status == "complete"
    assert most <= 100 + 2 * 8


def test_a_commit_that_comes_between_a_lanes_look_and_its_wait_is_not_missed(make_member, run_members, monkeypatch):
    """The last commit for a long time: nothing after it would end the wait."""
    monkeypatch.setattr(lane_module, "MOST_UNWRITTEN", 3)
    monkeypatch.setattr(run_module, "MOST_UNWRITTEN", 3)
    clear, engine = asyncio.Event.clear, None
    cleared = 0

    def clear_late(event):
        nonlocal cleared
        if engine is not None and event is engine._room:
            cleared += 1
            while engine.store.writer.pending:
                time.sleep(0.001)
        clear(event)

    async def steer(running):
        nonlocal engine
        engine = running

    monkeypatch.setattr(asyncio.Event, "clear", clear_late)
    assert run_members([make_member("a", lambda _: "yes", concurrency=4)], 100, steer=steer).status == "complete"
    assert cleared > 0


# Every cell ends once


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32),
    concurrency=st.sampled_from([1, 3, 64]),
    samples=st.integers(1, 5),
    attempts=st.integers(1, 4),
)
def test_every_cell_ends_once_whatever_fails(
    seed, concurrency, samples, attempts, make_member, run_members, read_run, tmp_path_factory
):
    random = Random(seed)
    run_dir = str(tmp_path_factory.mktemp("run"))
    ended: Counter = Counter()
    passing = [Cause.TRANSPORT, Cause.TIMEOUT, Cause.SERVER, Cause.OVERLOADED]

    async def answer(request):
        await asyncio.sleep(random.choice([0, 0, 0.1, 1, 7]))
        dice = random.random()
        if dice < 0.2:
            return BackendError(random.choice(passing), "x", retry_after=random.choice([None, 0, 3]))
        if dice < 0.3:
            return BackendError(Cause.RATE_LIMIT, "x", retry_after=random.choice([None, 0, 3]))
        if dice < 0.4:
            return random.choice([BackendError(Cause.BAD_REQUEST, "x"), ValueError(), asyncio.CancelledError()])
        return random.choice(["yes", "", "bad"])

    class Plugin:
        @hookimpl
        def pool_cell_finished(self, cell):
            ended[cell.row_id, cell.member, cell.sample] += 1

    registry = make_registry()
    registry.register(Plugin(), "counting")
    task = EchoTask(EchoConfig(fail_on="bad"))
    backends = [ScriptedBackend(answer, name, quota=quota) for name, quota in [("a", "x"), ("b", "x"), ("c", "y")]]
    members = [
        make_member(backend.model, backend, concurrency=concurrency, attempts=attempts, timeout=5, task=task)
        for backend in backends
    ]
    pool = {"samples": samples, "assign": "balanced"}
    summary = run_members(members, 25, run_dir=run_dir, pool=pool, registry=registry)
    cells = read_run(run_dir)
    assert len(cells) == 25 * samples
    assert set(ended.values()) <= {1}
    assert {key for key, cell in cells.items() if cell["status"] != "pending"} == set(ended)
    for member, backend in zip(summary.members, backends, strict=True):
        statuses = [cell["status"] for (_, name, _), cell in cells.items() if name == member.name]
        assert (member.ok, member.pending) == (statuses.count("ok"), statuses.count("pending"))
        assert sum(member.failed.values()) == statuses.count("failed")
        assert member.cells == len(statuses)
        if not member.stopped:
            assert member.pending == 0
        assert member.requests == len(backend.requests)
        asked = Counter((get_text(request), request.sample) for request in backend.requests)
        assert member.requests - member.retries == len(asked)
        assert backend.in_flight == 0


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_requests_never_exceed_attempts(attempts, make_member, run_members):
    random = Random(attempts)
    backend = ScriptedBackend(
        lambda _: BackendError(random.choice([Cause.SERVER, Cause.TIMEOUT, Cause.OVERLOADED]), "x")
    )
    summary = run_members([make_member("a", backend, attempts=attempts, concurrency=5, max_stall=1e9)], 40)
    assert set(Counter(map(get_text, backend.requests)).values()) == {attempts}
    assert (summary.members[0].pending, sum(summary.members[0].failed.values())) == (0, 40)


def test_the_output_does_not_depend_on_concurrency_or_order_of_completion(make_member, run_members, read_run):
    outputs = []
    for number, (concurrency, seed) in enumerate([(1, 0), (4, 1), (64, 2)]):
        random = Random(seed)

        def make_script(name, random=random):
            failing = set(range(0, 30, 7))

            async def answer(request):
                await asyncio.sleep(random.random() * 10)
                text = get_text(request)
                if int(text.split()[1]) in failing and random.random() < 0.5:
                    return BackendError(Cause.SERVER, "x")
                return f"{name}: {text}, sample {request.sample}"

            return answer

        members = [
            make_member(name, make_script(name), concurrency=concurrency, attempts=50) for name in ("a", "b", "c")
        ]
        pool = {"samples": 4, "assign": "balanced", "seed": 3}
        assert run_members(members, 30, run_dir=f"run{number}", pool=pool).status == "complete"
        outputs.append(list(read_run(f"run{number}").items()))
    assert outputs[0] == outputs[1] == outputs[2]
    assert len(outputs[0]) == 120


def test_seeds_are_sent_per_sample(make_member, run_members):
    backend = ScriptedBackend(lambda _: "yes")
    run_members([make_member("a", backend, sampling={"seed": 10})], 2, pool={"samples": 3})
    assert sorted((get_text(r), r.sample, r.sampling["seed"]) for r in backend.requests) == [
        (f"row {row}", sample, 10 + sample) for row in range(2) for sample in range(3)
    ]


# Stopping


def test_stop_lets_what_is_in_flight_finish_and_sends_nothing_new(make_member, run_members, read_run):
    backend = ScriptedBackend(make_slow(10))

    async def steer(engine):
        await asyncio.sleep(25)
        engine.stop()
        assert engine.stopped
        return now()

    summary = run_members([make_member("a", backend, concurrency=4)], 100, steer=steer)
    member = summary.members[0]
    assert (summary.status, summary.exit_code) == ("interrupted", 130)
    assert (member.ok, member.pending, len(backend.requests)) == (12, 88, 12)
    assert Counter(cell["status"] for cell in read_run().values()) == {"ok": 12, "pending": 88}

    again = ScriptedBackend(lambda _: "yes")
    summary = run_members([make_member("a", again)], 100)
    assert (summary.status, summary.members[0].reused, summary.members[0].ok) == ("complete", 12, 100)
    assert not {get_text(r) for r in backend.requests} & {get_text(r) for r in again.requests}
    assert len(again.requests) == 88


def test_stop_twice_cancels_what_is_in_flight_and_keeps_what_was_answered(make_member, run_members, read_run):
    ends = []

    async def answer(request):
        try:
            await asyncio.sleep(1000 if get_text(request) == "row 3" else 1)
        except asyncio.CancelledError:
            ends.append(now())
            raise
        return "yes"

    async def steer(engine):
        await asyncio.sleep(50.5)
        engine.stop()
        await asyncio.sleep(2)
        engine.stop()

    backend = ScriptedBackend(answer)
    summary = run_members([make_member("a", backend, concurrency=2, timeout=10_000)], 200, steer=steer)
    assert summary.status == "interrupted"
    assert ends == [52.5]
    assert (backend.in_flight, backend.closed) == (0, 1)
    assert Counter(cell["status"] for cell in read_run().values())["ok"] == summary.members[0].ok == 52


def test_a_third_stop_loses_nothing(make_member, run_members, read_run):
    class Stuck(ScriptedBackend):
        async def aclose(self):
            await asyncio.sleep(10**9)

    async def steer(engine):
        await asyncio.sleep(3.5)
        for _ in range(3):
            engine.stop()
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        engine.stop()

    summary = run_members([make_member("a", Stuck(make_slow(1)), concurrency=10)], 100, steer=steer)
    assert summary.status == "interrupted"
    assert Counter(cell["status"] for cell in read_run().values())["ok"] == summary.members[0].ok == 30


def test_stop_while_the_quota_is_paused_ends_soon(make_member, run_members):
    ended = []

    async def steer(engine):
        await asyncio.sleep(10)
        engine.stop()
        await engine._task
        ended.append(now())

    backend = ScriptedBackend(lambda _: BackendError(Cause.RATE_LIMIT, "later", retry_after=500))
    summary = run_members([make_member("a", backend, concurrency=4)], 50, steer=steer)
    assert ended == [10.0]
    assert (summary.status, summary.members[0].pending) == ("interrupted", 50)


def test_stop_while_cells_wait_for_their_next_attempt_ends_soon(make_member, run_members):
    ended = []

    async def steer(engine):
        await asyncio.sleep(10)
        engine.stop()
        await engine._task
        ended.append(now())
        # and no timer holds on to the engine after its end
        timers = [t for t in asyncio.get_running_loop()._scheduled if not t.cancelled() and t.when() > 20]
        assert [t for t in timers if "_end_delay" in repr(t)] == []

    backend = ScriptedBackend(lambda _: BackendError(Cause.SERVER, "later", retry_after=500))
    summary = run_members([make_member("a", backend, concurrency=4)], 200, steer=steer)
    assert ended == [10.0]
    assert summary.members[0].pending == 200


def test_stop_while_backends_open_sends_nothing(make_member, run_members):
    class Loading(ScriptedBackend):
        async def open(self):
            await asyncio.sleep(1)
            await super().open()

    async def steer(engine):
        await asyncio.sleep(0.5)
        engine.stop()

    backend = Loading(lambda _: "yes")
    summary = run_members([make_member("a", backend)], 5, steer=steer)
    assert (summary.status, summary.members[0].pending, backend.requests) == ("interrupted", 5, [])


def test_an_engine_that_is_stopped_before_it_starts_opens_nothing(make_member, run_members):
    async def steer(engine):
        engine.stop()

    backend = ScriptedBackend(lambda _: "yes")
    summary = run_members([make_member("a", backend)], 5, steer=steer)
    assert (summary.status, summary.members[0].pending, backend.opened, backend.closed) == ("interrupted", 5, 0, 1)


@pytest.mark.parametrize(("stops", "status"), [(1, ("complete", 0)), (2, ("interrupted", 130))])
def test_a_stop_that_leaves_nothing_over_is_no_interruption(stops, status, make_member, run_members):
    async def steer(engine):
        await asyncio.sleep(1.5)  # the last ones are in flight
        for _ in range(stops):
            engine.stop()

    summary = run_members([make_member("a", make_slow(1), concurrency=5)], 10, steer=steer)
    assert (summary.status, summary.exit_code) == status


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32),
    at=st.lists(st.floats(0, 30), min_size=1, max_size=3),
    concurrency=st.sampled_from([1, 4, 40]),
)
def test_stops_at_any_moment_end_the_run_and_the_next_run_goes_on(
    seed, at, concurrency, make_member, run_members, read_run, tmp_path_factory
):
    random = Random(seed)
    run_dir = str(tmp_path_factory.mktemp("run"))
    paid: Counter = Counter()

    async def answer(request):
        await asyncio.sleep(random.choice([0, 0.1, 1, 5]))
        dice = random.random()
        if dice < 0.15:
            return BackendError(Cause.SERVER, "x", retry_after=random.choice([None, 9]))
        if dice < 0.25:
            return BackendError(Cause.RATE_LIMIT, "x", retry_after=random.choice([None, 9]))
        paid[get_text(request)] += 1
        return "yes"

    async def steer(engine):
        for moment in sorted(at):
            await asyncio.sleep(moment - now())
            engine.stop()

    def make_members():
        return [make_member(name, answer, concurrency=concurrency, quota="one", attempts=50) for name in ("a", "b")]

    first = run_members(make_members(), 40, run_dir=run_dir, steer=steer)
    stored = Counter(cell["status"] for cell in read_run(run_dir).values())
    assert stored["ok"] == sum(member.ok for member in first.members) == paid.total()
    second = run_members(make_members(), 40, run_dir=run_dir)
    assert second.status == "complete"
    assert paid.total() == 80  # one answer per cell in both runs together
    assert sum(member.reused for member in second.members) == stored["ok"]


def test_cancelling_from_outside_cancels_even_after_a_stop(make_member, run_members):
    backend = ScriptedBackend(make_slow(1000))

    async def steer(engine):
        await asyncio.sleep(5)
        engine.stop()
        next(task for task in asyncio.all_tasks() if "run_plan" in repr(task)).cancel()

    with pytest.raises(asyncio.CancelledError):
        run_members([make_member("a", backend, timeout=10_000)], 5, steer=steer)
    assert (backend.in_flight, backend.closed) == (0, 1)


# Closing


@pytest.mark.parametrize("kind", ["raises", "exits", "hangs"])
def test_a_backend_that_does_not_close_is_noted_and_changes_nothing(kind, make_member, run_members, read_run):
    class Unclosed(ScriptedBackend):
        async def aclose(self):
            match kind:
                case "raises":
                    raise OSError("gone")
                case "exits":
                    raise SystemExit(1)
            await asyncio.sleep(10**9)

    other = ScriptedBackend(lambda _: "yes", "other")
    summary = run_members([make_member("a", Unclosed(lambda _: "yes", "m")), make_member("b", other)], 3)
    assert (summary.status, other.closed) == ("complete", 1)
    assert summary.notes == (
        {
            "raises": "the backend m cannot be closed: OSError: gone",
            "exits": "the backend m cannot be closed: SystemExit: 1",
            "hangs": "the backend m was not closed within 10 s",
        }[kind],
    )
    assert len(read_run()) == 6


def test_a_backend_that_two_members_share_is_opened_and_closed_once(make_member, run_members):
    backend = ScriptedBackend(lambda _: "yes")
    assert run_members([make_member("a", backend), make_member("b", backend)], 3).status == "complete"
    assert (backend.opened, backend.closed) == (1, 1)


# A disk that fails


class FailingConnection:
    """A connection whose commits fail after some."""

    def __init__(self, connection, commits, error):
        self._connection = connection
        self._commits = commits
        self._error = error
        self._counted = False

    def __getattr__(self, name):
        return getattr(self._connection, name)

    def __enter__(self):
        return self._connection.__enter__()

    def __exit__(self, *error):
        return self._connection.__exit__(*error)

    def execute(self, statement, values=()):
        if "INTO cells" in statement and not self._counted:
            if self._commits == 0:
                raise self._error
            self._commits -= 1
        self._counted = "INTO cells" in statement  # a group may need several statements
        return self._connection.execute(statement, values)


@pytest.fixture
def break_disk(monkeypatch):
    """A context in which the writer's commits fail after some."""
    start = Writer.start

    @contextmanager
    def make(commits, error=None):
        error = error or sqlite3.OperationalError("database or disk is full")

        def start_broken(self, *arguments):
            connect = self._connect
            self._connect = lambda: FailingConnection(connect(), commits, error)
            start(self, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(Writer, "start", start_broken)
            yield

    return make


EXPECTED = (
    r"the run cannot be written: database or disk is full; \d+ outcomes are unsaved\n"
    r"  make room or mend the disk, then run the same command again: what was committed is kept"
)


@pytest.mark.parametrize("commits", [0, 1, 5])
def test_a_failing_writer_ends_the_run_and_keeps_what_was_committed(
    commits, make_member, run_members, read_run, break_disk, tmp_path, monkeypatch
):
    monkeypatch.setattr(writer_module, "LARGEST_GROUP", 50)

    def make_members(backends):
        return [make_member(backend.model, backend, concurrency=4) for backend in backends]

    def make_backends():
        return [ScriptedBackend(lambda request: f"said {get_text(request)}", name) for name in ("a", "b")]

    broken, mended = make_backends(), make_backends()
    with break_disk(commits), pytest.raises(StoreError, match=EXPECTED) as caught:
        run_members(make_members(broken), 500)
    assert caught.value.where == str(tmp_path / "run")
    with Store.read(tmp_path / "run") as store:
        kept = store._connection.execute("SELECT count(*) FROM cells").fetchone()[0]
    assert bool(kept) == bool(commits)
    assert all(backend.closed for backend in broken)
    assert run_members(make_members(mended), 500).status == "complete"
    assert sum(len(backend.requests) for backend in mended) == 1000 - kept
    assert {cell["said"] for (row, _, _), cell in read_run().items() if row == "7"} == {"said row 7"}


def test_a_failing_writer_ends_the_run_while_all_requests_are_in_flight(make_member, run_members, break_disk):
    """Nobody has an outcome to hand over for the next hour: the run must not wait for it."""

    async def answer(request):
        await asyncio.sleep(0 if get_text(request) == "row 0" else 3600)
        return "yes"

    backend = ScriptedBackend(answer)
    with break_disk(0), pytest.raises(StoreError, match=EXPECTED):
        run_members([make_member("a", backend, concurrency=4, timeout=10_000)], 5, real_time=True)
    assert (backend.in_flight, backend.closed) == (0, 1)


def test_a_failing_writer_ends_the_run_while_the_quota_is_paused(make_member, run_members, break_disk):
    def answer(request):
        if get_text(request) == "row 0":
            return "yes"
        return BackendError(Cause.RATE_LIMIT, "later", retry_after=5000)

    with break_disk(0), pytest.raises(StoreError, match=EXPECTED):
        run_members([make_member("a", answer, concurrency=4, max_wait=10_000)], 5, real_time=True)


def test_a_failing_writer_ends_the_run_while_the_lanes_wait_for_the_disk(
    make_member, run_members, break_disk, monkeypatch
):
    monkeypatch.setattr(lane_module, "MOST_UNWRITTEN", 10)
    monkeypatch.setattr(run_module, "MOST_UNWRITTEN", 10)
    backend = ScriptedBackend(lambda _: "yes")
    with break_disk(2), pytest.raises(StoreError, match=EXPECTED):
        run_members([make_member("a", backend, concurrency=4)], 3000)
    assert len(backend.requests) < 3000


def test_a_writer_that_failed_lets_no_lane_wait_for_it(make_member, run_members, break_disk, monkeypatch):
    """Outcomes are unwritten for ever, and from now on every cell is to be asked again later."""
    monkeypatch.setattr(lane_module, "MOST_UNWRITTEN", 3)
    monkeypatch.setattr(run_module, "MOST_UNWRITTEN", 3)
    calls = itertools.count()

    async def answer(_request):
        if next(calls) < 4:
            return "yes"
        await asyncio.sleep(0.2)
        return BackendError(Cause.SERVER, "later", retry_after=0.1)

    with break_disk(0), pytest.raises(StoreError, match=EXPECTED):
        run_members([make_member("a", answer, concurrency=8, attempts=100)], 8, real_time=True)


def test_an_error_of_any_kind_in_the_writer_is_told(make_member, run_members, break_disk):
    with (
        break_disk(0, OverflowError("Python int too large")),
        pytest.raises(StoreError, match=r"the run cannot be written: Python int too large; \d+ outcomes"),
    ):
        run_members([make_member("a", lambda _: "yes")], 5)
