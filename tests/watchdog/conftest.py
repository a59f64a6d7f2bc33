"""What the tests of the watchdog share: a guard against hangs, and calls in the main or another thread."""

from __future__ import annotations

import signal
import threading

import pytest

#: So long that a machine that is only slow never takes it.
HANG_SECONDS = 300


@pytest.fixture(autouse=True)
def _hang_guard():
    """A test that hangs fails, with the place where it hangs."""

    def fail(_number, _frame):
        raise RuntimeError(f"the test hangs: {HANG_SECONDS} s have passed")

    before = signal.signal(signal.SIGALRM, fail)
    signal.setitimer(signal.ITIMER_REAL, HANG_SECONDS)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(params=["main thread", "another thread"])
def perform(request):
    """Calls a function in the main thread, or in another one, and returns what it returns or raises."""

    def perform_here(function):
        return function()

    def perform_elsewhere(function):
        ended = []

        def work():
            try:
                ended.append((function(), None))
            except BaseException as error:  # noqa: BLE001 - raised again below
                ended.append((None, error))

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(HANG_SECONDS)
        assert ended, "the thread hangs"
        value, error = ended[0]
        if error is not None:
            raise error
        return value

    return perform_here if request.param == "main thread" else perform_elsewhere
