"""One process owns a run directory, until it ends."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack

import pytest

from pool_core.errors import RunLockedError
from pool_core.store.lock import RunLock
from pool_core.store.store import Store

OWNER = """
import sys, time
from pathlib import Path
from pool_core.store.store import Store

store = Store.open(Path(sys.argv[1]))
print("open", flush=True)
time.sleep(600)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that owns the run directory."""
    with subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "open\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path, other):
    with pytest.raises(RunLockedError) as error:
        Store.open(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: another process works on this run: process {other.pid} on {socket.gethostname()}\n"
        "  wait until it ends, stop it, or give this run another directory: --run-dir DIR"
    )
    with Store.read(tmp_path) as reader:
        assert reader.read_rows() == []
    other.kill()
    other.wait()
    with Store.open(tmp_path):
        assert str(os.getpid()) in (tmp_path / "owner.json").read_text()


def test_a_refusal_leaves_the_owner_in_place(tmp_path):
    with Store.open(tmp_path):
        for _ in range(2):
            with pytest.raises(RunLockedError, match=f"process {os.getpid()} on"):
                Store.open(tmp_path)
    assert not (tmp_path / "owner.json").exists()
    Store.open(tmp_path).close()


@pytest.mark.parametrize("owner", [None, "", "{", "[]", "{}", '"x"', "null"])
def test_an_owner_that_cannot_be_read_is_not_named(tmp_path, owner):
    lock = RunLock(tmp_path)
    lock.acquire()
    (tmp_path / "owner.json").unlink()
    if owner is not None:
        (tmp_path / "owner.json").write_text(owner)
    with pytest.raises(RunLockedError) as error:
        RunLock(tmp_path).acquire()
    assert error.value.message == "another process works on this run"
    lock.release()


def test_releasing_twice_or_without_the_lock_does_no_harm(tmp_path):
    lock, other = RunLock(tmp_path), RunLock(tmp_path)
    lock.acquire()
    other.release()
    assert (tmp_path / "owner.json").exists()
    lock.release()
    lock.release()
    other.acquire()
    other.release()


def test_another_thread_can_give_the_directory_back(tmp_path):
    lock = RunLock(tmp_path)
    lock.acquire()
    thread = threading.Thread(target=lock.release)
    thread.start()
    thread.join()
    again = RunLock(tmp_path)
    again.acquire()
    again.release()


def test_who_only_looks_and_takes_long_for_it_turns_nobody_away(tmp_path, monkeypatch):
    """As a process that shows a run does, on a machine that stands still in that moment."""
    monkeypatch.setattr("pool_core.store.lock._MOST_PATIENCE", 300.0)
    (tmp_path / "lock").touch()
    looking = RunLock(tmp_path)
    assert looking.share()
    thread = threading.Timer(1.0, looking.release)
    thread.start()
    owner = RunLock(tmp_path)
    owner.acquire()
    owner.release()
    thread.join()


ELSEWHERE = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM rows'); c.close()"


@pytest.mark.parametrize("read_before", [False, True])
def test_another_program_that_looks_into_the_file_does_not_take_its_log_away(tmp_path, make, read_before):
    """SQLite's own locks say that the file is in use. Who closes last removes the log, with what it holds."""
    folder = tmp_path / "run"
    Store.open(folder).close()
    with ExitStack() as readers:
        if read_before:
            readers.enter_context(Store.read(folder))
        with Store.open(folder) as store:
            make.save(store, (make.cell(1, 1), make.answer(b"k")))
            log = (folder / "run.sqlite-wal").stat()
            subprocess.run([sys.executable, "-c", ELSEWHERE, folder / "run.sqlite"], check=True)
            assert (folder / "run.sqlite-wal").stat().st_ino == log.st_ino
