"""Virtual time: no wall time passes, order is exact, a deadlock is said, threads can hand work over."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from pool_core.testing.virtual_time import DeadlockError, run_virtual


def test_clock_starts_at_zero_and_jumps_without_wall_time():
    async def main():
        loop = asyncio.get_running_loop()
        seen = [loop.time()]
        await asyncio.sleep(0.1)
        seen.append(loop.time())
        await asyncio.sleep(10 * 24 * 3600)  # longer than the longest single wait of asyncio
        seen.append(loop.time())
        return seen

    started = time.monotonic()
    assert run_virtual(main()) == [0.0, 0.1, 0.1 + 10 * 24 * 3600]
    assert time.monotonic() - started < 600


def test_sleepers_wake_in_order_of_time_and_overlap():
    async def main():
        woken = []

        async def sleep(seconds):
            await asyncio.sleep(seconds)
            woken.append((seconds, asyncio.get_running_loop().time()))

        await asyncio.gather(*(sleep(seconds) for seconds in (3.0, 1.0, 2.0, 0.0)))
        return woken

    assert run_virtual(main()) == [(0.0, 0.0), (1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]


def test_timeout_fires_at_its_time():
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.sleep(31)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 30


def test_call_later_runs_at_its_time():
    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_later(7.5, lambda: future.set_result(loop.time()))
        return await future

    assert run_virtual(main()) == 7.5


def test_exception_of_the_coroutine_comes_through():
    async def main():
        await asyncio.sleep(1)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run_virtual(main())


def test_deadlock_is_an_error_that_names_the_waiting_coroutine():
    async def wait_for_nothing():
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError, match=r"(?s)no timer is set.*wait_for_nothing.*threads=True"):
        run_virtual(wait_for_nothing())


def test_deadlock_still_runs_the_cleanup_of_tasks():
    cleaned = []

    async def main():
        try:
            await asyncio.sleep(5)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(2)
            cleaned.append(asyncio.get_running_loop().time())

    with pytest.raises(DeadlockError, match=r"deadlock at 5\.0 s"):
        run_virtual(main())
    assert cleaned == [7.0]


def hand_over(loop, future, delay):
    """Set ``future`` from another thread after ``delay`` seconds of wall time."""

    def work():
        time.sleep(delay)
        loop.call_soon_threadsafe(future.set_result, "handed over")

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_thread_may_hand_work_over_when_no_timer_is_set():
    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        thread = hand_over(loop, future, 0.02)
        result = await future
        thread.join()
        return result, loop.time()

    assert run_virtual(main(), threads=True) == ("handed over", 0.0)


def test_clock_stands_still_while_the_given_function_says_that_a_thread_is_busy():
    threads = []

    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        threads.append(hand_over(loop, future, 0.03))
        async with asyncio.timeout(0.001):
            result = await future
        handed_over_at = loop.time()
        await asyncio.sleep(5)
        return result, handed_over_at, loop.time()

    is_busy = lambda: any(thread.is_alive() for thread in threads)  # noqa: E731
    assert run_virtual(main(), threads=is_busy) == ("handed over", 0.0, 5.0)


def test_without_the_function_a_timer_overtakes_the_thread():
    async def main():
        loop = asyncio.get_running_loop()
        future, slept = loop.create_future(), threading.Event()
        work = lambda: slept.wait(60) and loop.call_soon_threadsafe(future.set_result, "handed over")  # noqa: E731
        thread = threading.Thread(target=work)
        thread.start()
        await asyncio.sleep(1000)
        overtaken = not future.done()
        slept.set()
        await future
        thread.join()
        return overtaken

    assert run_virtual(main(), threads=True) is True


def test_executor_work_is_waited_for_while_the_clock_stands_still():
    async def main():
        async with asyncio.timeout(0.001):
            result = await asyncio.to_thread(lambda: time.sleep(0.03) or "done")
        return result, asyncio.get_running_loop().time()

    assert run_virtual(main()) == ("done", 0.0)


def test_deadlock_after_executor_work_is_still_said():
    async def main():
        await asyncio.to_thread(int)
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError):
        run_virtual(main())


def test_deadlock_is_said_when_the_given_function_says_that_no_thread_is_busy():
    async def main():
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError):
        run_virtual(main(), threads=lambda: False)


def test_sockets_within_the_loop_work():
    async def main():
        async def serve(reader, writer):
            await asyncio.sleep(60)
            writer.write(await reader.readline())
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello\n")
            line = await reader.readline()
            writer.close()
            await writer.wait_closed()
        return line, asyncio.get_running_loop().time()

    assert run_virtual(main(), threads=True) == (b"hello\n", 60.0)
