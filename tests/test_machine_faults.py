"""The machine fails at one write after the other: the process is killed there, the disk is full, or it breaks.

`strace` does it, at the system calls of a real run. A sample of the writes is tried; ``POOL_EVERY_WRITE=1`` tries
them all, which takes half an hour.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from pool_core.errors import StoreError
from pool_core.store.store import Store

CELLS = 6
#: System calls that change a file. The program's own log is written by another, so that it stays true.
WRITES = "write,pwrite64,ftruncate,fsync,fdatasync,rename,unlink,linkat"
TRACE = ["strace", "-f", "-e", f"trace={WRITES}"]
SAMPLE = 4
EVERY = bool(os.environ.get("POOL_EVERY_WRITE"))
PATIENCE = 300

SCRIPT = f"""
import asyncio, os, sys
from contextlib import asynccontextmanager
from pathlib import Path
from pool_core.errors import StoreError
from pool_core.job import run_plan
from pool_core.plan.build import make_plan
from pool_core.plan.rows import MemoryRows
from pool_core.recipe.models import Limits, Member, Output, PoolSpec, Recipe
from pool_core.store import writer
from pool_core.testing.scripted import EchoTask, ScriptedBackend, make_registry
from pool_core.testing.scripted_plugin import ScriptedPlugin

folder, mode = Path(sys.argv[1]), sys.argv[2]
writer.GROUP_SIZE = writer.LARGEST_GROUP = 2  # as many commits in each run, whoever is slow
writer.GROUP_SECONDS = {PATIENCE}
asked = os.open(folder / "asked", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def answer(request):
    text = request.prompt.messages[-1].content
    os.writev(asked, [text.encode() + b"\\n"])
    return f"said {{text}}"

@asynccontextmanager
async def wait_for_tracer(engine):
    if mode == "wait":
        os.writev(1, [b"ready"])
        while b"TracerPid:\\t0" in Path("/proc/self/status").read_bytes():
            await asyncio.sleep(0.001)
        os.read(0, 1)
    yield

registry = make_registry()
registry.register(ScriptedPlugin(), name="scripted")
member = Member(name="a", backend=ScriptedBackend(answer), task=EchoTask(), limits=Limits(concurrency=2))
rows = MemoryRows([{{"id": str(n), "text": f"row {{n}}"}} for n in range({CELLS})], "id")
recipe = Recipe(pool=PoolSpec(members=[member], policies=()), output=Output(path=folder / "out.json"))
plan = make_plan(recipe, registry, rows=rows)
try:
    asyncio.run(run_plan(plan, registry, folder / "run", watch=wait_for_tracer))
except StoreError as error:
    os.writev(2, [str(error).encode()])
    os._exit(9)
os._exit(0)
"""


def can_trace():
    if shutil.which("strace") is None:
        return False
    done = subprocess.run(["strace", "-f", "-e", "inject=getppid:error=EIO", "true"], capture_output=True, check=False)
    return done.returncode == 0


pytestmark = pytest.mark.skipif(not can_trace(), reason="strace is missing, or may not trace here")


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("script") / "script.py"
    path.write_text(SCRIPT)
    return path


@pytest.fixture(scope="module")
def place():
    """Where the runs are kept. In memory where that can be: these tests do not need the disk's own slowness."""
    return Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None


@pytest.fixture
def folder(place, tmp_path):
    made = (place or tmp_path) / f"pool-faults-{os.getpid()}"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    yield made
    shutil.rmtree(made)


def run(script, folder, fault=""):
    """Run the script, with a fault from the start. Returns its exit code, negative where a signal ended it."""
    command = [sys.executable, "-B", str(script), str(folder), "go"]
    if fault:
        command = [*TRACE, "-o", os.devnull, "-e", f"inject={fault}", *command]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    return done.returncode, done.stderr.decode()


def run_engine(script, folder, fault):
    """Run the script, with a fault from the moment on at which the engine starts and its writer with it."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-B", str(script), str(folder), "wait"]
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout.read(5) == b"ready"
        tracing = [*TRACE, "-o", os.devnull, "-e", f"inject={fault}", "-p", str(process.pid)]
        with subprocess.Popen(tracing, stderr=subprocess.PIPE), suppress(BrokenPipeError):
            _, errors = process.communicate(b"\n", timeout=PATIENCE)
    return process.returncode, errors.decode()


def read_asked(folder):
    path = folder / "asked"
    return path.read_text().splitlines() if path.exists() else []


def read_stored(folder):
    """What the store says, in the answers of finished cells."""
    try:
        store = Store.read(folder / "run")
    except StoreError as error:
        assert "there is no run" in str(error)  # noqa: PT017 - killed before the tables were made
        return set()
    with store:
        cells = [cell for row in store.read_rows() for cell in store.read_cells(row.key)]
        return {json.loads(cell.outputs)["said"].removeprefix("said ") for cell in cells}


WANTED = [{"id": str(n), "text": f"row {n}"} for n in range(CELLS)]


def check_goes_on(script, folder):
    """A run without faults completes what the faulty one has left, and asks nothing that was stored."""
    before = read_asked(folder)
    stored = read_stored(folder)
    assert stored <= set(before)
    code, errors = run(script, folder)
    assert (code, errors) == (0, "")
    again = read_asked(folder)[len(before) :]
    assert not stored & set(again)
    assert set(before) | set(again) == {f"row {n}" for n in range(CELLS)}
    records = json.loads((folder / "out.json").read_text())
    assert [{"id": record["id"], "text": record["text"]} for record in records] == WANTED
    assert [record["generations"][0]["said"] for record in records] == [f"said row {n}" for n in range(CELLS)]


def clean(folder):
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def choose(numbers, seed):
    return numbers if EVERY else sorted(Random(seed).sample(numbers, min(SAMPLE, len(numbers))))


@pytest.fixture(scope="module")
def writes(script, tmp_path_factory):
    """The writes of a clean run, in order: of its main thread and of its writer."""
    folder = tmp_path_factory.mktemp("count")
    log = folder / "log"
    (folder / "x").mkdir()
    command = [*TRACE, "-o", str(log), sys.executable, "-B", str(script), str(folder / "x"), "go"]
    subprocess.run(command, timeout=PATIENCE, check=True, capture_output=True)
    threads = {}
    for line in log.read_text().splitlines():
        if call := re.match(r"(\d+) +(\w+)\(", line):
            threads.setdefault(call[1], []).append(call[2])
    main, writer = threads.values()
    assert len(main) > 50
    assert len(writer) >= 4
    return main, writer


#: Calls at which something happens, and what; with ``+`` at every one from the Nth on.
FAULTS = {
    "kill": (WRITES, "signal=SIGKILL", ""),
    "full": ("write,pwrite64,ftruncate", "error=ENOSPC", "+"),
    "full for a moment": ("write,pwrite64,ftruncate", "error=ENOSPC", ""),
    "broken write": ("write,pwrite64", "error=EIO", "+"),
    "broken sync": ("fsync,fdatasync", "error=EIO", "+"),
    "broken sync for a moment": ("fsync,fdatasync", "error=EIO", ""),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("start", ["from the start", "of the engine"])
def test_the_machine_fails_at_a_write(script, folder, writes, name, start):
    """Each call is counted by itself, in each thread: so every write of a thread is one call and one number."""
    calls, what, all_that_follow = FAULTS[name]
    execute, thread = (run, writes[0]) if start == "from the start" else (run_engine, writes[1])
    places = [(call, number) for call in calls.split(",") for number in range(1, thread.count(call) + 1)]
    codes = []
    for call, number in choose(places, seed=len(name)):
        code, errors = execute(script, folder, f"{call}:{what}:when={number}{all_that_follow}")
        assert code in ((-9, 137) if name == "kill" else (0, 9)), (call, number, errors)
        assert (errors != "") == (code == 9)
        codes.append(code)
        check_goes_on(script, folder)
        clean(folder)
    assert any(codes)  # what fails when the run has ended and its file is closed costs nothing
