"""Backends in processes of their own, with real processes: what passes through, what ends them, and what it costs."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pool_core.errors import BackendError
from pool_core.interfaces.values import Cause, Usage
from pool_core.isolation import child as child_module
from pool_core.isolation.messages import Beat

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")


@asynccontextmanager
async def opened(backend):
    """``backend``, open, and closed at the end."""
    try:
        await backend.open()
        yield backend
    finally:
        await backend.aclose()


async def wait_for_file(path):
    """Wait until there is something in a file; fails where there is nothing after a minute."""
    for _ in range(6000):
        if path.exists() and path.read_text(encoding="utf-8"):
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"nothing came into {path}")


async def read_pid(backend, ask):
    return int(await ask(backend, "pid"))


def test_answers_come_from_another_process_and_are_complete(make_isolated, make_request):
    async def run():
        async with opened(make_isolated()) as backend:
            return await backend.generate(make_request("hello", temperature=0.5))

    answer = asyncio.run(run())
    assert (answer.text, answer.finish_reason, answer.usage) == ("hello!", "stop", Usage(1, 2))
    assert answer.extra["pid"] != os.getpid()


def test_what_needs_no_model_is_asked_here(make_isolated, misbehaving, make_request):
    backend, local = make_isolated(model="n"), misbehaving.Misbehaving(misbehaving.Config(model="n"))
    prompt = make_request("hello").prompt
    assert (backend.model, backend.endpoint, backend.identity) == ("n", "misbehaving:", local.identity)
    assert backend.encode(prompt, {"seed": 1}) == local.encode(prompt, {"seed": 1})
    assert backend.describe_headers() == local.describe_headers()


def test_each_device_is_a_limit_of_its_own(make_isolated):
    assert make_isolated().quota == make_isolated().quota == "misbehaving:"
    assert make_isolated(device="1").quota == "misbehaving: on 1"


def test_text_that_is_not_utf8_passes_both_ways(make_isolated, ask):
    async def run():
        async with opened(make_isolated()) as backend:
            return await ask(backend, "surrogate"), await ask(backend, "echo \ud83d")

    assert asyncio.run(run()) == ("half \ud83d", "echo \ud83d!")


def test_calls_are_under_way_at_the_same_time(make_isolated, ask):
    async def run():
        async with opened(make_isolated()) as backend:
            slow = asyncio.ensure_future(ask(backend, "wait 60"))
            quick = await asyncio.gather(*(ask(backend, f"echo {number}") for number in range(50)))
            assert not slow.done()
            slow.cancel()
            return quick

    assert asyncio.run(run()) == [f"echo {number}!" for number in range(50)]


def test_what_the_process_prints_does_not_get_between_its_answers(make_isolated, ask):
    async def run():
        async with opened(make_isolated()) as backend:
            said = [await ask(backend, "print") for _ in range(3)]
            return said, await ask(backend, "input")

    assert asyncio.run(run()) == (["print!"] * 3, "''")


@pytest.mark.parametrize(
    ("order", "cause", "text"),
    [
        ("raise so", Cause.PLUGIN, "the backend bad/misbehaving broke: ValueError: so"),
        ("stubborn", Cause.PLUGIN, "the backend bad/misbehaving broke: StubbornError, whose text cannot be made"),
        ("leave", Cause.PLUGIN, "the backend bad/misbehaving broke: SystemExit: 3"),
        ("cancel", Cause.PLUGIN, "the backend bad/misbehaving broke: CancelledError: "),
        ("late", Cause.TIMEOUT, "TimeoutError: "),
        ("number", Cause.PLUGIN, "the backend bad/misbehaving broke: it returned int instead of Answer"),
        ("odd", Cause.PLUGIN, "the backend bad/misbehaving broke: TypeError: Encoding objects of type object is"),
        ("broken", Cause.BAD_REQUEST, "half an emoji \\ud83d"),
    ],
)
def test_what_a_backend_raises_costs_one_call(make_isolated, ask, order, cause, text):
    async def run():
        async with opened(make_isolated()) as backend:
            before = await read_pid(backend, ask)
            with pytest.raises(BackendError) as caught:
                await ask(backend, order)
            assert await read_pid(backend, ask) == before
            return caught.value

    error = asyncio.run(run())
    assert error.cause is cause
    assert error.message.startswith(text)
    assert error.stops_member == (order == "broken")


def test_an_error_arrives_with_all_that_it_says(make_isolated, ask):
    async def run():
        async with opened(make_isolated()) as backend:
            with pytest.raises(BackendError) as caught:
                await ask(backend, "refuse")
            return caught.value

    error = asyncio.run(run())
    assert (error.cause, error.message, error.where, error.hint) == (Cause.RATE_LIMIT, "full", "POST x", "wait")
    assert (error.retry_after, error.maybe_billed, error.stops_member) == (7.5, True, False)


def test_a_pause_and_a_new_key_are_passed_on(make_isolated, ask):
    async def run():
        told = []
        backend = make_isolated(model="rotated")
        backend.pause = told.append
        async with opened(backend):
            await ask(backend, "pause 2.5")
            return told, await backend.refresh()

    assert asyncio.run(run()) == ([2.5], True)


def test_the_runs_folder_and_that_answers_are_durable_are_passed_on(make_isolated, ask, tmp_path):
    async def run(folder):
        backend = make_isolated()
        backend.folder = folder
        async with opened(backend):
            told, pid = await ask(backend, "folder"), await ask(backend, "pid")
            backend.note_durable()
        return told, pid

    assert asyncio.run(run(None))[0] == "None"
    told, pid = asyncio.run(run(tmp_path / "backends"))
    assert told == repr(tmp_path / "backends")
    assert (tmp_path / "backends" / "durable").read_text() == f"{pid}\n"


def test_what_is_wrong_with_being_durable_is_told_at_the_end(make_isolated, ask):
    async def run():
        backend = make_isolated(on_durable="the disk is full")
        await backend.open()
        await ask(backend, "one")
        backend.note_durable()
        with pytest.raises(BackendError) as caught:
            await backend.aclose()
        return caught.value.message

    assert asyncio.run(run()) == "the backend bad/misbehaving broke: ValueError: the disk is full"


def test_an_answer_that_nobody_waited_for_any_more_is_not_durable(make_isolated, ask, tmp_path):
    async def run():
        backend = make_isolated()
        backend.folder = tmp_path
        async with opened(backend):
            call = asyncio.ensure_future(ask(backend, "insist"))
            await asyncio.sleep(0)  # it is sent first
            await ask(backend, "one")  # so it has begun
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            backend.note_durable()  # it is not known whether it was answered
            await ask(backend, "two")
            backend.note_durable()  # it was
            await ask(backend, "three")

    asyncio.run(run())
    assert not (tmp_path / "durable").exists()


def test_a_call_that_is_given_up_is_given_up_in_the_process(make_isolated, ask):
    async def run():
        async with opened(make_isolated()) as backend:
            call = asyncio.ensure_future(ask(backend, "wait 100"))
            await ask(backend, "echo")
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert backend._child._given_up
            await ask(backend, "echo")
            return backend._child._given_up

    assert not asyncio.run(run()), "the process has confirmed it before it answered the next call"


# loading


def test_a_load_that_raises_is_told_and_leaves_nothing_behind(make_isolated, tmp_path, wait_until_gone):
    pids = tmp_path / "pids"

    async def run():
        backend = make_isolated(on_open="raise no such model", openings=pids)
        with pytest.raises(BackendError) as caught:
            await backend.open()
        await wait_until_gone(int(pids.read_text()))
        await backend.aclose()  # teardown after a failed load
        await backend.aclose()
        return caught.value

    error = asyncio.run(run())
    assert error.cause is Cause.PLUGIN
    assert str(error) == "the backend bad/misbehaving broke: ValueError: no such model"


@pytest.mark.parametrize(
    ("order", "text"),
    [
        ("die", "the process of bad/misbehaving ended by SIGKILL"),
        ("exit 3", "the process of bad/misbehaving ended with exit code 3; it last wrote: a last word"),
        ("stubborn", "the backend bad/misbehaving broke: StubbornError, whose text cannot be made"),
    ],
)
def test_a_process_that_dies_while_it_loads_is_noticed_at_once(make_isolated, order, text):
    async def run():
        backend = make_isolated(on_open=order)
        with pytest.raises(BackendError) as caught:
            await backend.open()
        await backend.aclose()
        return str(caught.value)

    assert asyncio.run(run()) == text


def test_its_last_words_are_told_where_its_end_is_seen_first(make_isolated, monkeypatch):
    """The event loop is held up from the start of the process to its end."""
    send = child_module.Child._send

    def send_and_stall(self, message):
        send(self, message)
        end = select.poll()
        end.register(self._process._process.stderr, 0)
        end.poll()

    monkeypatch.setattr(child_module.Child, "_send", send_and_stall)

    async def run():
        backend = make_isolated(on_open="exit 3")
        with pytest.raises(BackendError) as caught:
            await backend.open()
        await backend.aclose()
        return str(caught.value)

    assert asyncio.run(run()) == ("the process of bad/misbehaving ended with exit code 3; it last wrote: a last word")


@pytest.mark.parametrize("order", ["wait 1000", "block {}", "freeze"])
def test_a_load_that_does_not_end_is_ended(make_isolated, order, tmp_path, wait_until_gone):
    pids = tmp_path / "pids"

    async def run():
        backend = make_isolated(on_open=order.format(tmp_path / "blocked"), openings=pids, load_timeout=2)
        with pytest.raises(BackendError) as caught:
            await backend.open()
        await backend.aclose()
        for pid in pids.read_text().split() if pids.exists() else []:  # it may not have come so far
            await wait_until_gone(int(pid))
        return caught.value

    error = asyncio.run(run())
    assert error.cause is Cause.TIMEOUT
    assert str(error) == (
        "the process of bad/misbehaving did not open it within 2 s\n  write isolate: {load_timeout: ...}"
    )


def test_a_class_that_cannot_be_imported_there_is_told(make_isolated, monkeypatch):
    backend = make_isolated()
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if "isolation" not in entry])

    async def run():
        with pytest.raises(BackendError) as caught:
            await backend.open()
        return str(caught.value)

    text = asyncio.run(run())
    assert text == "the backend bad/misbehaving broke: ModuleNotFoundError: No module named 'pool_misbehaving'"


# dying, hanging, coming back


async def ask_again(backend, ask, text):
    """As the engine does: after a failure in passing the call is made again."""
    while True:
        try:
            return await ask(backend, text)
        except BackendError as error:
            if error.stops_member or error.cause not in (Cause.TRANSPORT, Cause.TIMEOUT, Cause.OVERLOADED):
                raise
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_process_that_dies_fails_its_calls_and_another_one_answers(make_isolated, ask, signal_):
    async def run():
        async with opened(make_isolated()) as backend:
            first = await read_pid(backend, ask)
            calls = [asyncio.ensure_future(ask(backend, "wait 100")) for _ in range(5)]
            await ask(backend, "echo")  # the others were sent before
            os.kill(first, signal_)
            ends = await asyncio.gather(*calls, return_exceptions=True)
            second = int(await ask_again(backend, ask, "pid"))
            return first, second, ends

    first, second, ends = asyncio.run(run())
    assert first != second
    assert {(end.cause, end.stops_member, end.maybe_billed) for end in ends} == {(Cause.TRANSPORT, False, False)}
    assert {str(end).partition(";")[0] for end in ends} == {
        f"the process of bad/misbehaving ended by {signal.Signals(signal_).name}"
    }


def test_what_somebody_else_may_have_billed_is_told_as_such(make_isolated, ask):
    async def run():
        async with opened(make_isolated(bills=True)) as backend:
            with pytest.raises(BackendError) as caught:
                await ask(backend, "die")
            return caught.value

    assert asyncio.run(run()).maybe_billed


def test_a_process_that_is_stopped_is_noticed_by_its_silence(make_isolated, ask, wait_until_gone, hurry):
    async def run():
        async with opened(make_isolated()) as backend:
            first = await read_pid(backend, ask)
            call = asyncio.ensure_future(ask(backend, "freeze", seconds=1e6))
            await asyncio.sleep(0)  # it is sent
            os.waitid(os.P_PID, first, os.WSTOPPED | os.WNOWAIT)  # noqa: ASYNC222 - nothing else is to happen
            await hurry(call)
            with pytest.raises(BackendError) as caught:
                await call
            await wait_until_gone(first)
            assert await ask_again(backend, ask, "echo") == "echo!"
            return caught.value

    error = asyncio.run(run())
    assert error.cause is Cause.TIMEOUT
    assert str(error) == "the process of bad/misbehaving gave no sign of life for 60 s"


def test_a_process_that_does_not_react_to_a_call_given_up_is_ended(
    make_isolated, ask, wait_until_gone, tmp_path, hurry
):
    blocked = tmp_path / "blocked"

    async def run():
        async with opened(make_isolated()) as backend:
            first = await read_pid(backend, ask)
            call = asyncio.ensure_future(ask(backend, f"block {blocked}", seconds=1e6))
            other = asyncio.ensure_future(ask(backend, "echo", seconds=1e6))
            await wait_for_file(blocked)
            child = backend._child
            beats, take = asyncio.Queue(), child._take
            child._take = lambda message: (beats.put_nowait(message), take(message))
            for _ in range(2):  # a thread of it still gives signs of life
                assert isinstance(await beats.get(), Beat)
            call.cancel()
            await hurry(other, lambda: take(Beat()))
            with pytest.raises(BackendError) as caught:
                await other
            await wait_until_gone(first)
            assert await ask_again(backend, ask, "echo") == "echo!"
            return caught.value

    assert str(asyncio.run(run())) == "the process of bad/misbehaving did not react for 60 s"


def test_an_error_in_a_thread_that_was_to_answer_ends_the_call_in_time(make_isolated, ask, wait_until_gone):
    async def run():
        async with opened(make_isolated()) as backend:
            first = await read_pid(backend, ask)
            with pytest.raises(BackendError) as caught:
                await ask(backend, "thread", seconds=2)
            await wait_until_gone(first)
            assert await ask_again(backend, ask, "echo") == "echo!"
            return caught.value

    error = asyncio.run(run())
    assert error.cause is Cause.TIMEOUT
    assert str(error) == ("no answer within 2 s; the process of bad/misbehaving gave none to anybody and was ended")


def test_a_slow_call_does_not_end_a_process_that_answers_others(make_isolated, ask, hurry):
    async def run():
        async with opened(make_isolated(silence=2000)) as backend:
            first = await read_pid(backend, ask)
            slow = asyncio.ensure_future(ask(backend, "wait 10000", seconds=1000))
            assert await ask(backend, "echo") == "echo!"
            await hurry(slow)  # less than the silence that would end the process
            assert await read_pid(backend, ask) == first
            return slow.exception()

    error = asyncio.run(run())
    assert (error.cause, str(error)) == (Cause.TIMEOUT, "no answer within 1000 s")


def test_the_quota_is_paused_while_another_process_starts(make_isolated, ask):
    async def run():
        told = []
        backend = make_isolated()
        backend.pause = told.append
        async with opened(backend):
            with pytest.raises(BackendError):
                await ask(backend, "die")
            at_once = list(told)  # before the call that failed can be made again
            await ask_again(backend, ask, "echo")
            return at_once, told

    at_once, told = asyncio.run(run())
    assert at_once
    assert len(told) > len(at_once)
    assert set(told) == {1.0}


def test_a_call_does_not_wait_longer_for_a_new_process_than_it_may(make_isolated, ask, tmp_path):
    async def run():
        backend = make_isolated(openings=tmp_path / "pids", on_open="wait 100", from_opening=2)
        async with opened(backend):
            with pytest.raises(BackendError):
                await ask(backend, "die")
            with pytest.raises(BackendError) as caught:
                await ask(backend, "echo", seconds=0.5)
            return caught.value

    error = asyncio.run(run())
    assert error.cause is Cause.OVERLOADED
    assert not error.maybe_billed
    assert str(error) == "the new process of bad/misbehaving is still starting"


def test_a_process_that_dies_again_and_again_stops_the_member(make_isolated, ask, tmp_path):
    pids = tmp_path / "pids"

    async def run():
        async with opened(make_isolated(openings=pids, on_open="exit 5", from_opening=2, restarts=2)) as backend:
            errors = []
            while not errors or not errors[-1].stops_member:
                with pytest.raises(BackendError) as caught:
                    await ask(backend, "die")
                errors.append(caught.value)
            return errors

    errors = asyncio.run(run())
    assert [(error.cause, error.stops_member) for error in errors[:1]] == [(Cause.TRANSPORT, False)]
    assert str(errors[-1]) == (
        "the process of bad/misbehaving ended with exit code 5; it last wrote: a last word; 2 new processes in a row "
        "gave no answer, so there is no other\n"
        "  run it with `isolate: false` to see what it writes, or allow more: isolate: {restarts: ...}"
    )
    assert len(pids.read_text().splitlines()) == 3


def test_without_restarts_the_first_end_is_the_last(make_isolated, ask):
    async def run():
        async with opened(make_isolated(restarts=0)) as backend:
            with pytest.raises(BackendError) as first:
                await ask(backend, "die")
            with pytest.raises(BackendError) as second:
                await ask(backend, "echo")
            return first.value.stops_member, second.value.stops_member

    assert asyncio.run(run()) == (False, True)


def test_an_answer_between_makes_the_count_begin_anew(make_isolated, ask):
    async def run():
        async with opened(make_isolated(restarts=1)) as backend:
            for _ in range(3):
                with pytest.raises(BackendError):
                    await ask(backend, "die")
                assert await ask_again(backend, ask, "echo") == "echo!"

    asyncio.run(run())


# teardown


def test_a_second_run_works_after_the_first_is_closed(make_isolated, ask):
    async def run(backend):
        async with opened(backend):
            return await ask(backend, "echo")

    backend = make_isolated()
    assert [asyncio.run(run(backend)) for _ in range(2)] == ["echo!"] * 2


def test_closing_without_opening_and_twice(make_isolated, ask):
    async def run():
        backend = make_isolated()
        await backend.aclose()
        await backend.open()
        await backend.aclose()
        await backend.aclose()
        with pytest.raises(BackendError, match="is not open"):
            await ask(backend, "echo")

    asyncio.run(run())


LATE = "the backend bad/misbehaving was not closed within 0.5 s; its process was ended"


@pytest.mark.parametrize(
    ("on_close", "seconds", "text"),
    [
        ("wait 1000", 0.5, LATE),
        ("block {}", 0.5, LATE),
        ("freeze", 0.5, LATE),
        ("raise so", 60, "the backend bad/misbehaving broke: ValueError: so"),
    ],
)
def test_teardown_returns_whatever_the_backend_does(
    make_isolated, ask, wait_until_gone, monkeypatch, tmp_path, on_close, seconds, text
):
    monkeypatch.setattr(child_module, "CLOSE_SECONDS", seconds)

    async def run():
        backend = make_isolated(on_close=on_close.format(tmp_path / "blocked"))
        await backend.open()
        assert await ask(backend, "deaf") == "deaf!"  # it ignores SIGTERM from here on
        pid = await read_pid(backend, ask)
        with pytest.raises(BackendError) as caught:
            await backend.aclose()
        await wait_until_gone(pid)
        return str(caught.value)

    assert asyncio.run(run()) == text


@pytest.mark.parametrize("order", ["die", "exit 0"])
def test_a_process_that_dies_while_it_closes_is_closed(make_isolated, order):
    async def run():
        backend = make_isolated(on_close=order)
        await backend.open()
        await backend.aclose()

    asyncio.run(run())


def test_teardown_while_calls_are_under_way_and_while_a_new_process_starts(make_isolated, ask):
    async def run():
        backend = make_isolated()
        await backend.open()
        call = asyncio.ensure_future(ask(backend, "wait 100"))
        await ask(backend, "echo")
        await backend.aclose()
        with pytest.raises(BackendError) as caught:
            await call
        await backend.open()
        with pytest.raises(BackendError):
            await ask(backend, "die")
        await backend.aclose()
        return caught.value

    assert asyncio.run(run()).cause is Cause.CANCELLED


def test_a_call_that_does_not_let_itself_be_given_up_is_cancelled_when_the_process_ends(make_isolated, ask):
    async def run():
        backend = make_isolated()
        await backend.open()
        call = asyncio.ensure_future(ask(backend, "stay"))
        await asyncio.sleep(0)  # it is sent first, so that it has begun when the other is answered
        await ask(backend, "echo")
        await backend.aclose()
        with pytest.raises(BackendError) as caught:
            await call
        return caught.value

    error = asyncio.run(run())
    assert (error.cause, str(error)) == (Cause.CANCELLED, "the process of bad/misbehaving was closed")


def test_opening_that_is_cancelled_leaves_nothing_behind(make_isolated, tmp_path, wait_until_gone):
    pids = tmp_path / "pids"

    async def run():
        backend = make_isolated(on_open="wait 1000", openings=pids)
        opening = asyncio.ensure_future(backend.open())
        await wait_for_file(pids)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await wait_until_gone(int(pids.read_text()))
        await backend.aclose()

    asyncio.run(run())


def test_what_the_process_has_started_ends_with_it(make_isolated, ask, wait_until_gone):
    async def run():
        async with opened(make_isolated()) as backend:
            first = int(await ask(backend, "spawn"))
            with pytest.raises(BackendError):
                await ask(backend, "die")
            await wait_until_gone(first)
            second = int(await ask_again(backend, ask, "spawn"))
        await wait_until_gone(second)

    asyncio.run(run())


OWNER = """
import asyncio, os, sys
sys.path.insert(0, sys.argv[1])
import pool_misbehaving
from pool_core.interfaces.isolation import Isolation
from pool_core.interfaces.values import Prompt, Request
from pool_core.isolation.backend import Isolated
from pool_core.isolation.messages import describe_backend

async def run():
    config = pool_misbehaving.Config()
    sent = describe_backend("bad/misbehaving", pool_misbehaving.Misbehaving, config, {})
    backend = Isolated(pool_misbehaving.Misbehaving(config), sent, Isolation(), None, bills=False)
    await backend.open()
    def ask(number, text):
        return backend.generate(Request(number, Prompt.chat(text), {}, 0, b"", 100.0))

    answers = [await ask(1, "pid"), await ask(2, "spawn")]
    call = asyncio.ensure_future(ask(3, sys.argv[2]))
    await asyncio.sleep(0.3)
    print(*(answer.text for answer in answers), flush=True)
    await call

asyncio.run(run())
"""


@pytest.mark.parametrize("busy", ["wait 100", "block {}"])
def test_the_process_and_what_it_has_started_end_when_the_owner_is_killed(wait_until_gone, tmp_path, busy):
    busy = busy.format(tmp_path / "blocked")
    modules = Path(__file__).parent / "modules"
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(modules), busy], stdout=subprocess.PIPE, text=True)
    with owner:
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        owner.kill()
    assert len(pids) == 2
    for pid in pids:
        asyncio.run(wait_until_gone(pid))


# devices


def test_the_device_is_set_before_anything_is_imported(make_isolated, ask):
    async def run(device):
        async with opened(make_isolated(device=device)) as backend:
            return await ask(backend, "environment CUDA_VISIBLE_DEVICES HIP_VISIBLE_DEVICES ZE_AFFINITY_MASK")

    assert asyncio.run(run("1")) == repr(
        {"CUDA_VISIBLE_DEVICES": "1", "HIP_VISIBLE_DEVICES": "1", "ZE_AFFINITY_MASK": "1"}
    )


def test_two_backends_run_side_by_side_with_a_device_each(make_isolated, ask):
    async def run():
        async with opened(make_isolated(device="0")) as one, opened(make_isolated(device="1")) as two:
            return await asyncio.gather(*(ask(each, "environment CUDA_VISIBLE_DEVICES") for each in (one, two)))

    assert asyncio.run(run()) == ["{'CUDA_VISIBLE_DEVICES': '0'}", "{'CUDA_VISIBLE_DEVICES': '1'}"]
