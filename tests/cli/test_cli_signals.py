"""A signal at any moment of a run: it ends with a documented code and a word, and nothing that was answered is lost."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from random import Random

import pytest

ROWS = 40
#: A wait for what never takes long on a machine that works.
LONG = 300

RECIPE = """\
rows: {path: rows.jsonl, id: id}
output: out.jsonl
pool:
  policies: []
  members:
    - name: a
      backend: {use: simulate, latency: 0.04, sigma: 0, model: a}
      task: text-generation
      limits: {concurrency: 4}
"""
#: Minutes for all rows: what is no part of a request may change from one run to the next.
SLOW_RECIPE = RECIPE.replace("concurrency: 4", "concurrency: 4, rpm: 6")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    rows = "".join(f'{{"id": "{number}", "instruction": "row {number}"}}\n' for number in range(ROWS))
    (tmp_path / "rows.jsonl").write_text(rows)
    return tmp_path


def start(folder):
    arguments = [sys.executable, "-m", "pool_core", "run", "recipe.yaml"]
    return subprocess.Popen(arguments, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def owns(folder, running):
    """Whether the process has taken the run directory: from then on it works."""
    owner = folder / "runs" / "recipe" / "owner.json"
    try:
        return json.loads(owner.read_text())["pid"] == running.pid
    except (OSError, ValueError):
        return False


def count(folder, table):
    file = folder / "runs" / "recipe" / "run.sqlite"
    if not file.is_file():
        return 0
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        try:
            return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        except sqlite3.OperationalError:
            return 0  # the tables are not there yet


@pytest.mark.plugins("standard", "replay")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("times", [1, 2])
def test_a_signal_at_any_moment(folder, number, times):
    """From the start of its work to its end; the interpreter's own start is before anything of ours.

    The first run cannot have ended before its signal comes.
    """
    random = Random(number * 10 + times)
    answered = 0
    for recipe, ends in ((SLOW_RECIPE, (130,)), (RECIPE, (0, 130)), (RECIPE, (0, 130))):
        (folder / "recipe.yaml").write_text(recipe)
        running = start(folder)
        while not owns(folder, running) and running.poll() is None:
            time.sleep(0.005)
        time.sleep(random.uniform(0, 0.3))
        for _ in range(times):
            running.send_signal(number)
            time.sleep(0.02)
        _, err = running.communicate(timeout=LONG)
        assert running.returncode in ends, err
        if running.returncode == 130:
            assert "stopping" in err or "interrupted" in err
        stored = count(folder, "answers")
        assert stored >= answered  # what was answered is kept
        answered = stored
    last = start(folder)
    _, err = last.communicate(timeout=LONG)
    assert (last.returncode, err) == (0, "")
    assert count(folder, "cells") == ROWS
    assert count(folder, "answers") == ROWS  # none was asked twice: what a second signal gave up never came


def wait_for_reader(pipe):
    """The end to write to, once somebody reads the other."""
    while True:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody yet
            time.sleep(0.01)


def send_until_it_ends(running, number):
    """What it wrote to standard error. A signal just before Python blocks in a call is only seen after it: a person
    presses again. Once one is seen the others are ignored."""
    for _ in range(60):
        running.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            return running.communicate(timeout=2)[1]
    raise AssertionError("it goes on after 60 signals")


def test_a_signal_never_meets_the_systems_own_answer(pool, recipe, monkeypatch):
    """It would end the process in the midst of its work: without the output, and by a signal instead of a code."""
    install, installed = signal.signal, []

    def note(number, handler):
        installed.append((number, handler))
        return install(number, handler)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: install(number, lambda *_: None) for number in numbers}
    try:
        monkeypatch.setattr(signal, "signal", note)
        assert pool("run", recipe).code == 0
    finally:
        for number, handler in before.items():
            install(number, handler)
    assert {number for number, _ in installed} >= set(numbers)
    own = (signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler)
    assert [handler for number, handler in installed if number in numbers and handler in own] == []


@pytest.mark.plugins("standard", "replay")
def test_a_signal_before_the_engine_runs_says_what_became_of_it(folder):
    """The rows come from a pipe that nobody writes: the run waits for them."""
    (folder / "rows.jsonl").unlink()
    os.mkfifo(folder / "rows.jsonl")
    for number in (signal.SIGINT, signal.SIGTERM):
        running = start(folder)
        writing = wait_for_reader(folder / "rows.jsonl")
        err = send_until_it_ends(running, number)
        os.close(writing)
        assert (running.returncode, err) == (
            130,
            "interrupted; what was answered is kept, and the same command goes on\n",
        )
