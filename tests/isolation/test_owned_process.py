"""A process as the system sees it: how it has ended, what it last wrote, and that what it started ends with it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from pool_core.isolation.owned import OwnedProcess

PATIENCE = 100.0


def start(script):
    return OwnedProcess(
        subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, start_new_session=True)
    )


async def end(process):
    """Wait until it has ended and all that it wrote was read."""
    await process.keep_lines()
    assert await process.await_exit(PATIENCE)
    return await process.describe_end()


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("raise SystemExit(3)", "ended with exit code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended by SIGSEGV"),
        ("import os; os.kill(os.getpid(), 40)", "ended by signal 40"),
    ],
)
def test_how_it_has_ended(script, expected):
    async def run():
        process = start(script)
        found = await end(process)
        process.close()
        return found

    assert asyncio.run(run()) == expected


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("pass", ""),
        ("import sys; sys.stderr.write('first\\n\\nlast\\n\\n')", "; it last wrote: last"),
        ("import sys; sys.stderr.write('unfinished')", "; it last wrote: unfinished"),
        ("import sys; sys.stderr.buffer.write(b'\\x1b[2J\\xff\\n')", "; it last wrote: \\x1b[2J\ufffd"),
        ("import sys; sys.stderr.write('a' * 5_000_000 + 'z\\n' + 'b' * 400)", f"; it last wrote: {'b' * 300}"),
    ],
)
def test_what_it_last_wrote_is_cleaned_and_cut(script, expected):
    async def run():
        process = start(script)
        await end(process)
        process.close()
        return process.quote_lines()

    assert asyncio.run(run()) == expected


@pytest.mark.parametrize("how", ["kill", "terminate", "exit"])
def test_what_it_has_started_ends_with_it(how, wait_until_gone, tmp_path):
    told = tmp_path / "pid"
    os.mkfifo(told)
    last = "time.sleep(1000)" if how != "exit" else "sys.exit()"
    script = (
        "import pathlib, subprocess, sys, time\n"
        "started = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'])\n"
        f"pathlib.Path({str(told)!r}).write_text(str(started.pid))\n{last}"
    )

    async def run():
        process = start(script)
        pid = int(await asyncio.to_thread(told.read_text))  # waits until it writes
        if how == "kill":
            process.kill()
        elif how == "terminate":
            await process.terminate()
        assert await process.await_exit(PATIENCE)
        await wait_until_gone(pid)
        process.close()

    asyncio.run(run())
