"""Bytes of a small run are changed and cut off, everywhere: no crash, nothing wrong, at most one answer paid again.

A sample of the positions is tried; ``POOL_EVERY_BYTE=1`` tries them all, which takes an hour.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from random import Random

import pytest

from pool_core import Member, Pool
from pool_core.api import Contribution, hookimpl
from pool_core.errors import StoreError
from pool_core.registry.loading import load_plugin
from pool_core.registry.records import Record
from pool_core.store.pages import read_answers
from pool_core.store.repair import repair_run
from pool_core.store.store import Store
from pool_core.testing.scripted import ScriptedBackend, ScriptedConfig, make_registry

ROWS = [{"id": f"r{number}", "text": f"text {number}"} for number in range(12)]
MEMBERS = ("a", "b")
SAMPLE = 50
EVERY = bool(os.environ.get("POOL_EVERY_BYTE"))


class CountingBackend(ScriptedBackend):
    """Says the same to the same, and counts."""

    Config = ScriptedConfig
    asked = 0

    def __init__(self, config):
        super().__init__(self.answer, config.model)

    def answer(self, request):
        CountingBackend.asked += 1
        return f"{self.model} says {request.prompt.messages[-1].content}"


class CountingPlugin:
    @hookimpl
    def pool_tasks(self):
        yield Contribution("echo", factory="pool_core.testing.scripted:EchoTask")

    @hookimpl
    def pool_backends(self):
        yield Contribution("counting", factory=f"{__name__}:CountingBackend")


def run(folder):
    """Run the pool. Returns its records, what it asked, and its notes."""
    registry = make_registry()
    # of a version that is known, so that settled cells are not looked at anew
    record = Record("installed", "installed", "pool-installed", "1.0", 1)
    registry._plugins.append(load_plugin(registry._manager, record, CountingPlugin()))
    members = [Member(name=name, backend={"use": "counting", "model": name}, task="echo") for name in MEMBERS]
    CountingBackend.asked = 0
    result = Pool(members=members, policies=()).run(ROWS, id_column="id", run_dir=folder, registry=registry)
    return list(result.rows()), CountingBackend.asked, result.summary.notes


@pytest.fixture(scope="module")
def memory():
    """A folder in memory, where there is one: these tests are about content, and a disk would take minutes."""
    place = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=place if os.access(place, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture
def folder(memory):
    """A folder for one copy."""
    yield memory / "copy"
    shutil.rmtree(memory / "copy", ignore_errors=True)


@pytest.fixture(scope="module")
def original(memory):
    """A finished run, and what it gives."""
    folder = memory / "original"
    records, asked, _ = run(folder)
    assert asked == len(ROWS) * len(MEMBERS)
    return folder, records


@pytest.fixture(scope="module")
def killed(memory):
    """The same run as a kill leaves it: all that was written is in the log."""
    folder = memory / "killed"
    Store.open(folder).close()
    with Store.read(folder) as reader, reader.freeze():  # who reads keeps the log as it is
        records, _, _ = run(folder)
        copy = memory / "killed-copy"
        shutil.copytree(folder, copy)
    return copy, records


def choose(size, count=SAMPLE, seed=0):
    return range(size) if EVERY else sorted(Random(seed).sample(range(size), count))


def run_and_mend(folder):
    """As a person would: run, and repair where the message says so."""
    try:
        return run(folder)
    except StoreError as error:
        if "pool repair" not in error.hint:
            raise
    repair_run(folder)
    return run(folder)


def check(folder, records, *, most_asked):
    """Whatever was damaged: the outputs are the same, and at most so many answers were paid again."""
    found, asked, _ = run_and_mend(folder)
    assert found == records
    assert asked <= most_asked
    assert run(folder) == (records, 0, ())


def change_byte(path, at, bits):
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ bits]))


@pytest.mark.parametrize("bits", [1, 0x80, 0xFF])
def test_any_byte_of_the_file_may_change(original, folder, bits):
    source, records = original
    for at in choose((source / "run.sqlite").stat().st_size, seed=bits):
        shutil.copytree(source, folder)
        change_byte(folder / "run.sqlite", at, bits)
        check(folder, records, most_asked=1)
        shutil.rmtree(folder)


def test_any_byte_of_the_log_may_change(killed, folder):
    source, records = killed
    assert (source / "run.sqlite-wal").stat().st_size > 10_000
    for at in choose((source / "run.sqlite-wal").stat().st_size):
        shutil.copytree(source, folder)
        change_byte(folder / "run.sqlite-wal", at, 0x21)
        check(folder, records, most_asked=1)
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["run.sqlite", "run.sqlite-wal"])
def test_a_file_may_be_cut_off_anywhere(original, killed, folder, name):
    """What lay beyond the cut is gone; every answer before it is used."""
    source, records = original if name == "run.sqlite" else killed
    for length in choose((source / name).stat().st_size):
        shutil.copytree(source, folder)
        os.truncate(folder / name, length)
        left = {record[0] for record in read_answers(folder / "run.sqlite")}
        check(folder, records, most_asked=len(ROWS) * len(MEMBERS) - len(left))
        shutil.rmtree(folder)
