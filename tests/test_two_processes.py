"""Two processes on one run directory: one works, the other is told so, and the directory stays good."""

from __future__ import annotations

import json
import subprocess
import sys

from pool_core.data.records import read_generations, read_run_info
from pool_core.store.repair import repair_run
from pool_core.store.store import Store

PAIRS = 50

#: Forks pairs of processes that start together; who works waits until the other has been refused.
SCRIPT = f"""
import json, os, sys
from pathlib import Path
from pool_core import Member, Pool
from pool_core.errors import RunLockedError
from pool_core.testing.scripted import EchoTask, ScriptedBackend, make_registry

folder = Path(sys.argv[1])

def work(number, start, refused):
    os.read(start[0], 1)

    def answer(request):
        assert os.read(refused[0], 1) == b"r"
        text = request.prompt.messages[-1].content
        with (folder / "asked").open("a") as file:
            file.write(text + "\\n")
        return f"said {{text}}"

    member = Member(name="a", backend=ScriptedBackend(answer), task=EchoTask())
    rows = [{{"id": str(n), "text": f"row {{n}}"}} for n in range(number + 1)]
    pool = Pool(members=[member], policies=())
    try:
        pool.run(rows, id_column="id", run_dir=folder / "run", registry=make_registry())
    except RunLockedError as error:
        os.write(refused[1], b"r")
        assert "another process works on this run" in str(error), error
        return 7
    return 0

found = []
for number in range({PAIRS}):
    start, refused = os.pipe(), os.pipe()
    pids = []
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = work(number, start, refused)
            finally:
                sys.stderr.flush()
                os._exit(code)
        pids.append(pid)
    os.write(start[1], b"go")
    found.append(sorted(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids))
    for descriptor in (*start, *refused):
        os.close(descriptor)
print(json.dumps(found))
"""


def test_of_two_processes_that_start_together_one_works_and_one_is_refused(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, timeout=300, check=True
    )
    assert json.loads(done.stdout) == [[0, 7]] * PAIRS
    assert (tmp_path / "asked").read_text().splitlines() == [f"row {number}" for number in range(PAIRS)]
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"lock", "plan.json", "report.json", "run.sqlite"}
    assert repair_run(tmp_path / "run").sound
    with Store.read(tmp_path / "run") as store:
        said = [found[0]["said"] for _, found in read_generations(store, read_run_info(store))]
    assert said == [f"said row {number}" for number in range(PAIRS)]
