"""The Python interface: in scripts, inside a running event loop, awaited, and interrupted by a real signal."""

from __future__ import annotations

import asyncio
import contextvars
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import BaseModel

from pool_core import Member, Pool, run_recipe
from pool_core.api import Contribution, hookimpl
from pool_core.errors import IncompatibleError, PluginError, RecipeError, StoreError, UsageError
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.data import Reader, Writer
from pool_core.interfaces.values import Finding
from pool_core.recipe.models import Limits
from pool_core.store.store import Store
from pool_core.testing.scripted import EchoTask, ScriptedBackend, ScriptedConfig, make_registry
from pool_core.testing.virtual_time import run_virtual

ROWS = [{"id": 1, "text": "one"}, {"id": 2, "text": "two"}]


def make_pool(script=lambda request: f"said {request.prompt.messages[-1].content}", *, names="a", **limits):
    members = [
        Member(name=name, backend=ScriptedBackend(script, name), task=EchoTask(), limits=Limits(**limits))
        for name in names
    ]
    return Pool(members=members, policies=())


class LinesWriter(Writer[PluginConfig]):
    """Writes one JSON object a line."""

    Config: ClassVar[type[BaseModel]] = PluginConfig

    def write(self, records, schema):
        lines = [json.dumps(record) for record in records]
        self.path.write_text("\n".join(lines))
        return len(lines)


class LinesReader(Reader[PluginConfig]):
    """Reads one JSON object a line."""

    Config: ClassVar[type[BaseModel]] = PluginConfig

    def read(self):
        for number, line in enumerate(self.path.read_text().splitlines(), start=1):
            yield f"line {number}", json.loads(line)


class ReplyingBackend(ScriptedBackend):
    """Says what was asked."""

    Config = ScriptedConfig

    def __init__(self, config):
        super().__init__(lambda request: f"said {request.prompt.messages[-1].content}", config.model)


class LinesPlugin:
    """What a recipe of these tests names."""

    @hookimpl
    def pool_readers(self):
        yield Contribution("lines", factory=f"{__name__}:LinesReader", suffixes=(".lines",))

    @hookimpl
    def pool_writers(self):
        yield Contribution("lines", factory=f"{__name__}:LinesWriter", suffixes=(".lines",))

    @hookimpl
    def pool_tasks(self):
        yield Contribution("echo", factory="pool_core.testing.scripted:EchoTask")

    @hookimpl
    def pool_backends(self):
        yield Contribution("replying", factory=f"{__name__}:ReplyingBackend")


def make_lines_registry():
    registry = make_registry()
    registry.register(LinesPlugin(), "lines")
    return registry


# Three ways to run


def check_result(result, run_dir):
    assert (result.summary.status, result.run_dir, result.summary.rows) == ("complete", run_dir, 2)
    assert [record["said"] for record in result.rows("long")] == ["said one", "said two"]


def test_run_in_a_script(tmp_path):
    result = make_pool().run(ROWS, run_dir=tmp_path / "run", registry=make_registry())
    check_result(result, tmp_path / "run")


def test_run_inside_a_running_event_loop(tmp_path):
    async def notebook():
        return make_pool().run(iter(ROWS), run_dir=str(tmp_path / "run"), registry=make_registry())

    check_result(asyncio.run(notebook()), tmp_path / "run")


def test_run_in_another_thread(tmp_path):
    found = []
    thread = threading.Thread(
        target=lambda: found.append(make_pool().run(ROWS, run_dir=tmp_path / "run", registry=make_registry()))
    )
    thread.start()
    thread.join(300)
    check_result(found[0], tmp_path / "run")


def test_arun_is_awaited_beside_other_work(tmp_path):
    async def slow(request):
        await asyncio.sleep(5)
        return f"said {request.prompt.messages[-1].content}"

    async def main():
        pool = make_pool(slow)
        run = asyncio.ensure_future(pool.arun(ROWS, run_dir=tmp_path / "run", registry=make_registry()))
        await asyncio.sleep(2)
        assert not run.done()
        return await run

    check_result(run_virtual(main(), threads=True), tmp_path / "run")


def test_cancelling_arun_keeps_what_was_paid_for(tmp_path):
    async def answer(request):
        await asyncio.sleep(1 if request.prompt.messages[-1].content == "one" else 1000)
        return "yes"

    async def main():
        pool = make_pool(answer, timeout=10_000)
        run = asyncio.ensure_future(pool.arun(ROWS, run_dir=tmp_path / "run", registry=make_registry()))
        await asyncio.sleep(10)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    run_virtual(main(), threads=True)
    asked = []
    result = make_pool(lambda request: asked.append(request.prompt.messages[-1].content) or "no").run(
        ROWS, run_dir=tmp_path / "run", registry=make_registry()
    )
    assert asked == ["two"]
    assert [record["said"] for record in result.rows("long")] == ["yes", "no"]


def test_run_sees_the_callers_context(tmp_path):
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("from the caller")
    result = make_pool(lambda _: variable.get()).run(ROWS, run_dir=tmp_path / "run", registry=make_registry())
    assert {record["said"] for record in result.rows("long")} == {"from the caller"}


def test_errors_reach_the_caller(tmp_path):
    def never(_members):
        return [Finding("error", "never", "they never fit")]

    pool = Pool(members=make_pool(names="ab").members, policies=(never,))
    with pytest.raises(IncompatibleError, match="never: they never fit"):
        pool.run(ROWS, run_dir=tmp_path / "run", registry=make_registry())
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="the run directory cannot be written"):
        make_pool().run(ROWS, run_dir=tmp_path / "file", registry=make_registry())


def test_check_contacts_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pool = make_pool()
    plan = pool.check(ROWS, registry=make_registry())
    assert (plan.compatible, list(plan.schema), list(plan.columns)) == (True, ["said"], ["id", "text"])
    assert pool.check(registry=make_registry()).columns is None
    assert [finding.rule for finding in pool.check([{"x": 1}], registry=make_registry()).findings] == ["render"]
    assert pool.members[0].backend.instance.opened == 0
    assert list(tmp_path.iterdir()) == []


# Results


@pytest.mark.parametrize(
    ("rows", "kind"),
    [("rows.parquet", "str"), (Path("rows.parquet"), None), (b"rows", "bytes"), ({"text": "one"}, "dict"), (1, "int")],
)
def test_what_is_no_collection_of_rows_is_refused(rows, kind):
    for call in (make_pool().check, make_pool().run, lambda rows: asyncio.run(make_pool().arun(rows))):
        with pytest.raises(UsageError) as error:
            call(rows)
        assert str(error.value) == (
            f"the rows are a {kind or type(rows).__name__}, not a list of mappings\n"
            '  write them as [{"text": "x"}]; the rows of a file are read by a recipe, with `rows: FILE`, '
            "which `run_recipe` runs"
        )


@pytest.mark.parametrize(
    ("method", "call"),
    [("to_pylist", ".to_pylist()"), ("to_dicts", ".to_dicts()"), ("to_dict", '.to_dict("records")')],
)
def test_a_table_of_columns_is_told_how_to_give_its_rows(method, call):
    Frame = type("Frame", (), {"__module__": "frames.core", "columns": ["text"], method: None, "__iter__": None})  # noqa: N806
    with pytest.raises(UsageError) as error:
        make_pool().check(Frame())
    assert str(error.value) == f"the rows are a frames Frame, not a list of mappings\n  give `table{call}`"


def test_rows_may_come_one_by_one():
    class Numbered:
        """Rows by their number alone."""

        def __getitem__(self, number):
            return ROWS[number]

    for rows in (iter(ROWS), (row for row in ROWS), Numbered()):
        assert make_pool().check(rows).sample == ROWS


def test_what_breaks_while_rows_are_made_is_told_as_it_is():
    def make():
        yield ROWS[0]
        raise TypeError("so it is")

    with pytest.raises(TypeError, match="so it is"):
        make_pool().check(make())


def test_rows_come_in_three_layouts(tmp_path):
    result = make_pool(names="ab").run(ROWS, run_dir=tmp_path / "run", registry=make_registry())
    usage = {"input_tokens": 1, "output_tokens": 1}
    one = {"task": "EchoTask", "sample": 0, "status": "ok", "cause": None, "message": None, "said": "said one"}
    generations = [{"member": name, "model": name, **one, "usage": usage} for name in "ab"]
    nested = list(result.rows())
    assert nested[0] == {"id": 1, "text": "one", "generations": generations}
    assert nested[1]["generations"][1]["said"] == "said two"
    columns = list(result.rows("columns"))
    assert columns[0] == {
        "id": 1,
        "text": "one",
        **{name: [generation[name] for generation in generations] for name in generations[0]},
    }
    long = list(result.rows("long", raw=True))
    assert long[0] == {"row_id": long[0]["row_id"], **generations[0], "raw": "said one"}
    assert [(record["member"], record["said"]) for record in long] == [
        ("a", "said one"), ("b", "said one"), ("a", "said two"), ("b", "said two")
    ]  # fmt: skip
    with pytest.raises(UsageError) as caught:
        list(result.rows("wide"))
    assert str(caught.value) == "there is no layout 'wide'\n  layouts: nested, columns, long"


def test_export_writes_with_the_writer_of_the_ending(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = make_pool().run(ROWS, run_dir="run", registry=make_registry())
    registry = make_lines_registry()
    assert result.export("out/merged.lines", registry=registry) == 2
    written = [json.loads(line) for line in Path("out/merged.lines").read_text().splitlines()]
    assert written == list(result.rows())
    assert result.export(tmp_path / "long.lines", "long", registry=registry) == 2
    assert "row_id" in Path("long.lines").read_text()
    with pytest.raises(PluginError, match=r"no writer answers for '\.pdf' files"):
        result.export("merged.pdf", registry=registry)


RECIPE = """
rows: rows.lines
output: {path: out/merged.lines, layout: long}
pool:
  policies: []
  members:
    - {name: a, backend: {use: replying, model: m}, task: echo}
"""


def write_recipe(folder, text=RECIPE):
    folder.mkdir(exist_ok=True)
    (folder / "rows.lines").write_text("\n".join(json.dumps(row) for row in ROWS))
    (folder / "recipe.yaml").write_text(text)
    return folder / "recipe.yaml"


def test_run_recipe_runs_with_registered_plugins(tmp_path):
    recipe = write_recipe(tmp_path / "job")
    result = run_recipe(recipe, registry=make_lines_registry())
    assert result.summary.status == "complete"
    assert result.run_dir == tmp_path / "job" / "runs" / "recipe"
    assert result.summary.output == tmp_path / "job" / "out" / "merged.lines"
    written = [json.loads(line) for line in result.summary.output.read_text().splitlines()]
    assert [(record["member"], record["model"], record["said"]) for record in written] == [
        ("a", "m", "said one"), ("a", "m", "said two")
    ]  # fmt: skip
    elsewhere = run_recipe(str(recipe), run_dir=tmp_path / "elsewhere", registry=make_lines_registry())
    assert elsewhere.run_dir == tmp_path / "elsewhere"
    with pytest.raises(RecipeError, match="there is no such file"):
        run_recipe(tmp_path / "none.yaml", registry=make_lines_registry())


def test_run_recipe_loads_no_plugin_that_the_recipe_blocks(tmp_path, monkeypatch):
    packages = tmp_path / "packages"
    info = packages / "pool_blocked-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pool-blocked\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pool_core.plugins.v1]\nblocked = pool_blocked_entry\n")
    (packages / "pool_blocked_entry.py").write_text(f"open({str(tmp_path / 'loaded')!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(str(packages))
    for text, loaded in [("plugins: {block: [blocked]}\n", False), ("", True)]:
        recipe = write_recipe(tmp_path / "job", text + RECIPE.replace("replying", "none-such"))
        with pytest.raises(PluginError):
            run_recipe(recipe)
        assert (tmp_path / "loaded").exists() is loaded


# Interrupts. Each script runs in a process of its own, as the signal is real.

HEAD = """
import asyncio, json, os, signal, sys, threading, time
from pathlib import Path
import pool_core.pool
from pool_core import Member, Pool
from pool_core import pool as pool_module
from pool_core.api import hookimpl
from pool_core.engine.run import Engine
from pool_core.pool import _Job
from pool_core.recipe.models import Limits
from pool_core.testing.scripted import EchoTask, ScriptedBackend, make_registry

folder, most = Path(sys.argv[1]), float(sys.argv[2])
asked, taken, stopping = [], 0, asyncio.Event()

def note(text, name="asked"):
    with open(folder / name, "a") as file:
        print(text, file=file)

async def answer(request):
    text = request.prompt.messages[-1].content
    asked.append(text)
    note(text)
    if len(asked) > most:
        await stopping.wait()
    return f"said {text}"

def stop_engine(engine, stop=Engine.stop):
    stop(engine)
    stopping.set()

def take_interrupt(job, stop=_Job._stop):
    global taken
    stop(job)
    taken += 1

def watch_main_thread(main=threading.get_ident()):
    # note each interrupt that was taken, once the main thread waits again
    noted = 0
    while True:
        found, frame = taken, sys._current_frames().get(main)  # none at the end of the process
        if found > noted and frame is not None and frame.f_code.co_name == "wait":
            noted = found
            note(noted, "taken")
        time.sleep(0.01)

Engine.stop, _Job._stop = stop_engine, take_interrupt
threading.Thread(target=watch_main_thread, daemon=True).start()

backend = ScriptedBackend(lambda request: answer(request))
member = Member(name="a", backend=backend, task=EchoTask(), limits=Limits(concurrency=2, timeout=5000))
pool = Pool(members=[member], policies=())
registry = make_registry()

def run():
    return pool.run([{"text": f"row {n}"} for n in range(60)], run_dir=folder / "run", registry=registry)

def tell(result):
    said = [record["said"] for record in result.rows("long")]
    print(json.dumps({"status": result.summary.status, "ok": result.summary.members[0].ok,
                      "requests": result.summary.requests, "said": said}))
"""

RUN = "tell(run())"
#: As in a notebook: the loop runs, and interrupts are raised where the main thread is.
RUN_IN_LOOP = """
async def cell():
    return run()

loop = asyncio.new_event_loop()
tell(loop.run_until_complete(cell()))
loop.close()
"""


def start(folder, body=RUN, *, most=1000):
    """Run in another process. After ``most`` requests, all others are answered when the run is being stopped."""
    script = folder / "script.py"
    script.write_text(HEAD + body)
    arguments = [sys.executable, "-W", "error", str(script), str(folder), str(most)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process):
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err.decode()) == (0, "")
    return json.loads(out)


def read_asked(folder, name="asked"):
    path = folder / name
    return path.read_text().splitlines() if path.exists() else []


def wait_until(condition, process):
    end = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        assert process.poll() is None, process.communicate()[1].decode()
        time.sleep(0.005)


@pytest.mark.parametrize("body", [RUN, RUN_IN_LOOP], ids=["script", "notebook"])
def test_an_interrupt_stops_softly_and_loses_nothing(body, tmp_path):
    process = start(tmp_path, body, most=6)
    wait_until(lambda: len(read_asked(tmp_path)) > 6, process)
    process.send_signal(signal.SIGINT)
    first = finish(process)
    asked = read_asked(tmp_path)
    assert first["status"] == "interrupted"
    assert first["ok"] == first["requests"] == len(asked) < 60  # what was in flight has finished
    assert sum(said is not None for said in first["said"]) == first["ok"]
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert (report["status"], report["exit_code"]) == ("interrupted", 130)

    second = finish(start(tmp_path, body))
    assert (second["status"], second["ok"], second["requests"]) == ("complete", 60, 60 - len(asked))
    assert second["said"] == [f"said row {n}" for n in range(60)]
    assert sorted(read_asked(tmp_path)) == sorted(f"row {n}" for n in range(60))


def test_a_second_interrupt_stops_at_once(tmp_path):
    stuck = """
quick = answer
async def answer(request):
    said = await quick(request)
    await asyncio.sleep(1000 if said == "said row 1" else 0)
    return said
"""
    process = start(tmp_path, stuck + RUN)
    wait_until(lambda: len(read_asked(tmp_path)) > 6, process)
    process.send_signal(signal.SIGINT)
    wait_until(lambda: read_asked(tmp_path, "taken") == ["1"], process)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)  # row 1 is in flight
    process.send_signal(signal.SIGINT)
    found = finish(process)
    asked = read_asked(tmp_path)
    assert (found["status"], found["ok"]) == ("interrupted", len(asked) - 1)
    with Store.read(tmp_path / "run") as store:
        assert store._connection.execute("SELECT count(*) FROM cells").fetchone()[0] == len(asked) - 1


def test_a_third_interrupt_leaves_a_run_that_cannot_stop(tmp_path):
    """A backend that blocks the event loop is beyond stopping; the process must end all the same."""
    blocking = """
def answer(request):
    note("stuck")
    time.sleep(1000)
"""
    process = start(tmp_path, blocking + RUN)
    wait_until(lambda: read_asked(tmp_path), process)
    for number in range(3):
        wait_until(lambda: len(read_asked(tmp_path, "taken")) == number, process)  # noqa: B023
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert "KeyboardInterrupt" in err.decode()
    assert process.returncode != 0


def test_an_interrupt_before_the_engine_is_there_is_not_lost(tmp_path):
    early = """
class Early:
    @hookimpl
    def pool_run_started(self, run):
        os.kill(os.getpid(), signal.SIGINT)
        while not taken:
            time.sleep(0.01)

registry.register(Early(), "early")
"""
    found = finish(start(tmp_path, early + RUN))
    assert (found["status"], found["requests"], read_asked(tmp_path)) == ("interrupted", 0, [])


def test_an_interrupt_while_the_thread_of_the_run_starts_is_not_lost(tmp_path):
    early = """
def start_interrupted(thread, start=threading.Thread.start):
    start(thread)
    if thread.name == "pool-run":
        os.kill(os.getpid(), signal.SIGINT)

threading.Thread.start = start_interrupted
"""
    found = finish(start(tmp_path, early + RUN, most=6))
    assert found["status"] == "interrupted"
    assert found["ok"] == found["requests"] == len(read_asked(tmp_path)) < 60


def test_an_interrupt_that_another_thread_takes_is_not_lost(tmp_path):
    """As the system may choose when a process that was stopped goes on."""
    taking = """
def take():
    while len(asked) <= most or sys._current_frames()[threading.main_thread().ident].f_code.co_name != "wait":
        time.sleep(0.01)
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)

threading.Thread(target=take).start()
"""
    found = finish(start(tmp_path, taking + RUN, most=6))
    assert found["status"] == "interrupted"
    assert found["ok"] == found["requests"] == len(read_asked(tmp_path)) < 60


def test_an_interrupt_after_the_loop_has_ended_is_no_error(tmp_path):
    late = """
def run_and_interrupt(job, run=pool_module.run_in_loop):
    summary = run(job)
    os.kill(os.getpid(), signal.SIGINT)
    while not taken:
        time.sleep(0.01)
    return summary

pool_module.run_in_loop = run_and_interrupt
"""
    found = finish(start(tmp_path, late + RUN))
    assert (found["status"], found["ok"]) == ("complete", 60)


def test_another_exception_in_the_waiting_thread_stops_the_run_and_passes(tmp_path):
    """As a handler of an alarm raises it: the run must not go on spending behind the caller's back."""
    alarm = """
def give_up(*_):
    raise TimeoutError("the caller gave up")

signal.signal(signal.SIGALRM, give_up)
try:
    run()
except TimeoutError as error:
    for thread in threading.enumerate():
        if thread.name == "pool-run":
            thread.join(300)
    report = json.loads((folder / "run" / "report.json").read_text())
    print(json.dumps({"error": str(error), "status": report["status"]}))
"""
    process = start(tmp_path, alarm, most=6)
    wait_until(lambda: len(read_asked(tmp_path)) > 6, process)
    process.send_signal(signal.SIGALRM)
    assert finish(process) == {"error": "the caller gave up", "status": "interrupted"}
    assert len(read_asked(tmp_path)) < 60
