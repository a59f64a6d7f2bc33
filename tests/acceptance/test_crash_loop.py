"""A whole run over HTTP that is killed again and again: `benchmarks/crash_loop.py`, small."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "crash_loop.py"


@pytest.mark.plugins("standard", "openai")
def test_a_run_that_is_killed_asks_nothing_stored_again_and_ends_as_if_it_had_not_been():
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--rows", "40", "--kills", "6", "--latency", "0.03"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "120 cells, 6 kills" in done.stdout
    assert "answers that were stored and asked again: 0; rows in the output: 40 of 40" in done.stdout
    assert "byte by byte: yes" in done.stdout
