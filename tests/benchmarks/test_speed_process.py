"""A command that is measured with all that it starts."""

from __future__ import annotations

import sys

import pytest
from speed.process import measure

BURN = """
import time
until = time.process_time() + {seconds}
while time.process_time() < until:
    pass
"""
#: Live until the process whose number is given has slept five times more: between two sleeps it looks at its family.
WAIT = """
import pathlib, re, sys
def count():
    told = pathlib.Path(f"/proc/{sys.argv[1]}/status").read_text()
    return int(re.search(r"^voluntary_ctxt_switches:\\s*(\\d+)", told, re.M)[1])
before = count()
while count() < before + 5:
    time.sleep(0.05)
"""


def run(folder, code, limit=60.0):
    return measure([sys.executable, "-c", code], folder, limit)


def test_time_memory_code_and_output_are_those_of_the_command(tmp_path):
    done = run(tmp_path, BURN.format(seconds=0.2) + "x = b'x' * 100_000_000\nprint('done')\nraise SystemExit(3)")
    assert (done.code, done.output.strip(), done.processes) == (3, "done", 1)
    assert min(done.cpu, done.wall) >= 0.2
    assert done.memory > 100_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux")
def test_what_children_and_orphans_take_counts(tmp_path):
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN.format(seconds=0.2)!r}])"
    orphan = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {BURN.format(seconds=0.2)!r}])"
    done = run(tmp_path, child)
    assert done.cpu >= 0.2
    done = run(tmp_path, orphan)
    assert done.cpu >= 0.2


@pytest.mark.skipif(sys.platform != "linux", reason="what is seen of processes is Linux's")
def test_who_ignores_the_end_of_its_children_does_not_hide_their_time(tmp_path):
    code = f"""
import os, signal, subprocess, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, '-c', {(BURN.format(seconds=0.4) + WAIT)!r}, str(os.getppid())])
child.wait()
"""
    done = run(tmp_path, code)
    assert (done.code, done.processes) == (0, 2)
    assert done.cpu >= 0.3  # its parent alone takes a tenth of that


def test_a_command_that_does_not_end_is_killed(tmp_path):
    done = run(tmp_path, "import time; time.sleep(600)", limit=0.3)
    assert done.code == -9
    assert done.wall < 60
