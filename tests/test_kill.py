"""kill -9 at any moment: what was stored is never asked again, and in the end nothing is missing."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from random import Random

from pool_core import Member, Pool
from pool_core.data.records import read_generations, read_run_info
from pool_core.errors import StoreError
from pool_core.store.store import Store
from pool_core.store.writer import GROUP_SIZE
from pool_core.testing.scripted import EchoTask, ScriptedBackend, make_registry

CELLS = 300
CONCURRENCY = 4
#: Requests after which the process is killed; the first time as soon as its store is there.
MOMENTS = (0, 60, 1, 90)
#: Further requests that it answers until it waits for its end: who kills it may be late.
MARGIN = 20

SCRIPT = f"""
import asyncio, os, sys
from pathlib import Path
from pool_core import Member, Pool
from pool_core.recipe.models import Limits
from pool_core.testing.scripted import EchoTask, ScriptedBackend, make_registry

folder, most = Path(sys.argv[1]), int(sys.argv[2])
asked = os.open(folder / "asked", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

async def answer(request):
    global most
    most -= 1
    text = request.prompt.messages[-1].content
    os.write(asked, text.encode() + b"\\n")
    await asyncio.sleep(0.005 if most >= 0 else 1e6)
    return f"said {{text}}"

member = Member(
    name="a", backend=ScriptedBackend(answer), task=EchoTask(), limits=Limits(concurrency={CONCURRENCY}, timeout=1e7)
)
rows = [{{"text": f"row {{n}}"}} for n in range({CELLS})]
pool = Pool(members=[member], policies=())
pool.run(rows, run_dir=folder / "run", registry=make_registry())
"""


def test_a_run_that_is_killed_again_and_again_asks_nothing_stored_twice(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    database = tmp_path / "run" / "run.sqlite"
    random = Random(7)
    stored: set[str] = set()
    lost = 0
    for moment in MOMENTS:
        before = len(read_asked(tmp_path))
        process = subprocess.Popen([sys.executable, str(script), str(tmp_path), str(moment + MARGIN)])
        try:
            wait_for(lambda: moment <= len(read_asked(tmp_path)) - before and database.exists(), process)  # noqa: B023
            if moment > GROUP_SIZE:
                wait_for(lambda: len(read_stored(tmp_path / "run")) > len(stored), process)  # noqa: B023
            time.sleep(random.random() * 0.01)
        finally:
            process.kill()
            process.wait(300)
        asked = read_asked(tmp_path)
        assert not stored & set(asked[before:])
        stored, earlier = read_stored(tmp_path / "run"), stored
        assert earlier <= stored <= set(asked)
        assert len(asked) - before <= moment + MARGIN + CONCURRENCY
        lost += len(asked) - before - len(stored - earlier)
    assert 0 < len(stored) < CELLS

    before = len(read_asked(tmp_path))
    subprocess.run([sys.executable, str(script), str(tmp_path), str(CELLS)], timeout=300, check=True)
    asked = read_asked(tmp_path)
    assert not stored & set(asked[before:])
    assert len(asked) == CELLS + lost  # what was not durable yet, and nothing else
    assert set(asked) == {f"row {n}" for n in range(CELLS)}
    assert read_output(tmp_path / "run") == run_without_interruption(tmp_path / "whole")
    with Store.read(tmp_path / "run") as store:
        assert store._connection.execute("SELECT count(*) FROM answers").fetchone() == (CELLS,)
        assert store._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def wait_for(condition, process):
    end = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        assert process.poll() is None
        time.sleep(0.002)


def read_asked(folder):
    path = folder / "asked"
    return path.read_text().splitlines() if path.exists() else []


def read_stored(run_dir):
    """The prompts whose answers are in the store: each says what it answers."""
    try:
        store = Store.read(run_dir)
    except StoreError:  # killed before it had made the tables
        return set()
    with store:
        found = [store.read_answer(key) for (key,) in store._connection.execute("SELECT key FROM answers").fetchall()]
    texts = Counter(body.split(b'"said ')[1].split(b'"')[0].decode() for body in found)
    assert set(texts.values()) <= {1}
    return set(texts)


def read_output(run_dir):
    with Store.read(run_dir) as store:
        return [(row.row_id, row.data, found) for row, found in read_generations(store, read_run_info(store))]


def run_without_interruption(run_dir):
    backend = ScriptedBackend(lambda request: f"said {request.prompt.messages[-1].content}")
    pool = Pool(members=[Member(name="a", backend=backend, task=EchoTask())], policies=())
    pool.run([{"text": f"row {n}"} for n in range(CELLS)], run_dir=run_dir, registry=make_registry())
    return read_output(run_dir)
